-- Which shards use a sentinel group, and which groups a new shard may get.
CREATE INDEX dc_cluster_shard_of_sentinel ON dc_cluster_shard_tbl (setinel_id) WHERE setinel_id > 0 AND deleted_at = 0;
CREATE INDEX sentinel_group_of_kind ON sentinel_group_tbl (cluster_type COLLATE NOCASE, tag COLLATE NOCASE) WHERE deleted_at = 0;
