-- Soft delete of the shards of a cluster.
UPDATE shard_tbl SET deleted_at = ?2, updated_wall_ms = ?2 WHERE cluster_id = ?1 AND deleted_at = 0;
