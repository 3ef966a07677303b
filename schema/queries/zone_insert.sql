-- A new zone.
INSERT INTO zone_tbl (zone_name, created_wall_ms, updated_wall_ms) VALUES (?1, ?2, ?2);
