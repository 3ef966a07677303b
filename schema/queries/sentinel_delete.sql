-- Soft delete of the sentinels of a group.
UPDATE sentinel_tbl SET deleted_at = ?2, updated_wall_ms = ?2 WHERE sentinel_group_id = ?1 AND deleted_at = 0;
