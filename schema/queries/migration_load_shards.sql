-- The shards of a migration by shard id.
SELECT m.id, m.shard_id, s.shard_name, m.log, m.state
FROM migration_shard_tbl m JOIN shard_tbl s ON s.id = m.shard_id
WHERE m.migration_cluster_id = ?1 ORDER BY m.shard_id;
