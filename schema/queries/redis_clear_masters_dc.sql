-- A DC of a shard has one master: the others of the same DC lose the flag.
UPDATE redis_tbl SET master = 0, updated_wall_ms = ?3
WHERE dc_cluster_shard_id = ?1 AND id <> ?2 AND master = 1 AND deleted_at = 0;
