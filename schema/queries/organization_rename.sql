-- A new name for an organization.
UPDATE organization_tbl SET org_name = ?2, updated_wall_ms = ?3 WHERE id = ?1;
