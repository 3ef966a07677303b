-- The DCs that must follow after a migration.
SELECT f.dc_id, d.dc_name, f.result, f.text, f.tries, f.retry_at, f.is_pending
FROM migration_follow_tbl f JOIN dc_tbl d ON d.id = f.dc_id
WHERE f.migration_cluster_id = ?1 ORDER BY f.dc_id;
