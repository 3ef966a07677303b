-- The event that migration_cluster_tbl ?1 belongs to.
SELECT migration_event_id FROM migration_cluster_tbl WHERE id = ?1;
