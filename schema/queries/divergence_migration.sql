-- The newest migration of cluster ?1 away from DC ?2 that has promoted somebody else, or may have.
SELECT id FROM migration_cluster_tbl
WHERE cluster_id = ?1 AND source_dc_id = ?2 AND status NOT IN ('Initiated', 'Checking', 'CheckingFail', 'Aborted')
ORDER BY migration_event_id DESC, id DESC LIMIT 1;
