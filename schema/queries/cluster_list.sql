-- Clusters by name: types as JSON list or NULL, DC id or 0, part of the name (instr) or '', names behind a cursor, limit.
SELECT c.id, c.cluster_name, c.cluster_type, c.cluster_description, c.cluster_org_id, coalesce(o.org_id, 0),
       coalesce(o.org_name, ''), c.cluster_admin_emails, c.status, c.tag, a.dc_name, c.cluster_last_modified_time,
       c.created_wall_ms, c.version,
       (SELECT group_concat(n, char(10)) FROM
           (SELECT d.dc_name AS n, x.dc_id = c.activedc_id AS is_first FROM dc_cluster_tbl x JOIN dc_tbl d ON d.id = x.dc_id
            WHERE x.cluster_id = c.id AND x.deleted_at = 0
            ORDER BY is_first DESC, x.dc_cluster_id))
FROM cluster_tbl c LEFT JOIN organization_tbl o ON o.id = c.cluster_org_id LEFT JOIN dc_tbl a ON a.id = c.activedc_id
WHERE c.deleted_at = 0 AND c.cluster_name > ?4
  AND (?1 IS NULL OR c.cluster_type IN (SELECT value FROM json_each(?1)))
  AND (?2 = 0 OR EXISTS (SELECT 1 FROM dc_cluster_tbl y WHERE y.cluster_id = c.id AND y.dc_id = ?2 AND y.deleted_at = 0))
  AND (?3 = '' OR instr(lower(c.cluster_name), lower(?3)) > 0)
ORDER BY c.cluster_name LIMIT ?5;
