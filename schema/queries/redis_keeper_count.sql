-- Live keepers of a shard in a DC.
SELECT count(*) FROM redis_tbl WHERE dc_cluster_shard_id = ?1 AND deleted_at = 0 AND redis_role = 'keeper';
