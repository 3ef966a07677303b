-- Soft delete of a binding.
UPDATE dc_cluster_tbl SET deleted_at = ?2, updated_wall_ms = ?2 WHERE dc_cluster_id = ?1;
