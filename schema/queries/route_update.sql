-- All fields of a route but its hops.
UPDATE route_tbl SET route_org_id = ?2, src_dc_id = ?3, dst_dc_id = ?4, cluster_type = ?5, is_public = ?6, active = ?7,
       tag = ?8, description = ?9, updated_wall_ms = ?10
WHERE id = ?1;
