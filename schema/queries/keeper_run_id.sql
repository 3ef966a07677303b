-- The run id of the keepers of a shard in a DC, of present ones before deleted ones: a re-created keeper keeps its identity.
SELECT run_id FROM redis_tbl WHERE dc_cluster_shard_id = ?1 AND redis_role = 'keeper' AND length(run_id) = 40
ORDER BY deleted_at = 0 DESC, id DESC LIMIT 1;
