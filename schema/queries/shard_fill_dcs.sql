-- The rows of a new shard: one for each bound DC of its cluster.
INSERT INTO dc_cluster_shard_tbl (dc_cluster_id, shard_id, created_wall_ms, updated_wall_ms)
SELECT dc_cluster_id, ?1, ?3, ?3 FROM dc_cluster_tbl WHERE cluster_id = ?2 AND deleted_at = 0;
