-- The active DC of a cluster.
UPDATE cluster_tbl SET activedc_id = ?2 WHERE id = ?1;
