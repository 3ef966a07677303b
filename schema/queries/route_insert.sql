-- A new route without hops.
INSERT INTO route_tbl (route_org_id, src_dc_id, dst_dc_id, cluster_type, is_public, active, tag, description,
                       created_wall_ms, updated_wall_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9);
