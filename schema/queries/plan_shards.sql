-- The shards of a cluster by id, as a migration would have them.
SELECT id, shard_name FROM shard_tbl WHERE cluster_id = ?1 AND deleted_at = 0 ORDER BY id;
