-- Readiness of clusters for a switch: what changed since, without a scan. Exclusions of DCs: the links between the DCs that stay.
CREATE INDEX cluster_version ON cluster_tbl (version);
ALTER TABLE migration_bi_cluster_tbl ADD COLUMN links TEXT NOT NULL DEFAULT '' CHECK (length(links) <= 65536); -- JSON, or none
