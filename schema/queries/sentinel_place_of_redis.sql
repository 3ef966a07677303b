-- The shard in a DC to which an address belongs.
SELECT dc_cluster_shard_id FROM redis_tbl WHERE redis_ip = ?1 AND redis_port = ?2 AND deleted_at = 0;
