-- Rows without a sentinel group of shards from an id on, in one binding (0: all of the cluster).
SELECT y.dc_cluster_shard_id, x.dc_id
FROM dc_cluster_tbl x JOIN dc_cluster_shard_tbl y ON y.dc_cluster_id = x.dc_cluster_id AND y.deleted_at = 0
WHERE x.cluster_id = ?1 AND x.deleted_at = 0 AND y.setinel_id = 0 AND y.shard_id >= ?2
  AND (?3 = 0 OR x.dc_cluster_id = ?3)
ORDER BY x.dc_id, y.shard_id;
