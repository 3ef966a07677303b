-- The number that DBA tools send, of an organization by our id.
SELECT org_id FROM organization_tbl WHERE id = ?1 AND deleted_at = 0;
