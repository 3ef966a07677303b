-- Availability zones of a DC.
SELECT az_name, active FROM az_tbl WHERE dc_id = ?1 AND deleted_at = 0 ORDER BY az_name;
