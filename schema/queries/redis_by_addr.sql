-- The live redis or keeper at an address.
SELECT id, dc_cluster_shard_id, redis_role, master FROM redis_tbl
WHERE redis_ip = ?1 AND redis_port = ?2 AND deleted_at = 0;
