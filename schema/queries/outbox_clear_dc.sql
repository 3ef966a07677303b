-- Makes room: everything that waits for one DC goes, a whole-document row follows in the same transaction.
DELETE FROM push_outbox WHERE dc_id = ?1;
