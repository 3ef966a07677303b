-- A DC that must follow, or how far it is.
INSERT INTO migration_follow_tbl (migration_cluster_id, dc_id, result, text, tries, retry_at, is_pending)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (migration_cluster_id, dc_id) DO UPDATE
SET result = excluded.result, text = excluded.text, tries = excluded.tries, retry_at = excluded.retry_at,
    is_pending = excluded.is_pending;
