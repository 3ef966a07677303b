-- One event.
SELECT id, start_time, operator, event_tag, policy, mode, is_started FROM migration_event_tbl WHERE id = ?1;
