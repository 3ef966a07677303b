-- The group of the live sentinel at an address.
SELECT sentinel_group_id FROM sentinel_tbl WHERE sentinel_ip = ?1 AND sentinel_port = ?2 AND deleted_at = 0;
