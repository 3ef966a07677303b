-- What the clusters of an event are at: all (?2 and ?3 NULL), or one by id or by name in any case. Lost bytes: -1 unknown.
SELECT m.id, m.cluster_id, c.cluster_name, s.dc_name, d.dc_name, m.status, m.reason,
       (SELECT max(coalesce(json_extract(x.state, '$.unfenced'), 0)) FROM migration_shard_tbl x WHERE x.migration_cluster_id = m.id),
       (SELECT CASE WHEN min(n) < 0 THEN -1 ELSE sum(n) END FROM
           (SELECT coalesce(json_extract(x.state, '$.lostBytes'), 0) AS n FROM migration_shard_tbl x WHERE x.migration_cluster_id = m.id))
FROM migration_cluster_tbl m
JOIN cluster_tbl c ON c.id = m.cluster_id
JOIN dc_tbl s ON s.id = m.source_dc_id
JOIN dc_tbl d ON d.id = m.destination_dc_id
WHERE m.migration_event_id = ?1 AND (?2 IS NULL OR m.cluster_id = ?2) AND (?3 IS NULL OR c.cluster_name = ?3)
ORDER BY m.id;
