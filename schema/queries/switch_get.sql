-- The value of a switch without a sub key.
SELECT value FROM config_tbl WHERE "key" = ?1 AND sub_key = '';
