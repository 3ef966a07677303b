-- The lock of a cluster, unless another event holds it.
UPDATE cluster_tbl SET status = ?2, migration_event_id = ?3
WHERE id = ?1 AND migration_event_id IN (0, ?4) RETURNING id;
