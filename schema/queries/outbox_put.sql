-- Notes that a DC must be told about a cluster; a newer change takes the place of the older one, which keeps its age. Under another
-- type than the one that waits: '' is for "its type changed", so that whether either is pushed counts.
INSERT INTO push_outbox (dc_id, cluster_name, cluster_type, is_deleted, idx, since_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (dc_id, cluster_name) DO UPDATE
SET cluster_type = CASE WHEN cluster_type = excluded.cluster_type THEN cluster_type ELSE '' END,
    is_deleted = excluded.is_deleted, idx = excluded.idx;
