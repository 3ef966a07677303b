-- The engine of this process, with its epoch ?1, takes over what is not over.
UPDATE migration_cluster_tbl SET epoch = ?1 WHERE is_followed = 0 AND epoch < ?1;
