-- Designates a route for a cluster.
INSERT INTO cluster_route_tbl (cluster_id, route_id) VALUES (?1, ?2);
