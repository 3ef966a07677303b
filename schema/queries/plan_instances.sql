-- Every Redis and keeper of a cluster by DC, shard and age.
SELECT x.dc_id, y.shard_id, r.redis_ip, r.redis_port, r.master, r.redis_role
FROM dc_cluster_tbl x
JOIN dc_cluster_shard_tbl y ON y.dc_cluster_id = x.dc_cluster_id AND y.deleted_at = 0
JOIN redis_tbl r ON r.dc_cluster_shard_id = y.dc_cluster_shard_id AND r.deleted_at = 0
WHERE x.cluster_id = ?1 AND x.deleted_at = 0
ORDER BY x.dc_id, y.shard_id, r.id;
