-- A new migration event.
INSERT INTO migration_event_tbl (start_time, operator, event_tag, policy, mode) VALUES (?1, ?2, ?3, ?4, ?5);
