-- All organizations but the default row.
SELECT id, org_id, org_name, updated_wall_ms FROM organization_tbl
WHERE org_id <> 0 AND deleted_at = 0 ORDER BY id;
