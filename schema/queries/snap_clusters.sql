-- Clusters bound to a DC, with cluster ids in a range, by id; DCs in binding order and designated routes as joined texts. While a
-- cluster migrates, its destination sees itself as the active DC, so that it does not turn back what it was just told (dr-switchover.md 1.3).
SELECT c.id, c.cluster_name, c.cluster_type, c.status, c.cluster_org_id, c.cluster_admin_emails,
       c.cluster_last_modified_time, c.activedc_id, c.version,
       (SELECT group_concat(n, char(10)) FROM
           (SELECT d.dc_name AS n FROM dc_cluster_tbl y JOIN dc_tbl d ON d.id = y.dc_id
            WHERE y.cluster_id = c.id AND y.deleted_at = 0 ORDER BY y.dc_cluster_id)),
       (SELECT group_concat(g.route_id) FROM cluster_route_tbl g WHERE g.cluster_id = c.id),
       CASE WHEN c.status = 'Migrating' AND EXISTS
                (SELECT 1 FROM migration_cluster_tbl m WHERE m.cluster_id = c.id AND m.migration_event_id = c.migration_event_id
                     AND m.destination_dc_id = ?1)
            THEN (SELECT n.dc_name FROM dc_tbl n WHERE n.id = ?1) ELSE a.dc_name END
FROM dc_cluster_tbl x JOIN cluster_tbl c ON c.id = x.cluster_id LEFT JOIN dc_tbl a ON a.id = c.activedc_id
WHERE x.dc_id = ?1 AND x.deleted_at = 0 AND x.cluster_id BETWEEN ?2 AND ?3 AND c.deleted_at = 0
ORDER BY x.cluster_id;
