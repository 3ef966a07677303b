-- The events of what the engine looks after: policy, whether it was started, how many of its clusters have begun, and succeeded.
SELECT e.id, e.policy, e.is_started, sum(c.status <> 'Initiated'), sum(c.status = 'Success')
FROM migration_event_tbl e JOIN migration_cluster_tbl c ON c.migration_event_id = e.id
WHERE e.id IN (SELECT migration_event_id FROM migration_cluster_tbl WHERE is_followed = 0)
GROUP BY e.id;
