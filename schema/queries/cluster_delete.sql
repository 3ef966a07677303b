-- Soft delete of a cluster; what is in it is deleted by the statements named cluster_delete_*.
UPDATE cluster_tbl SET deleted_at = ?2, version = ?3, updated_wall_ms = ?2 WHERE id = ?1;
