-- A new sentinel group.
INSERT INTO sentinel_group_tbl (cluster_type, active, sentinel_description, tag, created_wall_ms, updated_wall_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?5);
