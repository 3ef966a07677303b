-- Told: removes the row unless a newer change has replaced it meanwhile.
DELETE FROM push_outbox WHERE dc_id = ?1 AND cluster_name = ?2 AND idx <= ?3;
