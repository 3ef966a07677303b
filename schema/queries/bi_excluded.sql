-- The DCs of a cluster that are excluded now: those of its last exclusion that the routing platform knows of.
SELECT publish_info FROM migration_bi_cluster_tbl WHERE cluster_id = ?1 AND status = 'Success' ORDER BY id DESC LIMIT 1;
