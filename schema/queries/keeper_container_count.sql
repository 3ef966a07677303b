-- How many keeper containers a DC has.
SELECT count(*) FROM keepercontainer_tbl WHERE keepercontainer_dc = ?1 AND deleted_at = 0;
