-- Soft delete of the rows of a shard in all DCs.
UPDATE dc_cluster_shard_tbl SET deleted_at = ?2, updated_wall_ms = ?2 WHERE shard_id = ?1 AND deleted_at = 0;
