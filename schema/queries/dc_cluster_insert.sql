-- Binds a DC to a cluster.
INSERT INTO dc_cluster_tbl (dc_id, cluster_id, created_wall_ms, updated_wall_ms) VALUES (?1, ?2, ?3, ?3);
