-- No Redis of the cluster in this DC is a master any more; shard 0: of all shards.
UPDATE redis_tbl SET master = 0, updated_wall_ms = ?4
WHERE master = 1 AND redis_role = 'redis' AND deleted_at = 0 AND dc_cluster_shard_id IN
    (SELECT s.dc_cluster_shard_id
     FROM dc_cluster_tbl c JOIN dc_cluster_shard_tbl s ON s.dc_cluster_id = c.dc_cluster_id AND s.deleted_at = 0
     WHERE c.cluster_id = ?1 AND c.dc_id = ?2 AND c.deleted_at = 0 AND ?3 IN (0, s.shard_id));
