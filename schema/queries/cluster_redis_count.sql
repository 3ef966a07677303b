-- Live redises and keepers of a cluster.
SELECT count(*) FROM dc_cluster_tbl x
JOIN dc_cluster_shard_tbl s ON s.dc_cluster_id = x.dc_cluster_id AND s.deleted_at = 0
JOIN redis_tbl r ON r.dc_cluster_shard_id = s.dc_cluster_shard_id AND r.deleted_at = 0
WHERE x.cluster_id = ?1 AND x.deleted_at = 0;
