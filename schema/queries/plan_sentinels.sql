-- Who watches the shards of a cluster in each DC: the monitor's name there is cluster, this name and the DC, joined by '+'.
SELECT x.dc_id, y.shard_id, s.setinel_monitor_name,
       (SELECT group_concat(a) FROM (SELECT t.sentinel_ip || ':' || t.sentinel_port AS a FROM sentinel_tbl t
        WHERE t.sentinel_group_id = y.setinel_id AND t.deleted_at = 0 ORDER BY t.sentinel_id))
FROM dc_cluster_tbl x
JOIN dc_cluster_shard_tbl y ON y.dc_cluster_id = x.dc_cluster_id AND y.deleted_at = 0 AND y.setinel_id > 0
JOIN shard_tbl s ON s.id = y.shard_id
WHERE x.cluster_id = ?1 AND x.deleted_at = 0
ORDER BY x.dc_id, y.shard_id;
