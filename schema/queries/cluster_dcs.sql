-- The DCs of a cluster in binding order.
SELECT d.id, d.dc_name, x.dc_cluster_id
FROM dc_cluster_tbl x JOIN dc_tbl d ON d.id = x.dc_id
WHERE x.cluster_id = ?1 AND x.deleted_at = 0 ORDER BY x.dc_cluster_id;
