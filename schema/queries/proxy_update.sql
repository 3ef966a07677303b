-- All fields of a proxy.
UPDATE proxy_tbl SET dc_id = ?2, uri = ?3, active = ?4, monitor_active = ?5, updated_wall_ms = ?6 WHERE id = ?1;
