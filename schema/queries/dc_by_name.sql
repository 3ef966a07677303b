-- A live DC by its inner name, in any case.
SELECT id, dc_name, zone_id, dc_description, dc_active FROM dc_tbl WHERE dc_name = ?1 AND deleted_at = 0;
