-- The availability zone of a redis.
SELECT az_id FROM redis_tbl WHERE id = ?1;
