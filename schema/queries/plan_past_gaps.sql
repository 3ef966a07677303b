-- How long the last ?2 planned switches of cluster ?1 refused writes, in ms, newest first.
SELECT max(json_extract(s.state, '$.promotedAt')) - min(json_extract(s.state, '$.heldAt')) AS gap_ms
FROM migration_cluster_tbl m JOIN migration_shard_tbl s ON s.migration_cluster_id = m.id
WHERE m.cluster_id = ?1 AND m.status = 'Success' AND m.is_disaster = 0
GROUP BY m.id HAVING min(json_extract(s.state, '$.heldAt')) > 0 AND gap_ms >= 0
ORDER BY m.id DESC LIMIT ?2;
