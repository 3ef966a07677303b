-- Live proxies with ids in a range.
SELECT p.id, p.uri, d.dc_name, p.active, p.monitor_active, p.dc_id
FROM proxy_tbl p JOIN dc_tbl d ON d.id = p.dc_id WHERE p.id BETWEEN ?1 AND ?2 AND p.deleted_at = 0 ORDER BY p.id;
