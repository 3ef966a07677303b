-- A divergence, or what is newer of one that is known; an older report changes nothing.
INSERT INTO divergence_tbl (cluster_id, shard_id, dc_id, migration_cluster_id, redis, repl_id, repl_offset, promoted_offset,
                            lost_bytes, why, reason, seen_ms, created_ms)
VALUES (?1, ?2, ?3, nullif(?4, 0), ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
ON CONFLICT (shard_id, dc_id, redis, repl_id) DO UPDATE SET
    repl_offset = excluded.repl_offset, promoted_offset = excluded.promoted_offset, lost_bytes = excluded.lost_bytes,
    why = excluded.why, reason = excluded.reason, seen_ms = excluded.seen_ms
WHERE excluded.seen_ms >= divergence_tbl.seen_ms;
