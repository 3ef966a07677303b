-- Shards with the DCs they have rows in: of one cluster, or (cluster id range) of all; types as JSON list or NULL.
SELECT s.id, s.shard_name, s.setinel_monitor_name, c.id, c.cluster_name, c.cluster_type,
       (SELECT group_concat(n, char(10)) FROM
           (SELECT d.dc_name AS n FROM dc_cluster_shard_tbl r JOIN dc_cluster_tbl x ON x.dc_cluster_id = r.dc_cluster_id
            JOIN dc_tbl d ON d.id = x.dc_id
            WHERE r.shard_id = s.id AND r.deleted_at = 0 ORDER BY x.dc_cluster_id))
FROM cluster_tbl c JOIN shard_tbl s ON s.cluster_id = c.id AND s.deleted_at = 0
WHERE c.id BETWEEN ?1 AND ?2 AND c.deleted_at = 0
  AND (?3 IS NULL OR c.cluster_type IN (SELECT value FROM json_each(?3)))
ORDER BY c.cluster_name, s.shard_name;
