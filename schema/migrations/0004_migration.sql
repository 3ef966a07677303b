-- Migrations: events, their clusters and shards (dr-switchover.md 1.2, 9.2 (3)). Times are unix ms. Rows are kept for ever: they are
-- the record of what was switched, when, by whom, and what was lost.
CREATE TABLE migration_event_tbl (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    start_time INTEGER NOT NULL,
    operator   TEXT NOT NULL DEFAULT 'xpipe' CHECK (length(operator) <= 128),
    event_tag  TEXT NOT NULL DEFAULT 'eventtag' CHECK (length(event_tag) <= 150),
    policy     TEXT NOT NULL DEFAULT 'canary' CHECK (policy IN ('canary', 'all')),
    mode       TEXT NOT NULL DEFAULT 'auto' CHECK (mode IN ('auto', 'planned', 'disaster')),
    is_started INTEGER NOT NULL DEFAULT 0 CHECK (is_started IN (0, 1))
) STRICT;

CREATE TABLE migration_cluster_tbl (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    migration_event_id INTEGER NOT NULL REFERENCES migration_event_tbl (id),
    cluster_id         INTEGER NOT NULL REFERENCES cluster_tbl (id),
    source_dc_id       INTEGER NOT NULL REFERENCES dc_tbl (id),
    destination_dc_id  INTEGER NOT NULL REFERENCES dc_tbl (id),
    start_time         INTEGER NOT NULL,
    end_time           INTEGER NOT NULL DEFAULT 0,
    status             TEXT NOT NULL CHECK (length(status) <= 16),
    publish_info       TEXT NOT NULL DEFAULT '' CHECK (length(publish_info) <= 65536), -- 1,024 masters
    mode               TEXT NOT NULL DEFAULT 'auto' CHECK (mode IN ('auto', 'planned', 'disaster')),
    is_disaster        INTEGER NOT NULL DEFAULT 0 CHECK (is_disaster IN (0, 1)),
    is_force_publish   INTEGER NOT NULL DEFAULT 0 CHECK (is_force_publish IN (0, 1)),
    is_active_switched INTEGER NOT NULL DEFAULT 0 CHECK (is_active_switched IN (0, 1)),
    epoch              INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    reason             TEXT NOT NULL DEFAULT '' CHECK (length(reason) <= 4096),
    phase_time         INTEGER NOT NULL DEFAULT 0,
    pending            TEXT NOT NULL DEFAULT '',
    outcome            TEXT NOT NULL DEFAULT '',
    tries              INTEGER NOT NULL DEFAULT 0,
    is_followed        INTEGER NOT NULL DEFAULT 0 CHECK (is_followed IN (0, 1)) -- terminal, and every DC confirmed
) STRICT;
CREATE INDEX migration_cluster_of_cluster ON migration_cluster_tbl (cluster_id, migration_event_id);
CREATE INDEX migration_cluster_of_event ON migration_cluster_tbl (migration_event_id);
-- What the engine looks after: at most one unfinished migration for a cluster.
CREATE UNIQUE INDEX migration_cluster_unfinished ON migration_cluster_tbl (cluster_id) WHERE end_time = 0;
CREATE INDEX migration_cluster_active ON migration_cluster_tbl (migration_event_id, cluster_id) WHERE is_followed = 0;

CREATE TABLE migration_shard_tbl (
    id                   INTEGER PRIMARY KEY AUTOINCREMENT,
    migration_cluster_id INTEGER NOT NULL REFERENCES migration_cluster_tbl (id),
    shard_id             INTEGER NOT NULL REFERENCES shard_tbl (id),
    log                  TEXT NOT NULL DEFAULT '', -- JSON of dr-switchover.md 3.5: results and texts of the steps
    state                TEXT NOT NULL DEFAULT '{}' -- JSON: everything else of struct migration_shard_row
) STRICT;
CREATE UNIQUE INDEX migration_shard_of_cluster ON migration_shard_tbl (migration_cluster_id, shard_id);

CREATE TABLE migration_follow_tbl (
    migration_cluster_id INTEGER NOT NULL REFERENCES migration_cluster_tbl (id),
    dc_id                INTEGER NOT NULL REFERENCES dc_tbl (id),
    result               INTEGER NOT NULL DEFAULT 0,
    text                 TEXT NOT NULL DEFAULT '',
    tries                INTEGER NOT NULL DEFAULT 0,
    retry_at             INTEGER NOT NULL DEFAULT 0,
    is_pending           INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (migration_cluster_id, dc_id)
) STRICT, WITHOUT ROWID;

-- The timeline: every transition with its rule, every intent, every result.
CREATE TABLE migration_line_tbl (
    id                   INTEGER PRIMARY KEY AUTOINCREMENT,
    migration_cluster_id INTEGER NOT NULL REFERENCES migration_cluster_tbl (id),
    shard_id             INTEGER NOT NULL DEFAULT 0,
    wall_ms              INTEGER NOT NULL,
    kind                 TEXT NOT NULL CHECK (kind IN ('transition', 'intent', 'result', 'ask')),
    from_state           TEXT NOT NULL DEFAULT '',
    to_state             TEXT NOT NULL DEFAULT '',
    rule                 TEXT NOT NULL DEFAULT '',
    text                 TEXT NOT NULL DEFAULT '' CHECK (length(text) <= 16384),
    duration_ms          INTEGER NOT NULL DEFAULT -1
) STRICT;
CREATE INDEX migration_line_of_cluster ON migration_line_tbl (migration_cluster_id, id);

CREATE TABLE migration_bi_cluster_tbl (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster_id     INTEGER NOT NULL REFERENCES cluster_tbl (id),
    operation_time INTEGER NOT NULL,
    operator       TEXT NOT NULL DEFAULT '' CHECK (length(operator) <= 128),
    status         TEXT NOT NULL CHECK (status IN ('Success', 'Fail')),
    publish_info   TEXT NOT NULL DEFAULT '' CHECK (length(publish_info) <= 10240) -- JSON array of the excluded DCs
) STRICT;
CREATE INDEX migration_bi_of_cluster ON migration_bi_cluster_tbl (cluster_id, id);
