-- The name of a live cluster by its id.
SELECT cluster_name FROM cluster_tbl WHERE id = ?1 AND deleted_at = 0;
