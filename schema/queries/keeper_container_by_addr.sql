-- A live keeper container by its address: what an update needs of it.
SELECT keepercontainer_id, keepercontainer_dc, az_id, keepercontainer_active, keepercontainer_org_id,
       keepercontainer_disk_type, tag
FROM keepercontainer_tbl WHERE keepercontainer_ip = ?1 AND keepercontainer_port = ?2 AND deleted_at = 0;
