-- Clusters of any type, also deleted ones, that changed behind a version, at most ?2.
SELECT id, version FROM cluster_tbl WHERE version > ?1 ORDER BY version, id LIMIT ?2;
