-- Clusters whose links go from DC ?1 (the puller) to DC ?2: bi-directional ones bound to both, and those with keepers
-- whose active DC is ?2. With designated routes and the number of shards.
SELECT c.id, c.cluster_name, c.cluster_type, c.cluster_org_id,
       (SELECT group_concat(g.route_id) FROM cluster_route_tbl g WHERE g.cluster_id = c.id),
       (SELECT count(*) FROM shard_tbl s WHERE s.cluster_id = c.id AND s.deleted_at = 0)
FROM dc_cluster_tbl a
JOIN dc_cluster_tbl b ON b.cluster_id = a.cluster_id AND b.dc_id = ?2 AND b.deleted_at = 0
JOIN cluster_tbl c ON c.id = a.cluster_id AND c.deleted_at = 0
WHERE a.dc_id = ?1 AND a.deleted_at = 0 AND
      (c.cluster_type = 'BI_DIRECTION' OR (c.cluster_type IN ('ONE_WAY', 'HETERO') AND c.activedc_id = ?2));
