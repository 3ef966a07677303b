-- Groups that a shard in a DC may get: active, of the type and tag, with a sentinel there; with how many shards use them.
SELECT g.sentinel_group_id,
       (SELECT count(*) FROM dc_cluster_shard_tbl y WHERE y.setinel_id = g.sentinel_group_id AND y.setinel_id > 0 AND y.deleted_at = 0)
FROM sentinel_group_tbl g
WHERE g.active = 1 AND g.deleted_at = 0 AND g.cluster_type = ?2 COLLATE NOCASE AND g.tag = ?3 COLLATE NOCASE
  AND EXISTS (SELECT 1 FROM sentinel_tbl s
              WHERE s.sentinel_group_id = g.sentinel_group_id AND s.dc_id = ?1 AND s.deleted_at = 0)
ORDER BY g.sentinel_group_id;
