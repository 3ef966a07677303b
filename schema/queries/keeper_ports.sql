-- Ports in use at an address from ?2 on, ascending: redises, keepers, and the REST ports of keeper containers.
SELECT redis_port AS port FROM redis_tbl WHERE redis_ip = ?1 AND redis_port >= ?2 AND deleted_at = 0
UNION
SELECT keepercontainer_port FROM keepercontainer_tbl
WHERE keepercontainer_ip = ?1 AND keepercontainer_port >= ?2 AND deleted_at = 0
ORDER BY port;
