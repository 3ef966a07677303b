-- The highest epoch that a migration of this database ever had.
SELECT coalesce(max(epoch), 0) FROM migration_cluster_tbl;
