-- What became of an exclusion, and how the links were.
UPDATE migration_bi_cluster_tbl SET status = ?2, links = ?3 WHERE id = ?1;
