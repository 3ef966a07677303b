-- The document of the DC changed.
UPDATE dc_tbl SET version = ?2 WHERE id = ?1;
