-- A shard in a DC: its sentinel group, its name, the master of the DC.
SELECT y.setinel_id, s.shard_name,
       (SELECT r.redis_ip FROM redis_tbl r WHERE r.dc_cluster_shard_id = y.dc_cluster_shard_id AND r.master = 1 AND r.deleted_at = 0
        AND r.redis_role = 'redis' ORDER BY r.id LIMIT 1),
       (SELECT r.redis_port FROM redis_tbl r WHERE r.dc_cluster_shard_id = y.dc_cluster_shard_id AND r.master = 1 AND r.deleted_at = 0
        AND r.redis_role = 'redis' ORDER BY r.id LIMIT 1)
FROM dc_cluster_shard_tbl y JOIN shard_tbl s ON s.id = y.shard_id
WHERE y.dc_cluster_shard_id = ?1 AND y.deleted_at = 0;
