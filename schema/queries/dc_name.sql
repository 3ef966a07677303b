-- The name of a DC by its id.
SELECT dc_name FROM dc_tbl WHERE id = ?1;
