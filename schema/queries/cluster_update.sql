-- The fields an operator may change.
UPDATE cluster_tbl SET cluster_type = ?2, cluster_description = ?3, cluster_org_id = ?4, cluster_admin_emails = ?5,
       tag = ?6
WHERE id = ?1;
