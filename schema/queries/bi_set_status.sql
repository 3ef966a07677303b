-- What became of an exclusion.
UPDATE migration_bi_cluster_tbl SET status = ?2 WHERE id = ?1;
