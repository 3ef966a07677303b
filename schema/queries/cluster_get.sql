-- One cluster with its organization and DCs (active one first), by name in any case.
SELECT c.id, c.cluster_name, c.cluster_type, c.cluster_description, c.cluster_org_id, coalesce(o.org_id, 0),
       coalesce(o.org_name, ''), c.cluster_admin_emails, c.status, c.tag, a.dc_name, c.cluster_last_modified_time,
       c.created_wall_ms, c.version,
       (SELECT group_concat(n, char(10)) FROM
           (SELECT d.dc_name AS n, x.dc_id = c.activedc_id AS is_first FROM dc_cluster_tbl x JOIN dc_tbl d ON d.id = x.dc_id
            WHERE x.cluster_id = c.id AND x.deleted_at = 0
            ORDER BY is_first DESC, x.dc_cluster_id))
FROM cluster_tbl c LEFT JOIN organization_tbl o ON o.id = c.cluster_org_id LEFT JOIN dc_tbl a ON a.id = c.activedc_id
WHERE c.cluster_name = ?1 AND c.deleted_at = 0;
