-- All designated routes of a cluster as a comma list.
SELECT group_concat(route_id) FROM cluster_route_tbl WHERE cluster_id = ?1;
