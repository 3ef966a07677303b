-- The flag of one keeper.
UPDATE redis_tbl SET keeper_active = ?2, updated_wall_ms = ?3 WHERE id = ?1;
