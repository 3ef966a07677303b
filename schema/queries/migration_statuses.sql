-- What several migrations are at; ?1 is a JSON list of their ids.
SELECT id, status FROM migration_cluster_tbl WHERE id IN (SELECT value FROM json_each(?1));
