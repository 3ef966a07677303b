-- Soft delete of a sentinel group; its sentinels go with sentinel_delete.
UPDATE sentinel_group_tbl SET deleted_at = ?2, updated_wall_ms = ?2 WHERE sentinel_group_id = ?1;
