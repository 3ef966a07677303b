-- All DCs with their zones.
SELECT d.id, d.zone_id, z.zone_name, d.dc_name, d.dc_description, d.dc_active, d.dc_last_modified_time,
       d.updated_wall_ms, d.version
FROM dc_tbl d JOIN zone_tbl z ON z.id = d.zone_id WHERE d.deleted_at = 0 ORDER BY d.id;
