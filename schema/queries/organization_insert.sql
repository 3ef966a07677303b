-- A new organization.
INSERT INTO organization_tbl (org_id, org_name, created_wall_ms, updated_wall_ms) VALUES (?1, ?2, ?3, ?3);
