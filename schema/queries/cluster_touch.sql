-- Anything in the cluster changed: its version is the change's.
UPDATE cluster_tbl SET version = ?2, cluster_last_modified_time = ?3, updated_wall_ms = ?4 WHERE id = ?1;
