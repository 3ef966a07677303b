-- The master flag of one redis.
UPDATE redis_tbl SET master = ?2, updated_wall_ms = ?3 WHERE id = ?1;
