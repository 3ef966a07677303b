-- Soft delete of an availability zone.
UPDATE az_tbl SET deleted_at = ?2, updated_wall_ms = ?2 WHERE id = ?1;
