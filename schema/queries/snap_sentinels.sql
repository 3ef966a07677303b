-- Active sentinel groups with their addresses.
SELECT g.sentinel_group_id, g.cluster_type,
       (SELECT group_concat(a) FROM (SELECT s.sentinel_ip || ':' || s.sentinel_port AS a FROM sentinel_tbl s
        WHERE s.sentinel_group_id = g.sentinel_group_id AND s.deleted_at = 0 ORDER BY s.sentinel_id))
FROM sentinel_group_tbl g WHERE g.active = 1 AND g.deleted_at = 0 ORDER BY g.sentinel_group_id;
