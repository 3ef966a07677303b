-- Divergences that the switch of a cluster (migration_cluster_tbl ?1) left behind, at most ?2: the shard, then the rest.
SELECT v.shard_id, d.dc_name, v.redis, v.repl_id, v.repl_offset, v.promoted_offset, v.lost_bytes, v.why, v.reason, v.seen_ms
FROM divergence_tbl v JOIN dc_tbl d ON d.id = v.dc_id
WHERE v.migration_cluster_id = ?1 ORDER BY v.shard_id, v.id LIMIT ?2;
