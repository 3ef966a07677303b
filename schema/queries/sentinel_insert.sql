-- A new sentinel of a group.
INSERT INTO sentinel_tbl (dc_id, sentinel_group_id, sentinel_ip, sentinel_port, created_wall_ms, updated_wall_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?5);
