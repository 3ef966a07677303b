-- The designated routes of a cluster out of a DC, before they are written anew.
DELETE FROM cluster_route_tbl WHERE cluster_id = ?1 AND route_id IN (SELECT id FROM route_tbl WHERE src_dc_id = ?2);
