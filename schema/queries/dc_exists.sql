-- A live DC by its id.
SELECT id FROM dc_tbl WHERE id = ?1 AND deleted_at = 0;
