-- A live shard of a cluster by its name, in any case.
SELECT id, shard_name FROM shard_tbl WHERE cluster_id = ?1 AND shard_name = ?2 AND deleted_at = 0;
