-- Soft delete of the shard rows of a cluster in a DC.
UPDATE dc_cluster_shard_tbl SET deleted_at = ?2, updated_wall_ms = ?2 WHERE dc_cluster_id = ?1 AND deleted_at = 0;
