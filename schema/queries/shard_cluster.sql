-- Organization and tag of the cluster of a live shard.
SELECT c.cluster_org_id, c.tag FROM shard_tbl s JOIN cluster_tbl c ON c.id = s.cluster_id
WHERE s.id = ?1 AND s.deleted_at = 0;
