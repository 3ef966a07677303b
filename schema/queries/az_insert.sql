-- A new availability zone.
INSERT INTO az_tbl (dc_id, active, az_name, description, created_wall_ms, updated_wall_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?5);
