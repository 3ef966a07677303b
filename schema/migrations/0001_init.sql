-- Metadata of the console. Table and column names follow x-pipe's, so that imports and known queries keep working.
-- Common rules: STRICT; ids are never reused (AUTOINCREMENT); a row with deleted_at = 0 is live, else deleted_at is
-- the unix time in ms of its deletion; uniqueness is among live rows; names compare without regard to ASCII case.
-- Rows are never deleted for real (except hops, designations and the outbox), so foreign keys need no index of their own.

-- The version of metadata and the audit trail: idx 1, 2, 3, ... without gaps; hash covers prev_hash and all fields.
CREATE TABLE change_log (
    idx        INTEGER PRIMARY KEY CHECK (idx > 0),
    epoch      INTEGER NOT NULL CHECK (epoch > 0),
    wall_ms    INTEGER NOT NULL,
    actor      TEXT NOT NULL,
    request_id TEXT NOT NULL,
    op         TEXT NOT NULL CHECK (op <> ''),
    body       TEXT NOT NULL CHECK (substr(body, 1, 1) = '{'),
    prev_hash  TEXT NOT NULL CHECK (length(prev_hash) = 64),
    hash       TEXT NOT NULL CHECK (length(hash) = 64)
) STRICT;
CREATE TRIGGER change_log_no_update BEFORE UPDATE ON change_log
BEGIN SELECT RAISE(ABORT, 'change_log is append-only'); END;
CREATE TRIGGER change_log_no_delete BEFORE DELETE ON change_log
BEGIN SELECT RAISE(ABORT, 'change_log is append-only'); END;

-- One row. epoch rises when another console takes over the writing (a later issue).
CREATE TABLE store_state (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL CHECK (epoch > 0)
) STRICT;
INSERT INTO store_state (one, epoch) VALUES (1, 1);

CREATE TABLE zone_tbl (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    zone_name       TEXT NOT NULL COLLATE NOCASE CHECK (length(zone_name) BETWEEN 1 AND 128),
    deleted_at      INTEGER NOT NULL DEFAULT 0 CHECK (deleted_at >= 0),
    created_wall_ms INTEGER NOT NULL,
    updated_wall_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX zone_name_live ON zone_tbl (zone_name) WHERE deleted_at = 0;

-- version: idx of the last change that concerns the document of this DC.
CREATE TABLE dc_tbl (
    id                    INTEGER PRIMARY KEY AUTOINCREMENT,
    zone_id               INTEGER NOT NULL REFERENCES zone_tbl (id),
    dc_name               TEXT NOT NULL COLLATE NOCASE CHECK (length(dc_name) BETWEEN 1 AND 128),
    dc_active             INTEGER NOT NULL DEFAULT 1 CHECK (dc_active IN (0, 1)),
    dc_description        TEXT NOT NULL DEFAULT '',
    dc_last_modified_time TEXT NOT NULL DEFAULT '',
    version               INTEGER NOT NULL DEFAULT 0,
    deleted_at            INTEGER NOT NULL DEFAULT 0 CHECK (deleted_at >= 0),
    created_wall_ms       INTEGER NOT NULL,
    updated_wall_ms       INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX dc_name_live ON dc_tbl (dc_name) WHERE deleted_at = 0;
CREATE INDEX dc_zone ON dc_tbl (zone_id);

-- id is ours; org_id is the number that DBA tools send. (0, '') is the default organization.
CREATE TABLE organization_tbl (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id          INTEGER NOT NULL CHECK (org_id >= 0),
    org_name        TEXT NOT NULL CHECK (length(org_name) <= 250),
    deleted_at      INTEGER NOT NULL DEFAULT 0 CHECK (deleted_at >= 0),
    created_wall_ms INTEGER NOT NULL DEFAULT 0,
    updated_wall_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX organization_org_live ON organization_tbl (org_id) WHERE deleted_at = 0;
CREATE UNIQUE INDEX organization_name_live ON organization_tbl (org_name) WHERE deleted_at = 0;
INSERT INTO organization_tbl (org_id, org_name) VALUES (0, '');

-- activedc_id is 0 for multi-active types. version: idx of the last change of the cluster or of anything in it.
CREATE TABLE cluster_tbl (
    id                         INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster_name               TEXT NOT NULL COLLATE NOCASE CHECK (length(cluster_name) BETWEEN 1 AND 128),
    cluster_type               TEXT NOT NULL CHECK (cluster_type IN
        ('ONE_WAY', 'BI_DIRECTION', 'SINGLE_DC', 'LOCAL_DC', 'CROSS_DC', 'HETERO')),
    activedc_id                INTEGER NOT NULL DEFAULT 0 CHECK (activedc_id >= 0),
    cluster_description        TEXT NOT NULL DEFAULT '' CHECK (length(cluster_description) <= 1024),
    cluster_org_id             INTEGER NOT NULL DEFAULT 0 CHECK (cluster_org_id >= 0),
    cluster_admin_emails       TEXT NOT NULL DEFAULT '' CHECK (length(cluster_admin_emails) <= 1024),
    status                     TEXT NOT NULL DEFAULT 'Normal' CHECK (status IN
        ('Normal', 'Lock', 'Migrating', 'Rollback')),
    migration_event_id         INTEGER NOT NULL DEFAULT 0 CHECK (migration_event_id >= 0),
    is_xpipe_interested        INTEGER NOT NULL DEFAULT 1 CHECK (is_xpipe_interested IN (0, 1)),
    cluster_last_modified_time TEXT NOT NULL DEFAULT '',
    tag                        TEXT NOT NULL DEFAULT '' CHECK (length(tag) <= 32),
    version                    INTEGER NOT NULL,
    deleted_at                 INTEGER NOT NULL DEFAULT 0 CHECK (deleted_at >= 0),
    created_wall_ms            INTEGER NOT NULL,
    updated_wall_ms            INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX cluster_name_live ON cluster_tbl (cluster_name) WHERE deleted_at = 0;

CREATE TABLE dc_cluster_tbl (
    dc_cluster_id    INTEGER PRIMARY KEY AUTOINCREMENT,
    dc_id            INTEGER NOT NULL REFERENCES dc_tbl (id),
    cluster_id       INTEGER NOT NULL REFERENCES cluster_tbl (id),
    dc_cluster_phase INTEGER NOT NULL DEFAULT 1,
    deleted_at       INTEGER NOT NULL DEFAULT 0 CHECK (deleted_at >= 0),
    created_wall_ms  INTEGER NOT NULL,
    updated_wall_ms  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX dc_cluster_live ON dc_cluster_tbl (cluster_id, dc_id) WHERE deleted_at = 0;
CREATE INDEX dc_cluster_of_dc ON dc_cluster_tbl (dc_id, cluster_id) WHERE deleted_at = 0;

CREATE TABLE shard_tbl (
    id                   INTEGER PRIMARY KEY AUTOINCREMENT,
    shard_name           TEXT NOT NULL COLLATE NOCASE CHECK (length(shard_name) BETWEEN 1 AND 128),
    cluster_id           INTEGER NOT NULL REFERENCES cluster_tbl (id),
    setinel_monitor_name TEXT NOT NULL COLLATE NOCASE CHECK (length(setinel_monitor_name) BETWEEN 1 AND 128),
    deleted_at           INTEGER NOT NULL DEFAULT 0 CHECK (deleted_at >= 0),
    created_wall_ms      INTEGER NOT NULL,
    updated_wall_ms      INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX shard_name_live ON shard_tbl (cluster_id, shard_name) WHERE deleted_at = 0;
CREATE INDEX shard_monitor_live ON shard_tbl (setinel_monitor_name) WHERE deleted_at = 0;

-- A live shard has one live row for each live DC of its cluster.
CREATE TABLE dc_cluster_shard_tbl (
    dc_cluster_shard_id    INTEGER PRIMARY KEY AUTOINCREMENT,
    dc_cluster_id          INTEGER NOT NULL REFERENCES dc_cluster_tbl (dc_cluster_id),
    shard_id               INTEGER NOT NULL REFERENCES shard_tbl (id),
    setinel_id             INTEGER NOT NULL DEFAULT 0 CHECK (setinel_id >= 0),
    dc_cluster_shard_phase INTEGER NOT NULL DEFAULT 1,
    operating_until        INTEGER NOT NULL DEFAULT 0,
    deleted_at             INTEGER NOT NULL DEFAULT 0 CHECK (deleted_at >= 0),
    created_wall_ms        INTEGER NOT NULL,
    updated_wall_ms        INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX dc_cluster_shard_live ON dc_cluster_shard_tbl (dc_cluster_id, shard_id) WHERE deleted_at = 0;
CREATE INDEX dc_cluster_shard_of_shard ON dc_cluster_shard_tbl (shard_id) WHERE deleted_at = 0;

CREATE TABLE az_tbl (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    dc_id           INTEGER NOT NULL REFERENCES dc_tbl (id),
    active          INTEGER NOT NULL DEFAULT 1 CHECK (active IN (0, 1)),
    az_name         TEXT NOT NULL COLLATE NOCASE CHECK (length(az_name) BETWEEN 1 AND 128),
    description     TEXT NOT NULL DEFAULT '',
    deleted_at      INTEGER NOT NULL DEFAULT 0 CHECK (deleted_at >= 0),
    created_wall_ms INTEGER NOT NULL,
    updated_wall_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX az_name_live ON az_tbl (az_name) WHERE deleted_at = 0;
CREATE INDEX az_dc ON az_tbl (dc_id);

CREATE TABLE keepercontainer_tbl (
    keepercontainer_id        INTEGER PRIMARY KEY AUTOINCREMENT,
    keepercontainer_dc        INTEGER NOT NULL REFERENCES dc_tbl (id),
    az_id                     INTEGER NOT NULL DEFAULT 0 CHECK (az_id >= 0),
    keepercontainer_ip        TEXT NOT NULL COLLATE NOCASE CHECK (keepercontainer_ip <> ''),
    keepercontainer_port      INTEGER NOT NULL CHECK (keepercontainer_port BETWEEN 1 AND 65535),
    keepercontainer_active    INTEGER NOT NULL DEFAULT 1 CHECK (keepercontainer_active IN (0, 1)),
    keepercontainer_org_id    INTEGER NOT NULL DEFAULT 0 CHECK (keepercontainer_org_id >= 0),
    keepercontainer_disk_type TEXT NOT NULL DEFAULT 'DEFAULT',
    tag                       TEXT NOT NULL DEFAULT '' CHECK (length(tag) <= 32),
    deleted_at                INTEGER NOT NULL DEFAULT 0 CHECK (deleted_at >= 0),
    created_wall_ms           INTEGER NOT NULL,
    updated_wall_ms           INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX keepercontainer_addr_live ON keepercontainer_tbl (keepercontainer_ip, keepercontainer_port)
    WHERE deleted_at = 0;
CREATE INDEX keepercontainer_dc ON keepercontainer_tbl (keepercontainer_dc);

-- Redises and keepers: one address is one process, so they share the uniqueness. run_id stays on deletion.
CREATE TABLE redis_tbl (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id              TEXT NOT NULL DEFAULT 'unknown',
    dc_cluster_shard_id INTEGER NOT NULL REFERENCES dc_cluster_shard_tbl (dc_cluster_shard_id),
    redis_ip            TEXT NOT NULL COLLATE NOCASE CHECK (length(redis_ip) BETWEEN 1 AND 63),
    redis_port          INTEGER NOT NULL CHECK (redis_port BETWEEN 1 AND 65535),
    redis_role          TEXT NOT NULL DEFAULT 'redis' CHECK (redis_role IN ('redis', 'keeper')),
    keeper_active       INTEGER NOT NULL DEFAULT 0 CHECK (keeper_active IN (0, 1)),
    master              INTEGER NOT NULL DEFAULT 0 CHECK (master IN (0, 1)),
    keepercontainer_id  INTEGER REFERENCES keepercontainer_tbl (keepercontainer_id),
    az_id               INTEGER NOT NULL DEFAULT 0 CHECK (az_id >= 0),
    keeper_priority     INTEGER NOT NULL DEFAULT 1,
    deleted_at          INTEGER NOT NULL DEFAULT 0 CHECK (deleted_at >= 0),
    created_wall_ms     INTEGER NOT NULL,
    updated_wall_ms     INTEGER NOT NULL,
    CHECK ((redis_role = 'keeper') = (keepercontainer_id IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX redis_addr_live ON redis_tbl (redis_ip, redis_port) WHERE deleted_at = 0;
CREATE INDEX redis_of_shard ON redis_tbl (dc_cluster_shard_id) WHERE deleted_at = 0;
CREATE INDEX redis_of_container ON redis_tbl (keepercontainer_id) WHERE deleted_at = 0 AND keepercontainer_id IS NOT NULL;

CREATE TABLE proxy_tbl (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    dc_id           INTEGER NOT NULL REFERENCES dc_tbl (id),
    uri             TEXT NOT NULL COLLATE NOCASE CHECK (length(uri) BETWEEN 1 AND 256),
    active          INTEGER NOT NULL DEFAULT 0 CHECK (active IN (0, 1)),
    monitor_active  INTEGER NOT NULL DEFAULT 0 CHECK (monitor_active IN (0, 1)),
    deleted_at      INTEGER NOT NULL DEFAULT 0 CHECK (deleted_at >= 0),
    created_wall_ms INTEGER NOT NULL,
    updated_wall_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX proxy_uri_live ON proxy_tbl (uri) WHERE deleted_at = 0;
CREATE INDEX proxy_dc ON proxy_tbl (dc_id);

-- src_dc_id: the DC of the puller. route_org_id and cluster_type: 0 and '' mean any.
CREATE TABLE route_tbl (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    route_org_id    INTEGER NOT NULL DEFAULT 0 CHECK (route_org_id >= 0),
    src_dc_id       INTEGER NOT NULL REFERENCES dc_tbl (id),
    dst_dc_id       INTEGER NOT NULL REFERENCES dc_tbl (id),
    cluster_type    TEXT NOT NULL DEFAULT '' CHECK (cluster_type IN
        ('', 'ONE_WAY', 'BI_DIRECTION', 'SINGLE_DC', 'LOCAL_DC', 'CROSS_DC', 'HETERO')),
    is_public       INTEGER NOT NULL DEFAULT 0 CHECK (is_public IN (0, 1)),
    active          INTEGER NOT NULL DEFAULT 0 CHECK (active IN (0, 1)),
    tag             TEXT NOT NULL DEFAULT 'meta' COLLATE NOCASE CHECK (tag IN ('meta', 'console')),
    description     TEXT NOT NULL DEFAULT '' CHECK (length(description) <= 1024),
    deleted_at      INTEGER NOT NULL DEFAULT 0 CHECK (deleted_at >= 0),
    created_wall_ms INTEGER NOT NULL,
    updated_wall_ms INTEGER NOT NULL,
    CHECK (src_dc_id <> dst_dc_id)
) STRICT;
CREATE INDEX route_src ON route_tbl (src_dc_id, dst_dc_id);
CREATE INDEX route_dst ON route_tbl (dst_dc_id);

-- The hops of a route: proxies tried in the order of pos. A proxy is in a route at most once.
CREATE TABLE route_hop_tbl (
    route_id INTEGER NOT NULL REFERENCES route_tbl (id),
    hop      TEXT NOT NULL CHECK (hop IN ('src', 'opt', 'dst')),
    pos      INTEGER NOT NULL CHECK (pos >= 0),
    proxy_id INTEGER NOT NULL REFERENCES proxy_tbl (id),
    PRIMARY KEY (route_id, hop, pos),
    UNIQUE (route_id, proxy_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX route_hop_proxy ON route_hop_tbl (proxy_id);

-- Designated routes of a cluster (x-pipe: the comma list cluster_designated_route_ids).
CREATE TABLE cluster_route_tbl (
    cluster_id INTEGER NOT NULL REFERENCES cluster_tbl (id),
    route_id   INTEGER NOT NULL REFERENCES route_tbl (id),
    PRIMARY KEY (cluster_id, route_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX cluster_route_of_route ON cluster_route_tbl (route_id);

-- Switches; until_ms 0 means for ever.
CREATE TABLE config_tbl (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    "key"              TEXT NOT NULL CHECK (length("key") BETWEEN 1 AND 128),
    sub_key            TEXT NOT NULL DEFAULT '' CHECK (length(sub_key) <= 128),
    value              TEXT NOT NULL CHECK (length(value) <= 1024),
    until_ms           INTEGER NOT NULL DEFAULT 0 CHECK (until_ms >= 0),
    latest_update_user TEXT NOT NULL DEFAULT '',
    latest_update_ip   TEXT NOT NULL DEFAULT '',
    "desc"             TEXT NOT NULL DEFAULT '',
    created_wall_ms    INTEGER NOT NULL DEFAULT 0,
    updated_wall_ms    INTEGER NOT NULL DEFAULT 0,
    UNIQUE ("key", sub_key)
) STRICT;
INSERT INTO config_tbl ("key", value) VALUES ('sentinel.auto.process', 'true'), ('alert.system.on', 'true');

CREATE TABLE sentinel_group_tbl (
    sentinel_group_id    INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster_type         TEXT NOT NULL DEFAULT '',
    active               INTEGER NOT NULL DEFAULT 1 CHECK (active IN (0, 1)),
    sentinel_description TEXT NOT NULL DEFAULT '',
    tag                  TEXT NOT NULL DEFAULT '' CHECK (length(tag) <= 32),
    deleted_at           INTEGER NOT NULL DEFAULT 0 CHECK (deleted_at >= 0),
    created_wall_ms      INTEGER NOT NULL,
    updated_wall_ms      INTEGER NOT NULL
) STRICT;
CREATE TABLE sentinel_tbl (
    sentinel_id       INTEGER PRIMARY KEY AUTOINCREMENT,
    dc_id             INTEGER NOT NULL REFERENCES dc_tbl (id),
    sentinel_group_id INTEGER NOT NULL REFERENCES sentinel_group_tbl (sentinel_group_id),
    sentinel_ip       TEXT NOT NULL COLLATE NOCASE CHECK (sentinel_ip <> ''),
    sentinel_port     INTEGER NOT NULL CHECK (sentinel_port BETWEEN 1 AND 65535),
    deleted_at        INTEGER NOT NULL DEFAULT 0 CHECK (deleted_at >= 0),
    created_wall_ms   INTEGER NOT NULL,
    updated_wall_ms   INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX sentinel_addr_live ON sentinel_tbl (sentinel_ip, sentinel_port) WHERE deleted_at = 0;
CREATE INDEX sentinel_of_group ON sentinel_tbl (sentinel_group_id);
CREATE INDEX sentinel_dc ON sentinel_tbl (dc_id);

-- Pushes not yet acknowledged. cluster_name is compared byte by byte: a metaserver knows clusters by their exact name.
-- '' is the whole document. No foreign key: a row may outlive the cluster that it is about.
CREATE TABLE push_outbox (
    dc_id        INTEGER NOT NULL REFERENCES dc_tbl (id),
    cluster_name TEXT NOT NULL,
    cluster_type TEXT NOT NULL,
    is_deleted   INTEGER NOT NULL CHECK (is_deleted IN (0, 1)),
    idx          INTEGER NOT NULL,
    since_ms     INTEGER NOT NULL,
    PRIMARY KEY (dc_id, cluster_name)
) STRICT, WITHOUT ROWID;
CREATE INDEX push_outbox_idx ON push_outbox (idx);
