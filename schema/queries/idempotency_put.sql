-- Keeps an answer; one whose time is over is replaced.
INSERT INTO api_idempotency_tbl (idempotency_key, created_ms, digest, status, body, location)
VALUES (?1, ?2, ?3, ?4, ?5, ?6);
