-- Soft delete of the redises and keepers of a cluster.
UPDATE redis_tbl SET deleted_at = ?2, updated_wall_ms = ?2 WHERE deleted_at = 0 AND dc_cluster_shard_id IN
    (SELECT s.dc_cluster_shard_id FROM dc_cluster_tbl x JOIN dc_cluster_shard_tbl s ON s.dc_cluster_id = x.dc_cluster_id
     WHERE x.cluster_id = ?1 AND x.deleted_at = 0 AND s.deleted_at = 0);
