-- The groups that a monitor looks at: a row for each Redis of a cluster, shard by shard and DC by DC, with its availability zone.
SELECT s.shard_name, d.dc_name, r.redis_ip, r.redis_port, coalesce(z.az_name, '')
FROM dc_cluster_tbl x
JOIN dc_tbl d ON d.id = x.dc_id
JOIN dc_cluster_shard_tbl y ON y.dc_cluster_id = x.dc_cluster_id AND y.deleted_at = 0
JOIN shard_tbl s ON s.id = y.shard_id
JOIN redis_tbl r ON r.dc_cluster_shard_id = y.dc_cluster_shard_id AND r.deleted_at = 0 AND r.redis_role = 'redis'
LEFT JOIN az_tbl z ON z.id = r.az_id
WHERE x.cluster_id = ?1 AND x.deleted_at = 0
ORDER BY x.dc_id, y.shard_id, r.id;
