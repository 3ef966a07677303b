-- Events with a smaller id than ?1, newest first, with ids, statuses and names of their clusters.
SELECT e.id, e.start_time, e.operator, e.event_tag, e.policy, e.mode, e.is_started,
       (SELECT json_group_array(json_array(status, cluster_name)) FROM
           (SELECT m.status, c.cluster_name FROM migration_cluster_tbl m JOIN cluster_tbl c ON c.id = m.cluster_id
            WHERE m.migration_event_id = e.id ORDER BY m.id))
FROM migration_event_tbl e WHERE e.id < ?1 ORDER BY e.id DESC LIMIT ?2;
