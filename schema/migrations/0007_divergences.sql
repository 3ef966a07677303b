-- What returned masters of a backup DC had beyond the new master when they were told to follow (metaservers report it). Rows are kept for ever, with the
-- migrations: they are the record of what was lost. Times are unix ms; -1: not known.
CREATE TABLE divergence_tbl (
    id                   INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster_id           INTEGER NOT NULL REFERENCES cluster_tbl (id),
    shard_id             INTEGER NOT NULL REFERENCES shard_tbl (id),
    dc_id                INTEGER NOT NULL REFERENCES dc_tbl (id),
    migration_cluster_id INTEGER REFERENCES migration_cluster_tbl (id), -- the switch that left it behind; NULL: none is known
    redis                TEXT NOT NULL CHECK (length(redis) BETWEEN 3 AND 80),
    repl_id              TEXT NOT NULL DEFAULT '' CHECK (length(repl_id) <= 40),
    repl_offset          INTEGER NOT NULL DEFAULT -1,
    promoted_offset      INTEGER NOT NULL DEFAULT -1,
    lost_bytes           INTEGER NOT NULL DEFAULT -1,
    why                  TEXT NOT NULL DEFAULT '' CHECK (length(why) <= 32),
    reason               TEXT NOT NULL DEFAULT '' CHECK (length(reason) <= 1024),
    seen_ms              INTEGER NOT NULL,
    created_ms           INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX divergence_once ON divergence_tbl (shard_id, dc_id, redis, repl_id);
CREATE INDEX divergence_of_cluster ON divergence_tbl (cluster_id, id);
CREATE INDEX divergence_of_migration ON divergence_tbl (migration_cluster_id, shard_id);
