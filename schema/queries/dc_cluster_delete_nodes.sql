-- Soft delete of what is left in a DC of a cluster (keepers).
UPDATE redis_tbl SET deleted_at = ?2, updated_wall_ms = ?2 WHERE deleted_at = 0 AND dc_cluster_shard_id IN
    (SELECT dc_cluster_shard_id FROM dc_cluster_shard_tbl WHERE dc_cluster_id = ?1 AND deleted_at = 0);
