-- A line of the timeline.
INSERT INTO migration_line_tbl (migration_cluster_id, shard_id, wall_ms, kind, from_state, to_state, rule, text, duration_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9);
