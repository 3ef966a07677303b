-- Clusters that can be switched, behind an id, at most ?2; types as JSON list: the active DC, the DCs it could move to, and the others it has.
SELECT c.id, c.cluster_name, c.migration_event_id, a.dc_name,
       (SELECT group_concat(n, char(10)) FROM
           (SELECT d.dc_name AS n FROM dc_cluster_tbl x JOIN dc_tbl d ON d.id = x.dc_id
            WHERE x.cluster_id = c.id AND x.deleted_at = 0 AND d.id <> a.id AND d.zone_id = a.zone_id AND d.dc_active = 1
            ORDER BY x.dc_cluster_id)),
       (SELECT group_concat(n, char(10)) FROM
           (SELECT d.dc_name AS n FROM dc_cluster_tbl x JOIN dc_tbl d ON d.id = x.dc_id
            WHERE x.cluster_id = c.id AND x.deleted_at = 0 AND d.id <> a.id AND (d.zone_id <> a.zone_id OR d.dc_active = 0)
            ORDER BY x.dc_cluster_id))
FROM cluster_tbl c JOIN dc_tbl a ON a.id = c.activedc_id
WHERE c.id > ?1 AND c.deleted_at = 0 AND c.cluster_type IN (SELECT value FROM json_each(?3))
ORDER BY c.id LIMIT ?2;
