-- How many migrations that began since ?1 have which status, and how long the ended ones took together.
SELECT status, count(*), sum(CASE WHEN end_time > start_time THEN end_time - start_time ELSE 0 END)
FROM migration_cluster_tbl WHERE start_time >= ?1 GROUP BY status ORDER BY status;
