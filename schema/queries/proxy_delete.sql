-- Soft delete of a proxy that no live route uses.
UPDATE proxy_tbl SET deleted_at = ?2, updated_wall_ms = ?2 WHERE id = ?1;
