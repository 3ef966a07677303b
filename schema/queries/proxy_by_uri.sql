-- Is a uri taken by another live proxy?
SELECT id FROM proxy_tbl WHERE uri = ?1 AND deleted_at = 0;
