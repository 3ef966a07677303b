-- A new cluster in status Normal.
INSERT INTO cluster_tbl (cluster_name, cluster_type, activedc_id, cluster_description, cluster_org_id,
                         cluster_admin_emails, cluster_last_modified_time, version, created_wall_ms, updated_wall_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9);
