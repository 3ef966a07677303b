-- Zone, description and activity of a DC; its name cannot change.
UPDATE dc_tbl SET zone_id = ?2, dc_active = ?3, dc_description = ?4, dc_last_modified_time = ?5, updated_wall_ms = ?6
WHERE id = ?1;
