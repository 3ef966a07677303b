-- The proxies of live routes with ids in a range: near hop first (src > opt > dst), each in its order.
SELECT h.route_id, h.hop, h.proxy_id, p.uri, p.active
FROM route_hop_tbl h JOIN proxy_tbl p ON p.id = h.proxy_id
WHERE h.route_id BETWEEN ?1 AND ?2 AND EXISTS (SELECT 1 FROM route_tbl r WHERE r.id = h.route_id AND r.deleted_at = 0)
ORDER BY h.route_id, h.hop DESC, h.pos;
