-- The sentinel group of a shard in a DC; 0: none.
UPDATE dc_cluster_shard_tbl SET setinel_id = ?2, updated_wall_ms = ?3 WHERE dc_cluster_shard_id = ?1;
