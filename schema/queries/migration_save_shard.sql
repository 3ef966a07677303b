-- The steps and the state of one shard of a migration.
UPDATE migration_shard_tbl SET log = ?2, state = ?3 WHERE id = ?1;
