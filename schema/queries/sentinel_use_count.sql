-- How many shards (each DC counts) use a sentinel group.
SELECT count(*) FROM dc_cluster_shard_tbl WHERE setinel_id = ?1 AND setinel_id > 0 AND deleted_at = 0;
