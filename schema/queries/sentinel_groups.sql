-- Live sentinel groups with ids in a range, of a cluster type (NULL: any), with a sentinel in a DC (0: any), and how many
-- shards (each DC counts) use them.
SELECT g.sentinel_group_id, g.cluster_type, g.tag, g.sentinel_description, g.active,
       (SELECT count(*) FROM dc_cluster_shard_tbl y WHERE y.setinel_id = g.sentinel_group_id AND y.setinel_id > 0 AND y.deleted_at = 0)
FROM sentinel_group_tbl g
WHERE g.sentinel_group_id BETWEEN ?1 AND ?2 AND g.deleted_at = 0
  AND (?3 IS NULL OR g.cluster_type = ?3 COLLATE NOCASE)
  AND (?4 = 0 OR EXISTS (SELECT 1 FROM sentinel_tbl s
                         WHERE s.sentinel_group_id = g.sentinel_group_id AND s.dc_id = ?4 AND s.deleted_at = 0))
ORDER BY g.sentinel_group_id;
