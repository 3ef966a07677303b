-- Migrations and exclusions of DCs that began from ?1 to ?2, of the clusters in the JSON list ?3 (NULL: all), oldest first. An exclusion
-- (?4 = 1 only): no source and destination, what is excluded, and all DCs of the cluster, as texts.
SELECT c.cluster_name, c.cluster_type, m.start_time AS at, m.end_time, s.dc_name, d.dc_name, m.status, '', ''
FROM migration_cluster_tbl m
JOIN cluster_tbl c ON c.id = m.cluster_id
JOIN dc_tbl s ON s.id = m.source_dc_id
JOIN dc_tbl d ON d.id = m.destination_dc_id
WHERE m.start_time BETWEEN ?1 AND ?2 AND (?3 IS NULL OR lower(c.cluster_name) IN (SELECT lower(value) FROM json_each(?3)))
UNION ALL
SELECT c.cluster_name, c.cluster_type, b.operation_time, b.operation_time, '', '', b.status, b.publish_info,
       (SELECT json_group_array(t.dc_name) FROM dc_cluster_tbl x JOIN dc_tbl t ON t.id = x.dc_id
        WHERE x.cluster_id = c.id AND x.deleted_at = 0)
FROM migration_bi_cluster_tbl b JOIN cluster_tbl c ON c.id = b.cluster_id
WHERE ?4 = 1 AND b.operation_time BETWEEN ?1 AND ?2 AND (?3 IS NULL OR lower(c.cluster_name) IN (SELECT lower(value) FROM json_each(?3)))
ORDER BY 1, 3;
