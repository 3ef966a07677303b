-- A cluster of an event; its epoch is given by the engine that takes it up.
INSERT INTO migration_cluster_tbl (migration_event_id, cluster_id, source_dc_id, destination_dc_id, start_time, status, mode,
                                   phase_time, pending, outcome)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?5, ?8, ?9);
