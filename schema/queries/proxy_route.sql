-- A live route that uses a proxy.
SELECT h.route_id FROM route_hop_tbl h JOIN route_tbl r ON r.id = h.route_id AND r.deleted_at = 0
WHERE h.proxy_id = ?1 LIMIT 1;
