-- The record of an exclusion of DCs from the routing of a multi-active cluster.
INSERT INTO migration_bi_cluster_tbl (cluster_id, operation_time, operator, status, publish_info) VALUES (?1, ?2, ?3, ?4, ?5);
