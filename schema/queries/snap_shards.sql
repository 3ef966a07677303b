-- Shards, redises and keepers of the clusters in a DC, by cluster id, shard id, redis id; a shard without any gives one
-- row with NULLs.
SELECT x.cluster_id, s.id, s.shard_name, s.setinel_monitor_name, y.setinel_id, y.operating_until,
       r.id, r.run_id, r.redis_ip, r.redis_port, r.redis_role = 'keeper', r.master, r.keeper_active,
       coalesce(r.keepercontainer_id, 0), r.keeper_priority, coalesce(z.az_name, ''), r.created_wall_ms
FROM dc_cluster_tbl x
JOIN dc_cluster_shard_tbl y ON y.dc_cluster_id = x.dc_cluster_id AND y.deleted_at = 0
JOIN shard_tbl s ON s.id = y.shard_id
LEFT JOIN redis_tbl r ON r.dc_cluster_shard_id = y.dc_cluster_shard_id AND r.deleted_at = 0
LEFT JOIN az_tbl z ON z.id = r.az_id
WHERE x.dc_id = ?1 AND x.deleted_at = 0 AND x.cluster_id BETWEEN ?2 AND ?3
ORDER BY x.cluster_id, y.shard_id, r.id;
