-- The name of a live availability zone of a DC, by its id.
SELECT az_name FROM az_tbl WHERE id = ?1 AND dc_id = ?2 AND deleted_at = 0;
