-- Nobody needs the follow-ups of a migration any more: a newer one of the same cluster exists, or the cluster is gone.
SELECT EXISTS (SELECT 1 FROM migration_cluster_tbl WHERE cluster_id = ?1 AND id > ?2)
    OR EXISTS (SELECT 1 FROM cluster_tbl WHERE id = ?1 AND deleted_at <> 0);
