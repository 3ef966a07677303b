-- Soft delete of the bindings of a cluster.
UPDATE dc_cluster_tbl SET deleted_at = ?2, updated_wall_ms = ?2 WHERE cluster_id = ?1 AND deleted_at = 0;
