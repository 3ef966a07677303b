-- How many DCs there are, for the limit.
SELECT count(*) FROM dc_tbl WHERE deleted_at = 0;
