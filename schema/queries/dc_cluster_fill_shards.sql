-- The shard rows of a newly bound DC: one for each live shard of the cluster.
INSERT INTO dc_cluster_shard_tbl (dc_cluster_id, shard_id, created_wall_ms, updated_wall_ms)
SELECT ?1, id, ?3, ?3 FROM shard_tbl WHERE cluster_id = ?2 AND deleted_at = 0;
