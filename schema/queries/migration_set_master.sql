-- The Redis of a shard at this address is its master.
UPDATE redis_tbl SET master = 1, updated_wall_ms = ?4
WHERE redis_ip = ?2 AND redis_port = ?3 AND redis_role = 'redis' AND deleted_at = 0 AND dc_cluster_shard_id IN
    (SELECT dc_cluster_shard_id FROM dc_cluster_shard_tbl WHERE shard_id = ?1 AND deleted_at = 0)
RETURNING id;
