-- The election priority of one keeper.
UPDATE redis_tbl SET keeper_priority = ?2, updated_wall_ms = ?3 WHERE id = ?1;
