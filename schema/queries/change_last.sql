-- The head of the change log: the present version and the hash that the next row chains to.
SELECT idx, hash FROM change_log ORDER BY idx DESC LIMIT 1;
