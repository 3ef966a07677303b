-- A new keeper; not active until a metaserver says so.
INSERT INTO redis_tbl (run_id, dc_cluster_shard_id, redis_ip, redis_port, redis_role, keepercontainer_id, keeper_priority,
                       created_wall_ms, updated_wall_ms)
VALUES (?1, ?2, ?3, ?4, 'keeper', ?5, ?6, ?7, ?7);
