-- A page of the change log: audit, event stream, verification of the chain.
SELECT idx, epoch, wall_ms, actor, request_id, op, body, prev_hash, hash
FROM change_log WHERE idx > ?1 ORDER BY idx LIMIT ?2;
