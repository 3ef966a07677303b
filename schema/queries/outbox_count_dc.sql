-- How many rows wait for one DC (a range of the primary key; bounded by OUTBOX_ROWS_PER_DC_MAX).
SELECT count(*), min(since_ms) FROM push_outbox WHERE dc_id = ?1;
