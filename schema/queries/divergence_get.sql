-- What is known of the divergence of a Redis and its history: shard ?1, DC ?2, address ?3, replication id ?4.
SELECT id, repl_offset, lost_bytes, seen_ms, migration_cluster_id FROM divergence_tbl
WHERE shard_id = ?1 AND dc_id = ?2 AND redis = ?3 AND repl_id = ?4;
