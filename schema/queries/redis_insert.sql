-- A new redis.
INSERT INTO redis_tbl (dc_cluster_shard_id, redis_ip, redis_port, master, az_id, created_wall_ms, updated_wall_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6);
