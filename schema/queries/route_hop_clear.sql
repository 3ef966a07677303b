-- The hops of a route, before they are written anew.
DELETE FROM route_hop_tbl WHERE route_id = ?1;
