-- A live organization by the number that DBA tools send.
SELECT id FROM organization_tbl WHERE org_id = ?1 AND deleted_at = 0;
