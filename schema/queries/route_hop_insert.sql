-- One proxy of a hop.
INSERT INTO route_hop_tbl (route_id, hop, pos, proxy_id) VALUES (?1, ?2, ?3, ?4);
