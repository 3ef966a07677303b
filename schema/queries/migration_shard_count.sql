-- How many shards a cluster has.
SELECT count(*) FROM shard_tbl WHERE cluster_id = ?1 AND deleted_at = 0;
