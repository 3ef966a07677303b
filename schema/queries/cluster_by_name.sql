-- A live cluster by its name, in any case.
SELECT id, cluster_name, cluster_type, activedc_id, cluster_org_id, status, migration_event_id, version, tag,
       cluster_description, cluster_admin_emails
FROM cluster_tbl WHERE cluster_name = ?1 AND deleted_at = 0;
