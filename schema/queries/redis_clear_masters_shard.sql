-- A one-way shard has one master, in the active DC: all others, there and in the other DCs, lose the flag.
UPDATE redis_tbl SET master = 0, updated_wall_ms = ?3
WHERE id <> ?2 AND master = 1 AND deleted_at = 0 AND dc_cluster_shard_id IN
    (SELECT b.dc_cluster_shard_id FROM dc_cluster_shard_tbl a JOIN dc_cluster_shard_tbl b ON b.shard_id = a.shard_id
     WHERE a.dc_cluster_shard_id = ?1 AND b.deleted_at = 0);
