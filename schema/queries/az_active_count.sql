-- How many active availability zones a DC has.
SELECT count(*) FROM az_tbl WHERE dc_id = ?1 AND active = 1 AND deleted_at = 0;
