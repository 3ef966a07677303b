-- Clusters bound to a DC, by id, with the version that the document of the DC (?2: its own) shows: what has changed since?
SELECT x.cluster_id, min(c.version, ?2), c.cluster_type
FROM dc_cluster_tbl x JOIN cluster_tbl c ON c.id = x.cluster_id
WHERE x.dc_id = ?1 AND x.deleted_at = 0 AND c.deleted_at = 0
ORDER BY x.cluster_id;
