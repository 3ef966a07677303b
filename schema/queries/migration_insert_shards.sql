-- The shards of a cluster of an event: all that it has now.
INSERT INTO migration_shard_tbl (migration_cluster_id, shard_id)
SELECT ?1, id FROM shard_tbl WHERE cluster_id = ?2 AND deleted_at = 0;
