-- How many rows wait altogether.
SELECT count(*) FROM push_outbox;
