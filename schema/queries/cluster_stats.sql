-- How many live clusters and shards there are.
SELECT (SELECT count(*) FROM cluster_tbl WHERE deleted_at = 0), (SELECT count(*) FROM shard_tbl WHERE deleted_at = 0);
