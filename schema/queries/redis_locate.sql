-- Where an address belongs: DC, cluster, shard, role.
SELECT d.dc_name, c.cluster_name, s.shard_name, r.redis_role = 'keeper'
FROM redis_tbl r
JOIN dc_cluster_shard_tbl y ON y.dc_cluster_shard_id = r.dc_cluster_shard_id
JOIN shard_tbl s ON s.id = y.shard_id
JOIN dc_cluster_tbl x ON x.dc_cluster_id = y.dc_cluster_id
JOIN dc_tbl d ON d.id = x.dc_id
JOIN cluster_tbl c ON c.id = x.cluster_id
WHERE r.redis_ip = ?1 AND r.redis_port = ?2 AND r.deleted_at = 0;
