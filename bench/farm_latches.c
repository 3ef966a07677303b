/* farm_latches.c - the keepers of the farm in ZooKeeper, as leader latches of Curator (proxy-and-keeper.md 4.7).
 *
 * Shards are dealt out to a few sessions; each registers all of its own at once when its session is there, and again after a new one. A
 * creation that fails is counted and told, not repeated: the farm is a stand-in, and the one who measures must know. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bench/farm.h"
#include "shared/base/mem.h"
#include "shared/net/zk.h"

#include "shared/base/banned.h"

#define SESSION_MS   30000
#define SESSIONS_MAX 32
/* 80 bytes each stay far below the 1 MB that ZooKeeper reads at once */
#define KEEPERS_A_SESSION 3000

struct session {
    struct farm *farm;
    struct zk *zk;
    size_t first; /* shards [first, end) */
    size_t end;
};

struct farm_latches {
    char *path; /* /<ns>/keepers; owned */
    int64_t first_shard_id;
    size_t session_count;
    struct session sessions[SESSIONS_MAX];
    /* created path, by keeper in the order of farm->redises; owned, NULL: not registered */
    char **names;
    size_t registered;
    uint64_t failed;
    int64_t started_us;
    int64_t done_us; /* the last one was registered; 0: not yet */
};

static size_t place_of(const struct farm *f, size_t number, size_t index)
{
    return (index - f->redis_count) * f->shards + number;
}

static size_t keepers_of(const struct farm *f)
{
    return f->shards * f->keeper_count;
}

/* ---- answers of ZooKeeper ---- */

static void fail(struct farm_latches *l, const char *what, int rc)
{
    l->failed++;
    (void)fprintf(stderr, "redis_farm: ZooKeeper: %s: %s\n", what, xp_code_info(rc)->name);
}

static void parent_made(int rc, const char *path, void *arg, uint64_t token)
{
    (void)path;
    const struct session *s = arg;
    if (rc != 0 && rc != XP_CONFLICT) {
        AUTO_FREE char *what = xasprintf("parent of shard %" PRIu64, token);
        fail(s->farm->latches, what, rc);
    }
}

static void latch_made(int rc, const char *path, void *arg, uint64_t token)
{
    const struct session *s = arg;
    struct farm_latches *l = s->farm->latches;
    if (rc != 0) {
        AUTO_FREE char *what = xasprintf("latch %" PRIu64, token);
        fail(l, what, rc);
        return;
    }
    l->registered += l->names[token] == NULL;
    free(l->names[token]);
    l->names[token] = xstrdup(path);
    if (l->registered == keepers_of(s->farm)) {
        l->done_us = clock_mono_us();
    }
}

static void latch_gone(int rc, void *arg, uint64_t token)
{
    (void)token;
    const struct session *s = arg;
    if (rc != 0 && rc != XP_NOT_FOUND) {
        fail(s->farm->latches, "deletion of a latch", rc);
    }
}

/* ---- registration ---- */

static void enter(struct session *s, const struct farm_redis *r)
{
    struct farm *f = s->farm;
    struct xp_err err;
    char host[INET_ADDRSTRLEN];
    farm_host(f->net + (int)r->index, r->number, host, sizeof(host));
    AUTO_FREE char *data = xasprintf(
        "{\"priority\":null,\"id\":\"%040zx\",\"port\":%d,\"active\":false,\"offset\":null,"
        "\"ip\":\"%s\",\"master\":null,\"survive\":null,\"keeperContainerId\":null}",
        r->number * 16 + r->index, f->port, host);
    AUTO_FREE char *path =
        xasprintf("%s/repl_%" PRId64 "/_c_%08zx-0000-4000-8000-%012zx-latch-", f->latches->path,
                  f->latches->first_shard_id + (int64_t)r->number, r->number, r->index);
    int rc = zk_create(s->zk, path, data, strlen(data), ZK_EPHEMERAL | ZK_SEQUENTIAL, latch_made, s,
                       place_of(f, r->number, r->index), &err);
    if (rc != 0) {
        fail(f->latches, err.msg, rc);
    }
}

static void enter_all(int rc, void *arg, uint64_t token)
{
    (void)token;
    struct session *s = arg;
    struct farm *f = s->farm;
    struct farm_latches *l = f->latches;
    struct xp_err err = { .msg = "the path of all keepers cannot be made" };
    for (size_t i = s->first; i < s->end && rc == 0; i++) {
        AUTO_FREE char *parent =
            xasprintf("%s/repl_%" PRId64, l->path, l->first_shard_id + (int64_t)i);
        rc = zk_create(s->zk, parent, "", 0, ZK_PERSISTENT, parent_made, s, i, &err);
        for (size_t k = f->redis_count; k < farm_per_shard(f); k++) {
            if (!farm_at(f, i, k)->is_gone) {
                enter(s, farm_at(f, i, k));
            }
        }
    }
    if (rc != 0) {
        fail(l, err.msg, rc);
    }
}

static void session_changed(struct zk *zk, enum zk_state state, bool is_new, void *arg)
{
    struct session *s = arg;
    struct xp_err err;
    s->zk = zk;
    if (state == ZK_READY && is_new) {
        int rc = zk_ensure_path(zk, s->farm->latches->path, enter_all, s, 0, &err);
        if (rc != 0) {
            fail(s->farm->latches, err.msg, rc);
        }
    }
}

int farm_latches_start(struct farm *f, const char *hosts, const char *zk_namespace,
                       int64_t first_shard_id, struct xp_err *err)
{
    if (f->latches || f->keeper_count == 0) {
        return xp_fail(err, XP_CONFLICT, "there are no keepers, or they are registered already");
    }
    struct farm_latches *l = xcalloc(1, sizeof(*l));
    f->latches = l;
    l->path = xasprintf("/%s/keepers", zk_namespace);
    l->first_shard_id = first_shard_id;
    l->names = xcalloc(keepers_of(f), sizeof(*l->names));
    l->started_us = clock_mono_us();
    l->session_count = (keepers_of(f) + KEEPERS_A_SESSION - 1) / KEEPERS_A_SESSION;
    xp_check(l->session_count <= SESSIONS_MAX);
    for (size_t i = 0; i < l->session_count; i++) {
        struct session *s = &l->sessions[i];
        *s = (struct session){ .farm = f,
                               .first = f->shards * i / l->session_count,
                               .end = f->shards * (i + 1) / l->session_count };
        struct zk_options options = { .hosts = hosts,
                                      .session_timeout_ms = SESSION_MS,
                                      .on_session = session_changed,
                                      .arg = s };
        s->zk = zk_new(f->loop, &options);
    }
    return 0;
}

void farm_latches_stop(struct farm *f)
{
    struct farm_latches *l = f->latches;
    if (!l) {
        return;
    }
    for (size_t i = 0; i < l->session_count; i++) {
        zk_free(l->sessions[i].zk);
    }
    for (size_t i = 0; i < keepers_of(f); i++) {
        free(l->names[i]);
    }
    free(l->names);
    free(l->path);
    free(TAKE(f->latches));
}

static struct session *session_of(const struct farm *f, size_t number)
{
    for (size_t i = 0; f->latches && i < f->latches->session_count; i++) {
        struct session *s = &f->latches->sessions[i];
        if (number >= s->first && number < s->end) {
            return s;
        }
    }
    return NULL;
}

void farm_latches_leave(struct farm *f, const struct farm_redis *r)
{
    struct session *s = session_of(f, r->number);
    char **name = s ? &f->latches->names[place_of(f, r->number, r->index)] : NULL;
    struct xp_err err;
    if (!name || !*name) {
        return;
    }
    int rc = zk_delete(s->zk, *name, -1, latch_gone, s, 0, &err);
    if (rc != 0) {
        fail(f->latches, err.msg, rc);
    }
    free(TAKE(*name));
    f->latches->registered--;
}

void farm_latches_enter(struct farm *f, const struct farm_redis *r)
{
    struct session *s = session_of(f, r->number);
    if (s) {
        enter(s, r);
    }
}

void farm_latches_json(const struct farm *f, struct str *out)
{
    const struct farm_latches *l = f->latches;
    int64_t took_us = l && l->done_us ? l->done_us - l->started_us : 0;
    str_printf(out,
               "{\"registered\":%zu,\"wanted\":%zu,\"failed\":%" PRIu64 ",\"took_ms\":%" PRId64 "}",
               l ? l->registered : 0, keepers_of(f), l ? l->failed : 0, took_us / 1000);
}
