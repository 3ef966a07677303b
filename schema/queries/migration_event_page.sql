-- A page of events, newest first: of a cluster (?1), an operator (?2), with clusters in one of the statuses (?3, a JSON list), without those
-- that only concern clusters named test_... (?4); NULL or 0: any. With statuses and names of their
-- clusters.
SELECT e.id, e.start_time, e.operator, e.event_tag, e.policy, e.mode,
       (SELECT json_group_array(json_array(status, cluster_name)) FROM
           (SELECT m.status, c.cluster_name FROM migration_cluster_tbl m JOIN cluster_tbl c ON c.id = m.cluster_id
            WHERE m.migration_event_id = e.id ORDER BY m.id))
FROM migration_event_tbl e
WHERE (?1 IS NULL OR EXISTS (SELECT 1 FROM migration_cluster_tbl m JOIN cluster_tbl c ON c.id = m.cluster_id
                             WHERE m.migration_event_id = e.id AND c.cluster_name = ?1))
  AND (?2 IS NULL OR e.operator = ?2)
  AND (?3 IS NULL OR EXISTS (SELECT 1 FROM migration_cluster_tbl m
                             WHERE m.migration_event_id = e.id AND m.status IN (SELECT value FROM json_each(?3))))
  AND (?4 = 0 OR EXISTS (SELECT 1 FROM migration_cluster_tbl m JOIN cluster_tbl c ON c.id = m.cluster_id
                         WHERE m.migration_event_id = e.id AND c.cluster_name NOT GLOB 'test_*'))
ORDER BY e.id DESC LIMIT ?5 OFFSET ?6;
