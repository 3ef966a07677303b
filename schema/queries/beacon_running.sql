-- The migration of a cluster in the event that holds its lock.
SELECT m.id, m.end_time, s.dc_name, d.dc_name
FROM migration_cluster_tbl m JOIN dc_tbl s ON s.id = m.source_dc_id JOIN dc_tbl d ON d.id = m.destination_dc_id
WHERE m.cluster_id = ?1 AND m.migration_event_id = ?2 ORDER BY m.id DESC LIMIT 1;
