-- A live sentinel group by its id.
SELECT sentinel_group_id, cluster_type, active, tag FROM sentinel_group_tbl WHERE sentinel_group_id = ?1 AND deleted_at = 0;
