-- Is there a live keeper or redis at the address of a keeper container, or a keeper of it?
SELECT EXISTS (SELECT 1 FROM redis_tbl WHERE redis_ip = ?2 AND deleted_at = 0)
    OR EXISTS (SELECT 1 FROM redis_tbl WHERE keepercontainer_id = ?1 AND deleted_at = 0);
