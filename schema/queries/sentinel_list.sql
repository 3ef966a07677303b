-- Live sentinels of live groups with ids in a range, by group.
SELECT s.sentinel_id, s.sentinel_group_id, s.dc_id, s.sentinel_ip, s.sentinel_port, d.dc_name
FROM sentinel_tbl s JOIN sentinel_group_tbl g ON g.sentinel_group_id = s.sentinel_group_id AND g.deleted_at = 0
JOIN dc_tbl d ON d.id = s.dc_id
WHERE s.sentinel_group_id BETWEEN ?1 AND ?2 AND s.deleted_at = 0 ORDER BY s.sentinel_group_id, s.sentinel_id;
