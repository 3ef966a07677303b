-- The redises or the keepers of a shard in a DC.
SELECT id, run_id, redis_ip, redis_port, redis_role = 'keeper', master, keeper_active, coalesce(keepercontainer_id, 0),
       az_id, created_wall_ms, keeper_priority
FROM redis_tbl WHERE dc_cluster_shard_id = ?1 AND deleted_at = 0 AND redis_role = ?2 ORDER BY id;
