-- Does this zone exist?
SELECT id FROM zone_tbl WHERE id = ?1 AND deleted_at = 0;
