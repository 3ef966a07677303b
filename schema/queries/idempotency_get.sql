-- The answer that was kept for a key.
SELECT created_ms, digest, status, body, location FROM api_idempotency_tbl WHERE idempotency_key = ?1;
