-- One cluster of an event with the names around it.
SELECT m.id, m.migration_event_id, m.cluster_id, c.cluster_name, m.source_dc_id, m.destination_dc_id, s.dc_name, d.dc_name,
       m.start_time, m.end_time, m.status, m.mode, m.is_disaster, e.policy, m.is_force_publish, m.is_active_switched,
       m.epoch, m.reason, m.publish_info, m.phase_time, m.pending, m.outcome, m.tries
FROM migration_cluster_tbl m
JOIN migration_event_tbl e ON e.id = m.migration_event_id
JOIN cluster_tbl c ON c.id = m.cluster_id
JOIN dc_tbl s ON s.id = m.source_dc_id
JOIN dc_tbl d ON d.id = m.destination_dc_id
WHERE m.id = ?1;
