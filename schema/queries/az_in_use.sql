-- Does a live keeper container or redis stand in an availability zone of this DC?
SELECT EXISTS (SELECT 1 FROM keepercontainer_tbl WHERE keepercontainer_dc = ?2 AND az_id = ?1 AND deleted_at = 0)
    OR EXISTS (SELECT 1 FROM dc_cluster_tbl x
               JOIN dc_cluster_shard_tbl y ON y.dc_cluster_id = x.dc_cluster_id AND y.deleted_at = 0
               JOIN redis_tbl r ON r.dc_cluster_shard_id = y.dc_cluster_shard_id AND r.deleted_at = 0 AND r.az_id = ?1
               WHERE x.dc_id = ?2 AND x.deleted_at = 0);
