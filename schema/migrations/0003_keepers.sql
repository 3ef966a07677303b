-- The run id of a shard's keepers is looked up among deleted ones, too.
CREATE INDEX redis_keepers_ever ON redis_tbl (dc_cluster_shard_id) WHERE redis_role = 'keeper';
