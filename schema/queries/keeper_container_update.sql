-- What may change of a keeper container.
UPDATE keepercontainer_tbl SET az_id = ?2, keepercontainer_active = ?3, keepercontainer_org_id = ?4,
    keepercontainer_disk_type = ?5, tag = ?6, updated_wall_ms = ?7
WHERE keepercontainer_id = ?1;
