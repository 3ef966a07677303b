-- A route goes: nobody designates it any more.
DELETE FROM cluster_route_tbl WHERE route_id = ?1;
