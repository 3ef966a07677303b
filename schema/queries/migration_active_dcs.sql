-- How many clusters that have an active DC are active where.
SELECT d.dc_name, count(*) FROM cluster_tbl c JOIN dc_tbl d ON d.id = c.activedc_id
WHERE c.deleted_at = 0 AND c.activedc_id > 0 GROUP BY d.id ORDER BY d.id;
