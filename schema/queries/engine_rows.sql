-- What the engine looks after, in the order in which it begins.
SELECT c.id, c.migration_event_id, c.cluster_id, k.cluster_name, c.status
FROM migration_cluster_tbl c JOIN cluster_tbl k ON k.id = c.cluster_id
WHERE c.is_followed = 0 ORDER BY c.migration_event_id, c.cluster_id;
