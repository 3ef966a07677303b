-- Keeper containers of DCs with ids in a range, by id: with the number of their keepers, and whether their availability
-- zone is an active one.
SELECT c.keepercontainer_id, c.keepercontainer_dc, d.dc_name, c.keepercontainer_ip, c.keepercontainer_port,
       c.keepercontainer_active, coalesce(o.org_id, 0), coalesce(o.org_name, ''), c.az_id, coalesce(z.az_name, ''),
       coalesce(z.active, 0), c.keepercontainer_disk_type, c.tag, c.updated_wall_ms, c.keeper_count
FROM keepercontainer_tbl c
JOIN dc_tbl d ON d.id = c.keepercontainer_dc
LEFT JOIN organization_tbl o ON o.id = c.keepercontainer_org_id
LEFT JOIN az_tbl z ON z.id = c.az_id AND z.deleted_at = 0
WHERE c.keepercontainer_dc BETWEEN ?1 AND ?2 AND c.deleted_at = 0 ORDER BY c.keepercontainer_id;
