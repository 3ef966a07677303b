-- Is the name of an organization taken?
SELECT id FROM organization_tbl WHERE org_name = ?1 AND deleted_at = 0;
