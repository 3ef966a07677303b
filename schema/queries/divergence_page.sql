-- Divergences before id ?1, newest first, at most ?2.
SELECT v.id, c.cluster_name, s.shard_name, d.dc_name, m.migration_event_id, v.redis, v.repl_id, v.repl_offset, v.promoted_offset,
       v.lost_bytes, v.why, v.reason, v.seen_ms, v.created_ms
FROM divergence_tbl v
JOIN cluster_tbl c ON c.id = v.cluster_id
JOIN shard_tbl s ON s.id = v.shard_id
JOIN dc_tbl d ON d.id = v.dc_id
LEFT JOIN migration_cluster_tbl m ON m.id = v.migration_cluster_id
WHERE v.id < ?1 ORDER BY v.id DESC LIMIT ?2;
