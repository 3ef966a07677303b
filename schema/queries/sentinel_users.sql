-- The rows that use a sentinel group, with whom they belong to and the master of their DC.
SELECT y.dc_cluster_shard_id, x.dc_id, d.dc_name, c.cluster_name, s.shard_name,
       (SELECT r.redis_ip FROM redis_tbl r WHERE r.dc_cluster_shard_id = y.dc_cluster_shard_id AND r.master = 1 AND r.deleted_at = 0
        AND r.redis_role = 'redis' ORDER BY r.id LIMIT 1),
       (SELECT r.redis_port FROM redis_tbl r WHERE r.dc_cluster_shard_id = y.dc_cluster_shard_id AND r.master = 1 AND r.deleted_at = 0
        AND r.redis_role = 'redis' ORDER BY r.id LIMIT 1)
FROM dc_cluster_shard_tbl y
JOIN dc_cluster_tbl x ON x.dc_cluster_id = y.dc_cluster_id AND x.deleted_at = 0
JOIN dc_tbl d ON d.id = x.dc_id
JOIN cluster_tbl c ON c.id = x.cluster_id AND c.deleted_at = 0
JOIN shard_tbl s ON s.id = y.shard_id
WHERE y.setinel_id = ?1 AND y.setinel_id > 0 AND y.deleted_at = 0
ORDER BY x.dc_id, c.cluster_type, c.tag, c.cluster_name, s.shard_name;
