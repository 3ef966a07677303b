-- The sentinel group of a shard in a DC.
SELECT setinel_id FROM dc_cluster_shard_tbl WHERE dc_cluster_shard_id = ?1;
