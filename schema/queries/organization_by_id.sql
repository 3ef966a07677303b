-- Is this the primary key of a live organization?
SELECT id FROM organization_tbl WHERE id = ?1 AND deleted_at = 0;
