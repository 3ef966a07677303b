-- Live routes with ids in a range, in the order of the choice.
SELECT r.id, r.route_org_id, r.cluster_type, s.dc_name, d.dc_name, r.tag, r.active, r.is_public, r.description,
       r.src_dc_id, r.dst_dc_id
FROM route_tbl r JOIN dc_tbl s ON s.id = r.src_dc_id JOIN dc_tbl d ON d.id = r.dst_dc_id
WHERE r.id BETWEEN ?1 AND ?2 AND r.deleted_at = 0 ORDER BY r.id;
