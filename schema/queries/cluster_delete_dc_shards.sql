-- Soft delete of the (DC, shard) rows of a cluster.
UPDATE dc_cluster_shard_tbl SET deleted_at = ?2, updated_wall_ms = ?2 WHERE deleted_at = 0 AND dc_cluster_id IN
    (SELECT dc_cluster_id FROM dc_cluster_tbl WHERE cluster_id = ?1 AND deleted_at = 0);
