-- The state of a migration; who and where never change.
UPDATE migration_cluster_tbl
SET start_time = ?2, end_time = ?3, status = ?4, mode = ?16, is_disaster = ?5, is_force_publish = ?6, is_active_switched = ?7, epoch = ?8,
    reason = ?9, publish_info = ?10, phase_time = ?11, pending = ?12, outcome = ?13, tries = ?14, is_followed = ?15
WHERE id = ?1;
