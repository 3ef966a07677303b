-- A new keeper container.
INSERT INTO keepercontainer_tbl (keepercontainer_dc, az_id, keepercontainer_ip, keepercontainer_port,
    keepercontainer_active, keepercontainer_org_id, keepercontainer_disk_type, tag, created_wall_ms, updated_wall_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9);
