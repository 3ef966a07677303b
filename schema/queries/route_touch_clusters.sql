-- A route goes: the clusters that designate it change.
UPDATE cluster_tbl SET version = ?2, updated_wall_ms = ?3
WHERE id IN (SELECT cluster_id FROM cluster_route_tbl WHERE route_id = ?1);
