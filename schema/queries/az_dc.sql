-- The DC of a live availability zone.
SELECT dc_id FROM az_tbl WHERE id = ?1 AND deleted_at = 0;
