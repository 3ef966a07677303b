-- Does a shard of another cluster use this monitor name?
SELECT id FROM shard_tbl WHERE setinel_monitor_name = ?1 AND cluster_id <> ?2 AND deleted_at = 0 LIMIT 1;
