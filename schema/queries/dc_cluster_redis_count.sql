-- Live redises (not keepers) of a cluster in a DC.
SELECT count(*) FROM dc_cluster_shard_tbl s
JOIN redis_tbl r ON r.dc_cluster_shard_id = s.dc_cluster_shard_id AND r.deleted_at = 0 AND r.redis_role = 'redis'
WHERE s.dc_cluster_id = ?1 AND s.deleted_at = 0;
