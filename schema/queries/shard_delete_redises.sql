-- Soft delete of the redises and keepers of a shard in all DCs.
UPDATE redis_tbl SET deleted_at = ?2, updated_wall_ms = ?2 WHERE deleted_at = 0 AND dc_cluster_shard_id IN
    (SELECT dc_cluster_shard_id FROM dc_cluster_shard_tbl WHERE shard_id = ?1 AND deleted_at = 0);
