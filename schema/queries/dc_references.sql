-- What still refers to a DC, one word; no row when nothing does.
SELECT 'clusters' FROM dc_cluster_tbl WHERE dc_id = ?1 AND deleted_at = 0
UNION ALL SELECT 'routes' FROM route_tbl WHERE (src_dc_id = ?1 OR dst_dc_id = ?1) AND deleted_at = 0
UNION ALL SELECT 'proxies' FROM proxy_tbl WHERE dc_id = ?1 AND deleted_at = 0
UNION ALL SELECT 'keeper containers' FROM keepercontainer_tbl WHERE keepercontainer_dc = ?1 AND deleted_at = 0
UNION ALL SELECT 'sentinels' FROM sentinel_tbl WHERE dc_id = ?1 AND deleted_at = 0
UNION ALL SELECT 'availability zones' FROM az_tbl WHERE dc_id = ?1 AND deleted_at = 0
LIMIT 1;
