-- A deleted cluster has no designated routes.
DELETE FROM cluster_route_tbl WHERE cluster_id = ?1;
