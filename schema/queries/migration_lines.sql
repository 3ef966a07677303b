-- The timeline of a migration: its last ?2 lines, the oldest first.
SELECT wall_ms, kind, from_state, to_state, rule, text, duration_ms, shard_name FROM
    (SELECT l.id, l.wall_ms, l.kind, l.from_state, l.to_state, l.rule, l.text, l.duration_ms, s.shard_name
     FROM migration_line_tbl l LEFT JOIN shard_tbl s ON s.id = l.shard_id
     WHERE l.migration_cluster_id = ?1 ORDER BY l.id DESC LIMIT ?2)
ORDER BY id;
