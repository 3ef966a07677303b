-- The shards of a cluster, at most ?2.
SELECT shard_name FROM shard_tbl WHERE cluster_id = ?1 AND deleted_at = 0 ORDER BY shard_name LIMIT ?2;
