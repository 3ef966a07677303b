-- What waits, oldest change first; ?1 is a DC or 0 for all.
SELECT o.dc_id, d.dc_name, o.cluster_name, o.cluster_type, o.is_deleted, o.idx, o.since_ms
FROM push_outbox o JOIN dc_tbl d ON d.id = o.dc_id
WHERE ?1 IN (0, o.dc_id) ORDER BY o.idx LIMIT ?2;
