-- Is the name of a zone taken?
SELECT id FROM zone_tbl WHERE zone_name = ?1 AND deleted_at = 0;
