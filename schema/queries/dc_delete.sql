-- Soft delete; the references were checked by dc_references.
UPDATE dc_tbl SET deleted_at = ?2, updated_wall_ms = ?2 WHERE id = ?1;
