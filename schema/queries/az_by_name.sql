-- A live availability zone by its name.
SELECT id FROM az_tbl WHERE az_name = ?1 AND deleted_at = 0;
