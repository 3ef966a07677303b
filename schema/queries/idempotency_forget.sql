-- Forgets answers from before ?1, and the oldest beyond ?2.
DELETE FROM api_idempotency_tbl
WHERE created_ms < ?1
   OR idempotency_key IN (SELECT idempotency_key FROM api_idempotency_tbl ORDER BY created_ms DESC LIMIT -1 OFFSET ?2);
