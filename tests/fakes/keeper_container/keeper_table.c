/* keeper_table.c - see keeper_table.h. */
#include "tests/fakes/keeper_container/keeper_table.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"
#include "shared/net/rsync.h"
#include "tests/fakes/keeper_container/keeper_process.h"

#include "shared/base/banned.h"

enum { KEEPERS_MAX = 1000, FOLDERS_OPEN_MAX = 8, ASK_LIMIT_MS = 2000 };

struct keeper_meta_words {
    char *id;
    char *ip;
    int port;
};

struct trans_meta {
    int64_t repl_id;
    int64_t cluster_id;
    int64_t shard_id;
    struct keeper_meta_words keeper;
};

/* clang-format off */
static const struct jfield keeper_fields[] = {
    { .name = "id", .type = JF_STRING, .offset = offsetof(struct keeper_meta_words, id) },
    { .name = "ip", .type = JF_HOST, .offset = offsetof(struct keeper_meta_words, ip), .flags = JF_REQUIRED },
    { .name = "port", .type = JF_PORT, .offset = offsetof(struct keeper_meta_words, port), .flags = JF_REQUIRED },
    { 0 },
};
static const struct jfield trans_fields[] = {
    { .name = "replId", .type = JF_ID, .offset = offsetof(struct trans_meta, repl_id), .flags = JF_REQUIRED },
    { .name = "clusterDbId", .type = JF_ID, .offset = offsetof(struct trans_meta, cluster_id) },
    { .name = "shardDbId", .type = JF_ID, .offset = offsetof(struct trans_meta, shard_id) },
    { .name = "keeperMeta", .type = JF_OBJECT, .offset = offsetof(struct trans_meta, keeper), .flags = JF_REQUIRED,
      .sub = keeper_fields },
    { 0 },
};
/* clang-format on */

struct entry {
    struct trans_meta meta;
    json_t *keeper_json; /* as it was given */
    char *dir;
    char *zk_path;
    pid_t pid; /* 0: not started */
};

struct keeper_table {
    struct keeper_table_options options;
    struct map entries; /* replId -> struct entry */
};

const char *container_code_text(enum container_code code)
{
#define CONTAINER_CODE_TEXT(name) [CONTAINER_##name] = #name,
    static const char *const names[] = { "", CONTAINER_CODES(CONTAINER_CODE_TEXT) };
    return names[code];
}

static enum container_code refuse(enum container_code code, int64_t repl_id, struct xp_err *err)
{
    (void)xp_fail(err, XP_CONFLICT, "%s: replId:%lld", container_code_text(code),
                  (long long)repl_id);
    return code;
}

static enum container_code internal(struct xp_err *err)
{
    log_warn("keeper.failed", "why", err->msg);
    return CONTAINER_INTERNAL_EXCEPTION;
}

static void entry_free(struct entry *e)
{
    jd_done(trans_fields, &e->meta);
    json_decref(e->keeper_json);
    free(e->dir);
    free(e->zk_path);
    free(e);
}

/* ---- one keeper ---- */

static enum container_code entry_start(struct keeper_table *t, struct entry *e, struct xp_err *err)
{
    const struct keeper_launch launch = {
        .redis_server = t->options.redis_server,
        .module = t->options.module,
        .dir = e->dir,
        .addr = addr_of(e->meta.keeper.ip, e->meta.keeper.port),
        .run_id = e->meta.keeper.id,
        .zk_hosts = t->options.zk_hosts,
        .zk_path = e->zk_path,
        .zk_session_ms = t->options.zk_session_ms,
    };
    if (keeper_process_start(&launch, &e->pid, err) != 0) {
        return internal(err);
    }
    log_info("keeper.started", "repl_id", log_int(e->meta.repl_id), "address",
             ADDR_TEXT(&launch.addr), "pid", log_int(e->pid));
    return CONTAINER_OK;
}

static void entry_stop(struct entry *e)
{
    keeper_process_ask_end(e->pid);
    keeper_process_wait_end(&e->pid);
    log_info("keeper.stopped", "repl_id", log_int(e->meta.repl_id));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

/* ---- finding ---- */

static int decode(const json_t *body, struct trans_meta *ret_meta, struct xp_err *err)
{
    int rc = jd_object(body, trans_fields, ret_meta, err);
    if (rc == 0 && !text_has_prefix(ret_meta->keeper.ip, "127.")) {
        rc = xp_fail(err, XP_INVALID, "keeperMeta.ip: %s is not of this machine (127.x.y.z)",
                     ret_meta->keeper.ip);
    }
    return rc;
}

static void trans_meta_done(struct trans_meta *m)
{
    jd_done(trans_fields, m);
}

/* The keeper that a body names: CONTAINER_OK with *ret_entry, which is NULL when there is none. */
static enum container_code find(struct keeper_table *t, const json_t *body,
                                struct entry **ret_entry, int64_t *ret_id, struct xp_err *err)
{
    CLEANUP(trans_meta_done) struct trans_meta m = { 0 };
    if (decode(body, &m, err) != 0) {
        return internal(err);
    }
    *ret_id = m.repl_id;
    *ret_entry = map_get_n(&t->entries, (uint64_t)m.repl_id);
    return CONTAINER_OK;
}

/* As find, but a missing keeper is an error. */
static enum container_code need(struct keeper_table *t, const json_t *body,
                                struct entry **ret_entry, struct xp_err *err)
{
    int64_t id = 0;
    enum container_code code = find(t, body, ret_entry, &id, err);
    if (code == CONTAINER_OK && !*ret_entry) {
        return refuse(CONTAINER_KEEPER_NOT_EXIST, id, err);
    }
    return code;
}

static struct entry *at_port(const struct keeper_table *t, int port)
{
    size_t at = 0;
    for (const struct map_slot *s; (s = map_next(&t->entries, &at));) {
        struct entry *e = s->value;
        if (e->meta.keeper.port == port) {
            return e;
        }
    }
    return NULL;
}

/* ---- actions ---- */

static struct entry *entry_new(const struct keeper_table *t, struct trans_meta *take_meta,
                               const json_t *body)
{
    struct entry *e = xcalloc(1, sizeof(*e));
    e->meta = *take_meta;
    *take_meta = (struct trans_meta){ 0 };
    e->keeper_json = json_deep_copy(json_object_get(body, "keeperMeta"));
    e->dir = xasprintf("%s/repl_%lld_%d", t->options.dir, (long long)e->meta.repl_id,
                       e->meta.keeper.port);
    e->zk_path = t->options.zk_by_shard
                     ? xasprintf("/%s/keepers/cluster_%lld/shard_%lld", t->options.zk_namespace,
                                 (long long)e->meta.cluster_id, (long long)e->meta.shard_id)
                     : xasprintf("/%s/keepers/repl_%lld", t->options.zk_namespace,
                                 (long long)e->meta.repl_id);
    return e;
}

static enum container_code add_new(struct keeper_table *t, const json_t *body, struct xp_err *err)
{
    CLEANUP(trans_meta_done) struct trans_meta m = { 0 };
    if (decode(body, &m, err) != 0) {
        return internal(err);
    }
    if (at_port(t, m.keeper.port)) {
        (void)xp_fail(err, XP_CONFLICT,
                      "Add keeper for replId:%lld failed, port %d is already used",
                      (long long)m.repl_id, m.keeper.port);
        return internal(err);
    }
    if (map_count(&t->entries) >= KEEPERS_MAX) {
        (void)xp_fail(err, XP_TOO_MANY, "this container has %d keepers already", KEEPERS_MAX);
        return internal(err);
    }
    struct entry *e = entry_new(t, &m, body);
    enum container_code code = entry_start(t, e, err);
    if (code == CONTAINER_OK) {
        (void)map_put_n(&t->entries, (uint64_t)e->meta.repl_id, e);
    } else {
        entry_free(e);
    }
    return code;
}

enum container_code keeper_table_add(struct keeper_table *t, const json_t *body, struct xp_err *err)
{
    struct entry *e = NULL;
    int64_t id = 0;
    enum container_code code = find(t, body, &e, &id, err);
    if (code != CONTAINER_OK) {
        return code;
    }
    return e ? refuse(CONTAINER_KEEPER_ALREADY_EXIST, id, err) : add_new(t, body, err);
}

static enum container_code start_if_ended(struct keeper_table *t, struct entry *e,
                                          struct xp_err *err)
{
    return keeper_process_is_running(&e->pid)
               ? refuse(CONTAINER_KEEPER_ALREADY_STARTED, e->meta.repl_id, err)
               : entry_start(t, e, err);
}

enum container_code keeper_table_add_or_start(struct keeper_table *t, const json_t *body,
                                              struct xp_err *err)
{
    struct entry *e = NULL;
    int64_t id = 0;
    enum container_code code = find(t, body, &e, &id, err);
    if (code != CONTAINER_OK) {
        return code;
    }
    return e ? start_if_ended(t, e, err) : add_new(t, body, err);
}

enum container_code keeper_table_start(struct keeper_table *t, const json_t *body,
                                       struct xp_err *err)
{
    struct entry *e = NULL;
    enum container_code code = need(t, body, &e, err);
    return code == CONTAINER_OK ? start_if_ended(t, e, err) : code;
}

enum container_code keeper_table_stop(struct keeper_table *t, const json_t *body,
                                      struct xp_err *err)
{
    struct entry *e = NULL;
    enum container_code code = need(t, body, &e, err);
    if (code != CONTAINER_OK) {
        return code;
    }
    if (!keeper_process_is_running(&e->pid)) {
        return refuse(CONTAINER_KEEPER_ALREADY_STOPPED, e->meta.repl_id, err);
    }
    entry_stop(e);
    return CONTAINER_OK;
}

enum container_code keeper_table_delete(struct keeper_table *t, const json_t *body,
                                        struct xp_err *err)
{
    struct entry *e = NULL;
    enum container_code code = need(t, body, &e, err);
    if (code != CONTAINER_OK) {
        return code;
    }
    entry_stop(e);
    if (nftw(e->dir, remove_one, FOLDERS_OPEN_MAX, FTW_DEPTH | FTW_PHYS) != 0) {
        log_warn("keeper.folder", "dir", e->dir, "why", strerror(errno));
    }
    (void)map_remove_n(&t->entries, (uint64_t)e->meta.repl_id);
    entry_free(e);
    return CONTAINER_OK;
}

static enum container_code need_started(struct keeper_table *t, const json_t *body,
                                        struct entry **ret_entry, struct xp_err *err)
{
    enum container_code code = need(t, body, ret_entry, err);
    if (code == CONTAINER_OK && !keeper_process_is_running(&(*ret_entry)->pid)) {
        return refuse(CONTAINER_KEEPER_NOT_STARTED, (*ret_entry)->meta.repl_id, err);
    }
    return code;
}

enum container_code keeper_table_reelect(struct keeper_table *t, const json_t *body,
                                         struct xp_err *err)
{
    struct entry *e = NULL;
    enum container_code code = need_started(t, body, &e, err);
    if (code != CONTAINER_OK) {
        return code;
    }
    const char *words[] = { "STANDIN.REELECT" };
    struct rsync_options o = { .addr = addr_of(e->meta.keeper.ip, e->meta.keeper.port),
                               .deadline = clock_mono_ms() + ASK_LIMIT_MS };
    struct rsync *conn = NULL;
    struct rreply *reply = NULL;
    int rc = rsync_open(&o, &conn, err);
    rc = rc != 0 ? rc : rsync_command(conn, 1, words, NULL, &reply, err);
    if (rc == 0 && !rreply_is(reply, "OK")) {
        rc = xp_fail(err, XP_REMOTE, "the keeper answered: %s", rreply_text(reply, NULL));
    }
    rreply_free(reply);
    rsync_close(conn);
    return rc == 0 ? CONTAINER_OK : internal(err);
}

/* redis-server keeps no RDB, so there is none to drop. */
enum container_code keeper_table_release_rdb(struct keeper_table *t, const json_t *body,
                                             struct xp_err *err)
{
    struct entry *e = NULL;
    return need_started(t, body, &e, err);
}

/* ---- reading ---- */

static json_t *entry_to_json(const struct entry *e)
{
    return json_pack("{s:n, s:n, s:o?, s:O?}", "clusterDbId", "shardDbId", "replId",
                     e ? json_integer(e->meta.repl_id) : NULL, "keeperMeta",
                     e ? e->keeper_json : NULL);
}

json_t *keeper_table_list(struct keeper_table *t)
{
    json_t *list = json_array();
    size_t count = 0;
    AUTO_FREE void **sorted = map_sorted(&t->entries, &count);
    for (size_t i = 0; i < count; i++) {
        (void)json_array_append_new(list, entry_to_json(sorted[i]));
    }
    return list;
}

json_t *keeper_table_at_port(struct keeper_table *t, int port)
{
    return entry_to_json(at_port(t, port));
}

size_t keeper_table_count(const struct keeper_table *t)
{
    return map_count(&t->entries);
}

/* ---- life ---- */

struct keeper_table *keeper_table_new(const struct keeper_table_options *o)
{
    struct keeper_table *t = xcalloc(1, sizeof(*t));
    t->options = *o;
    t->entries = MAP_INIT(MAP_NUMBER);
    return t;
}

void keeper_table_stop_all(struct keeper_table *t)
{
    size_t at = 0;
    for (const struct map_slot *s; (s = map_next(&t->entries, &at));) {
        keeper_process_ask_end(((struct entry *)s->value)->pid);
    }
    at = 0;
    for (const struct map_slot *s; (s = map_next(&t->entries, &at));) {
        keeper_process_wait_end(&((struct entry *)s->value)->pid);
    }
}

void keeper_table_free(struct keeper_table *t)
{
    if (!t) {
        return;
    }
    size_t at = 0;
    keeper_table_stop_all(t);
    for (const struct map_slot *s; (s = map_next(&t->entries, &at));) {
        entry_free(s->value);
    }
    map_done(&t->entries);
    free(t);
}
