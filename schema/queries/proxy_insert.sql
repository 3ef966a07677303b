-- A new proxy.
INSERT INTO proxy_tbl (dc_id, uri, active, monitor_active, created_wall_ms, updated_wall_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?5);
