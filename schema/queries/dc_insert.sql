-- A new DC.
INSERT INTO dc_tbl (zone_id, dc_name, dc_active, dc_description, dc_last_modified_time, version, created_wall_ms,
                    updated_wall_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7);
