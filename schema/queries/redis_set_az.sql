-- Another availability zone for a redis.
UPDATE redis_tbl SET az_id = ?2, updated_wall_ms = ?3 WHERE id = ?1;
