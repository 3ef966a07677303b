-- Clusters whose active DC is this one, by name; limit.
SELECT c.cluster_name FROM dc_tbl d JOIN dc_cluster_tbl x ON x.dc_id = d.id AND x.deleted_at = 0
JOIN cluster_tbl c ON c.id = x.cluster_id AND c.deleted_at = 0 AND c.activedc_id = d.id
WHERE d.dc_name = ?1 AND d.deleted_at = 0
ORDER BY c.cluster_name LIMIT ?2;
