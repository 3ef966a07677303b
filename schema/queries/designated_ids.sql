-- The live designated routes of a cluster out of a DC.
SELECT g.route_id FROM cluster_route_tbl g JOIN route_tbl r ON r.id = g.route_id AND r.deleted_at = 0
WHERE g.cluster_id = ?1 AND r.src_dc_id = ?2 ORDER BY g.route_id;
