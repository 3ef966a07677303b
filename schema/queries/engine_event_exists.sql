-- Is there such an event?
SELECT count(*) FROM migration_event_tbl WHERE id = ?1;
