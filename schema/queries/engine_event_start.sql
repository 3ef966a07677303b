-- The policy of the event runs from now on, also after a restart.
UPDATE migration_event_tbl SET is_started = 1 WHERE id = ?1;
