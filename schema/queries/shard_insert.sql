-- A new shard; its monitor name is its name.
INSERT INTO shard_tbl (shard_name, cluster_id, setinel_monitor_name, created_wall_ms, updated_wall_ms)
VALUES (?1, ?2, ?1, ?3, ?3);
