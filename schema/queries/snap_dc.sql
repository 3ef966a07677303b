-- The head of a DC's document.
SELECT d.id, d.dc_name, d.version, z.zone_name, d.dc_last_modified_time
FROM dc_tbl d JOIN zone_tbl z ON z.id = d.zone_id WHERE d.dc_name = ?1 AND d.deleted_at = 0;
