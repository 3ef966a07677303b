-- The sentinel groups that a DC's document shows, with their addresses: active ones with a sentinel there, and whatever its
-- shards use (a group that takes no new shards still looks after those that it has).
SELECT g.sentinel_group_id, g.cluster_type,
       (SELECT group_concat(a) FROM (SELECT s.sentinel_ip || ':' || s.sentinel_port AS a FROM sentinel_tbl s
        WHERE s.sentinel_group_id = g.sentinel_group_id AND s.deleted_at = 0 ORDER BY s.sentinel_id))
FROM sentinel_group_tbl g
WHERE g.deleted_at = 0
  AND ((g.active = 1 AND EXISTS (SELECT 1 FROM sentinel_tbl s WHERE s.sentinel_group_id = g.sentinel_group_id AND s.dc_id = ?1
                                 AND s.deleted_at = 0))
       OR EXISTS (SELECT 1 FROM dc_cluster_shard_tbl y
                  JOIN dc_cluster_tbl x ON x.dc_cluster_id = y.dc_cluster_id AND x.dc_id = ?1 AND x.deleted_at = 0
                  WHERE y.setinel_id = g.sentinel_group_id AND y.setinel_id > 0 AND y.deleted_at = 0))
ORDER BY g.sentinel_group_id;
