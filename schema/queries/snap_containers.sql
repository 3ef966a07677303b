-- Active keeper containers of a DC.
SELECT keepercontainer_id, keepercontainer_ip, keepercontainer_port, az_id, keepercontainer_disk_type, tag
FROM keepercontainer_tbl
WHERE keepercontainer_dc = ?1 AND keepercontainer_active = 1 AND deleted_at = 0 ORDER BY keepercontainer_id;
