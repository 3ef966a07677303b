-- Appends one change; the only statement that writes the log.
INSERT INTO change_log (idx, epoch, wall_ms, actor, request_id, op, body, prev_hash, hash)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9);
