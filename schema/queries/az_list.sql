-- Availability zones of DCs with ids in a range, by id.
SELECT z.id, z.dc_id, d.dc_name, z.az_name, z.active, z.description
FROM az_tbl z JOIN dc_tbl d ON d.id = z.dc_id
WHERE z.dc_id BETWEEN ?1 AND ?2 AND z.deleted_at = 0 ORDER BY z.id;
