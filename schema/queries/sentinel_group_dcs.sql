-- The DCs whose documents show a sentinel group: those of its sentinels and of the shards that use it.
SELECT d.id, d.dc_name FROM dc_tbl d
WHERE d.id IN (SELECT dc_id FROM sentinel_tbl WHERE sentinel_group_id = ?1 AND deleted_at = 0
               UNION SELECT x.dc_id FROM dc_cluster_shard_tbl y JOIN dc_cluster_tbl x ON x.dc_cluster_id = y.dc_cluster_id
               WHERE y.setinel_id = ?1 AND y.setinel_id > 0 AND y.deleted_at = 0 AND x.deleted_at = 0)
ORDER BY d.id;
