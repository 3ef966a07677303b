-- Soft delete of a keeper container.
UPDATE keepercontainer_tbl SET deleted_at = ?2, updated_wall_ms = ?2 WHERE keepercontainer_id = ?1;
