-- Activity and description of an availability zone.
UPDATE az_tbl SET active = ?2, description = ?3, updated_wall_ms = ?4 WHERE id = ?1;
