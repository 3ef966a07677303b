-- How many sentinels a group has.
SELECT count(*) FROM sentinel_tbl WHERE sentinel_group_id = ?1 AND deleted_at = 0;
