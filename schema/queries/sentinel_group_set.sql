-- Activity and tag of a sentinel group.
UPDATE sentinel_group_tbl SET active = ?2, tag = ?3, updated_wall_ms = ?4 WHERE sentinel_group_id = ?1;
