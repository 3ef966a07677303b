-- The newest ?1 exclusions.
SELECT b.id, c.cluster_name, b.operator, b.operation_time, b.publish_info, b.status, b.links
FROM migration_bi_cluster_tbl b JOIN cluster_tbl c ON c.id = b.cluster_id ORDER BY b.id DESC LIMIT ?1;
