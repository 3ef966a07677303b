-- Soft delete of a shard; its rows go with shard_delete_*.
UPDATE shard_tbl SET deleted_at = ?2, updated_wall_ms = ?2 WHERE id = ?1;
