-- The row of a shard in a DC.
SELECT s.dc_cluster_shard_id
FROM dc_cluster_tbl x JOIN dc_cluster_shard_tbl s
  ON s.dc_cluster_id = x.dc_cluster_id AND s.shard_id = ?3 AND s.deleted_at = 0
WHERE x.cluster_id = ?1 AND x.dc_id = ?2 AND x.deleted_at = 0;
