-- Answers of requests with an Idempotency-Key, until they are forgotten (console.idempotency.*). Times are unix ms.
CREATE TABLE api_idempotency_tbl (
    idempotency_key TEXT PRIMARY KEY CHECK (length(idempotency_key) BETWEEN 1 AND 128),
    created_ms      INTEGER NOT NULL,
    digest          TEXT NOT NULL CHECK (length(digest) = 64),
    status          INTEGER NOT NULL,
    body            TEXT NOT NULL,
    location        TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE INDEX api_idempotency_by_age ON api_idempotency_tbl (created_ms);
