-- How many events a page of them is taken from: the same conditions as migration_event_page.
SELECT count(*) FROM migration_event_tbl e
WHERE (?1 IS NULL OR EXISTS (SELECT 1 FROM migration_cluster_tbl m JOIN cluster_tbl c ON c.id = m.cluster_id
                             WHERE m.migration_event_id = e.id AND c.cluster_name = ?1))
  AND (?2 IS NULL OR e.operator = ?2)
  AND (?3 IS NULL OR EXISTS (SELECT 1 FROM migration_cluster_tbl m
                             WHERE m.migration_event_id = e.id AND m.status IN (SELECT value FROM json_each(?3))))
  AND (?4 = 0 OR EXISTS (SELECT 1 FROM migration_cluster_tbl m JOIN cluster_tbl c ON c.id = m.cluster_id
                         WHERE m.migration_event_id = e.id AND c.cluster_name NOT GLOB 'test_*'));
