-- Where the redises of a cluster stand: one row for each of them, and one with NULLs for a shard of a DC without any.
SELECT x.dc_id, y.shard_id, r.redis_ip, r.redis_port, coalesce(r.master, 0)
FROM dc_cluster_tbl x
JOIN dc_cluster_shard_tbl y ON y.dc_cluster_id = x.dc_cluster_id AND y.deleted_at = 0
LEFT JOIN redis_tbl r ON r.dc_cluster_shard_id = y.dc_cluster_shard_id AND r.deleted_at = 0 AND r.redis_role = 'redis'
WHERE x.cluster_id = ?1 AND x.deleted_at = 0
ORDER BY x.dc_id, y.shard_id, r.id;
