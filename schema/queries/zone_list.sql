-- Zones between two ids: all of them, or one.
SELECT id, zone_name, updated_wall_ms FROM zone_tbl WHERE id BETWEEN ?1 AND ?2 AND deleted_at = 0 ORDER BY id;
