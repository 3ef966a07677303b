/* fake_console.c - see fake_console.h. */
#include "tests/sim/fake_console.h"

#include <stdio.h>
#include <string.h>

#include "console/documents/document.h"
#include "shared/base/blob.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/sim/fake_http.h"

#include "shared/base/banned.h"

#define LANE_PUSHES     2 /* under way in one DC */
#define RETRY_FIRST_MS  500
#define RETRY_MAX_MS    5000
#define PUSH_TIMEOUT_MS 3000
#define SENT_KEPT       32
#define OLD_KEPT        8
#define HISTORY_MAX     1024

struct past { /* a cluster at one version */
    int64_t id;
    int64_t version;
    bool is_migrating;
};

struct row {          /* of the outbox */
    char cluster[24]; /* "": the whole document */
    int64_t idx;
    bool is_deleted;
    bool is_busy;
};

struct lane {
    struct fake_console *console;
    int dc;
    struct row rows[CONSOLE_CLUSTERS + 1];
    size_t count;
    int sending;
    int64_t retry_ms;
    struct loop_timer timer;
    char *old[OLD_KEPT]; /* documents of earlier versions, owned; a ring */
    int64_t old_version[OLD_KEPT];
    size_t old_count;
    int64_t version; /* of the DC: idx of the last change that concerns it */
};

struct sent { /* a push, kept to be sent again */
    int dc;
    char *method;
    char *path;
    char *body;
};

struct push {
    struct lane *lane;
    char cluster[24];
    int64_t idx;
    uint64_t run; /* of the console: answers to an older one are lost */
};

struct fake_console {
    struct fake_console_options opt;
    int64_t idx;
    struct console_cluster clusters[CONSOLE_CLUSTERS];
    size_t cluster_count;
    struct console_route routes[CONSOLE_ROUTES];
    size_t route_count;
    struct lane lanes[CONSOLE_DCS];
    struct past history[HISTORY_MAX];
    size_t history_count;
    struct sent sent[SENT_KEPT];
    size_t sent_count;
    bool is_stopped;
    uint64_t run;
    enum console_lie lie;
};

/* ---- documents: the model as the snapshot that the real encoder takes ---- */

struct snapshot_memory { /* what a dc_snapshot points into */
    struct snap_cluster clusters[CONSOLE_CLUSTERS];
    const char *dcs[CONSOLE_CLUSTERS][CONSOLE_DCS];
    struct snap_shard shards[CONSOLE_CLUSTERS][CONSOLE_SHARDS];
    char names[CONSOLE_SHARDS][16];
    struct snap_redis redises[CONSOLE_CLUSTERS][CONSOLE_SHARDS][CONSOLE_REDISES];
    struct snap_redis keepers[CONSOLE_CLUSTERS][CONSOLE_SHARDS][CONSOLE_KEEPERS];
    struct snap_container containers[CONSOLE_CONTAINERS];
    struct snap_route routes[CONSOLE_ROUTES];
    struct snap_bad_route bad_routes[CONSOLE_ROUTES];
};

static void snap_redises(const struct console_cluster *c, int dc, int shard,
                         struct snap_redis *redises, struct snap_shard *out)
{
    out->redises = redises;
    for (int i = 0; i < CONSOLE_REDISES; i++) {
        const struct addr *addr = &c->redis[dc][shard][i];
        if (!addr_is_none(addr)) {
            redises[out->redis_count] = (struct snap_redis){
                .id = c->id * 100 + shard * 10 + i,
                .run_id = "unknown",
                .ip = addr->host,
                .port = addr->port,
                .is_master = out->redis_count == 0,
                .az = "",
            };
            out->redis_count++;
        }
    }
}

static void snap_keepers(const struct console_cluster *c, int dc, int shard,
                         struct snap_redis *keepers, struct snap_shard *out)
{
    out->keepers = keepers;
    for (int i = 0; i < CONSOLE_KEEPERS; i++) {
        const struct addr *addr = &c->keeper[dc][shard][i];
        if (!addr_is_none(addr)) {
            keepers[out->keeper_count++] = (struct snap_redis){
                .id = c->id * 100 + 50 + shard * 10 + i,
                .run_id = "unknown",
                .ip = addr->host,
                .port = addr->port,
                .is_active = i == 0,
                .container_id = c->keeper_container[dc][shard][i],
                .priority = 1,
                .az = "",
            };
        }
    }
}

static void snap_containers(const struct fake_console *f, int dc, struct snapshot_memory *m,
                            struct dc_snapshot *snap)
{
    snap->containers = m->containers;
    for (int i = 0; i < CONSOLE_CONTAINERS; i++) {
        const struct addr *addr = &f->opt.containers[dc][i];
        if (!addr_is_none(addr)) {
            m->containers[snap->container_count++] = (struct snap_container){
                .id = 1 + dc * CONSOLE_CONTAINERS + i, .ip = addr->host, .port = addr->port
            };
        }
    }
}

static void snap_one(const struct fake_console *f, const struct console_cluster *c, int dc,
                     struct snapshot_memory *m, size_t at)
{
    struct snap_cluster *out = &m->clusters[at];
    *out = (struct snap_cluster){
        .id = c->id,
        .name = c->name,
        .type = c->type,
        .type_name = cluster_type_info(c->type)->name,
        .status = c->is_migrating ? "Migrating" : "Normal",
        .admin_emails = "a@b.c",
        .last_modified = "",
        .dcs = m->dcs[at],
        .version = c->version,
        .shards = m->shards[at],
        .shard_count = (size_t)c->shard_count,
    };
    for (int d = 0; d < CONSOLE_DCS; d++) {
        if (c->dcs & 1U << d) {
            m->dcs[at][out->dc_count++] = f->opt.dcs[d];
        }
    }
    out->active_dc = c->type == CLUSTER_ONE_WAY ? m->dcs[at][0] : NULL;
    for (int s = 0; s < c->shard_count; s++) {
        (void)snprintf(m->names[s], sizeof(m->names[s]), "s%d", s + 1);
        m->shards[at][s] = (struct snap_shard){ .id = c->id * 10 + s,
                                                .name = m->names[s],
                                                .monitor_name = m->names[s] };
        snap_redises(c, dc, s, m->redises[at][s], &m->shards[at][s]);
        snap_keepers(c, dc, s, m->keepers[at][s], &m->shards[at][s]);
    }
}

static bool is_usable(const char *info)
{
    return info[0] != '\0';
}

static void snap_routes(const struct fake_console *f, int dc, struct snapshot_memory *m,
                        struct dc_snapshot *snap)
{
    for (size_t i = 0; i < f->route_count; i++) {
        const struct console_route *r = &f->routes[i];
        if (!r->is_active || r->src != dc) {
            continue;
        }
        struct snap_route row = { .id = r->id,
                                  .cluster_type = "",
                                  .tag = "META",
                                  .src_dc = f->opt.dcs[r->src],
                                  .dst_dc = f->opt.dcs[r->dst],
                                  .route_info = r->info,
                                  .is_public = true };
        if (is_usable(r->info)) {
            m->routes[snap->route_count++] = row;
        } else {
            m->bad_routes[snap->bad_route_count++] = (struct snap_bad_route){ .route = row };
        }
    }
}

static bool is_in_dc(const struct console_cluster *c, int dc)
{
    return !c->is_deleted && (c->dcs & 1U << dc);
}

static json_t *whole_document(const struct dc_snapshot *snap)
{
    json_t *json = document_head(snap);
    json_t *clusters = json_object();
    for (size_t i = 0; i < snap->cluster_count; i++) {
        (void)json_object_set_new(clusters, snap->clusters[i].name,
                                  document_cluster(snap, &snap->clusters[i]));
    }
    (void)json_object_set_new(json, "clusters", clusters);
    (void)json_object_set_new(json, "routes", document_routes(snap));
    return json;
}

/* The whole document, or (id > 0) one cluster of it. Returns owned text. */
static char *encode(const struct fake_console *f, int dc, int64_t id, enum console_lie lie)
{
    struct snapshot_memory *m = xcalloc(1, sizeof(*m));
    struct dc_snapshot snap = { .version = f->idx,
                                .dc_id = dc + 1,
                                .dc = f->opt.dcs[dc],
                                .dc_version = f->lanes[dc].version,
                                .zone = "Z",
                                .last_modified = "",
                                .clusters = m->clusters,
                                .routes = m->routes,
                                .bad_routes = m->bad_routes };
    for (size_t i = 0; i < f->cluster_count; i++) {
        const struct console_cluster *c = &f->clusters[i];
        bool is_wanted = id > 0                ? c->id == id
                         : lie == CONSOLE_HALF ? i % 2 == 0
                                               : lie != CONSOLE_EMPTY;
        if (is_wanted && is_in_dc(c, dc)) {
            snap_one(f, c, dc, m, snap.cluster_count++);
        }
    }
    snap_containers(f, dc, m, &snap);
    if (lie != CONSOLE_ROUTELESS) {
        snap_routes(f, dc, m, &snap);
    }
    json_t *json = id > 0 ? document_cluster(&snap, &m->clusters[0]) : whole_document(&snap);
    char *text = json_dumps(json, JSON_COMPACT);
    xp_check(text != NULL);
    json_decref(json);
    free(m);
    return text;
}

static void keep_old(struct fake_console *f, struct lane *lane)
{
    size_t at = lane->old_count++ % OLD_KEPT;
    free(lane->old[at]);
    lane->old[at] = encode(f, lane->dc, 0, CONSOLE_HONEST);
    lane->old_version[at] = lane->version;
}

static void answer_document(struct fake_console *f, int dc, const char *if_none_match,
                            struct http_reply *ret_reply)
{
    struct lane *lane = &f->lanes[dc];
    enum console_lie lie = if_none_match ? f->lie : CONSOLE_HONEST;
    lie = lie == CONSOLE_OLD && lane->old_count == 0 ? CONSOLE_HONEST : lie;
    char *etag = xasprintf("\"%lld.%d\"", (long long)lane->version, (int)lie);
    ret_reply->status = 200;
    if (http_etag_matches(if_none_match, etag)) {
        ret_reply->status = 304;
        ret_reply->body = xstrdup("");
    } else if (lie == CONSOLE_OLD) {
        size_t oldest = lane->old_count < OLD_KEPT ? 0 : lane->old_count % OLD_KEPT;
        ret_reply->body = xstrdup(lane->old[oldest]);
    } else {
        ret_reply->body = encode(f, dc, 0, lie);
    }
    ret_reply->length = strlen(ret_reply->body);
    ret_reply->etag = etag;
}

static void serve(const char *method, const char *target, const char *body, size_t length,
                  const char *if_none_match, struct http_reply *ret_reply, void *arg)
{
    (void)body;
    (void)length;
    struct fake_console *f = arg;
    static const char path[] = "/api/dc/";
    for (int dc = 0; dc < CONSOLE_DCS && text_has_prefix(target, path); dc++) {
        const char *name = target + strlen(path);
        size_t n = strlen(f->opt.dcs[dc]);
        if (text_eq(method, "GET") && strncmp(name, f->opt.dcs[dc], n) == 0 && name[n] == '?') {
            answer_document(f, dc, if_none_match, ret_reply);
            return;
        }
    }
    /* of an active keeper */
    bool is_report = text_eq(method, "PUT") && text_has_prefix(target, path);
    ret_reply->status = is_report ? 200 : 404;
    ret_reply->body = xstrdup(is_report ? "{\"state\":0,\"message\":\"success\"}" : "");
}

/* ---- pushes ---- */

static void lane_wake(struct lane *lane, int64_t delay_ms)
{
    if (!loop_timer_is_running(&lane->timer)) {
        loop_timer_start(&lane->timer, delay_ms);
    }
}

static struct row *find_row(struct lane *lane, const char *cluster)
{
    for (size_t i = 0; i < lane->count; i++) {
        if (text_eq(lane->rows[i].cluster, cluster)) {
            return &lane->rows[i];
        }
    }
    return NULL;
}

static void lane_failed(struct lane *lane)
{
    int64_t next_ms = lane->retry_ms * 2;
    lane->retry_ms = lane->retry_ms == 0      ? RETRY_FIRST_MS
                     : next_ms < RETRY_MAX_MS ? next_ms
                                              : RETRY_MAX_MS;
    lane_wake(lane, lane->retry_ms);
}

static void remove_row(struct lane *lane, struct row *row)
{
    struct row *last = &lane->rows[--lane->count];
    memmove(row, row + 1, (size_t)((char *)last - (char *)row));
}

static void pushed(int rc, int status, const char *body, void *arg)
{
    (void)body;
    AUTO_FREE struct push *p = arg;
    struct lane *lane = p->lane;
    struct fake_console *f = lane->console;
    if (p->run != f->run) {
        return; /* it was restarted meanwhile: the row is still in the outbox */
    }
    lane->sending--;
    struct row *row = find_row(lane, p->cluster);
    if (row) {
        row->is_busy = false;
    }
    bool is_gone = rc == 0 && status == 404; /* an older metaserver answers so to a deletion */
    if (rc != 0 || (status != 200 && !is_gone)) {
        lane_failed(lane);
        return;
    }
    lane->retry_ms = 0;
    f->opt.taken(lane->dc, p->cluster[0] ? p->cluster : NULL, p->idx, f->opt.arg);
    if (row && row->idx == p->idx) {
        remove_row(lane, row);
    }
    lane_wake(lane, 0);
}

static void keep_sent(struct fake_console *f, int dc, const char *method, const char *path,
                      const char *body)
{
    struct sent *s = &f->sent[f->sent_count++ % SENT_KEPT];
    free(s->method);
    free(s->path);
    free(s->body);
    *s = (struct sent){
        .dc = dc, .method = xstrdup(method), .path = xstrdup(path), .body = xstrdup(body)
    };
}

static void send_to_dc(struct fake_console *f, const struct sent *s, fake_http_done_fn *done,
                       void *arg)
{
    struct addr to = f->opt.metaserver(s->dc, f->opt.arg);
    AUTO_FREE char *url = xasprintf("http://%s%s", ADDR_TEXT(&to), s->path);
    fake_http_request(f->opt.loop, s->method, url, s->body, PUSH_TIMEOUT_MS, done, arg);
}

static const struct console_cluster *present(const struct fake_console *f, const char *name, int dc)
{
    for (size_t i = 0; i < f->cluster_count; i++) {
        if (text_eq(f->clusters[i].name, name) && is_in_dc(&f->clusters[i], dc)) {
            return &f->clusters[i];
        }
    }
    return NULL;
}

static void push(struct lane *lane, struct row *row)
{
    struct fake_console *f = lane->console;
    const struct console_cluster *c = present(f, row->cluster, lane->dc);
    struct sent s = { .dc = lane->dc };
    if (row->cluster[0] == '\0') {
        s.method = xstrdup("POST");
        s.path = xstrdup("/api/meta/v2/refresh");
    } else if (row->is_deleted || !c) {
        s.method = xstrdup("DELETE");
        s.path =
            xasprintf("/api/meta/clusterchange/%s?version=%lld", row->cluster, (long long)row->idx);
    } else {
        s.method = xstrdup("PUT");
        s.path = xasprintf("/api/meta/clusterchange/%s", row->cluster);
        s.body = encode(f, lane->dc, c->id, CONSOLE_HONEST);
    }
    struct push *p = xcalloc(1, sizeof(*p));
    *p = (struct push){ .lane = lane, .idx = row->idx, .run = f->run };
    (void)snprintf(p->cluster, sizeof(p->cluster), "%s", row->cluster);
    row->is_busy = true;
    lane->sending++;
    keep_sent(f, lane->dc, s.method, s.path, s.body);
    send_to_dc(f, &s, pushed, p);
    free(s.method);
    free(s.path);
    free(s.body);
}

static void lane_fire(struct loop_timer *timer)
{
    struct lane *lane = CONTAINER_OF(timer, struct lane, timer);
    if (lane->console->is_stopped) {
        return;
    }
    for (size_t i = 0; i < lane->count && lane->sending < LANE_PUSHES; i++) {
        if (!lane->rows[i].is_busy) {
            push(lane, &lane->rows[i]);
        }
    }
}

static void outbox_put(struct fake_console *f, int dc, const char *cluster, bool is_deleted)
{
    struct lane *lane = &f->lanes[dc];
    struct row *row = find_row(lane, cluster);
    bool is_busy = row && row->is_busy;
    if (row) {
        remove_row(lane, row);
    }
    xp_check(lane->count < ARRAY_LEN(lane->rows));
    row = &lane->rows[lane->count++];
    *row = (struct row){ .idx = f->idx, .is_deleted = is_deleted, .is_busy = is_busy };
    (void)snprintf(row->cluster, sizeof(row->cluster), "%s", cluster);
    lane_wake(lane, 0);
}

/* ---- metadata ---- */

struct console_cluster *fake_console_cluster(struct fake_console *f, size_t index)
{
    return index < f->cluster_count ? &f->clusters[index] : NULL;
}

struct console_cluster *fake_console_find(struct fake_console *f, int64_t id)
{
    for (size_t i = 0; i < f->cluster_count; i++) {
        if (f->clusters[i].id == id) {
            return &f->clusters[i];
        }
    }
    return NULL;
}

struct console_cluster *fake_console_add(struct fake_console *f, const char *name, int64_t id)
{
    xp_check(f->cluster_count < CONSOLE_CLUSTERS && !fake_console_find(f, id));
    struct console_cluster *c = &f->clusters[f->cluster_count++];
    *c = (struct console_cluster){ .id = id };
    (void)snprintf(c->name, sizeof(c->name), "%s", name);
    return c;
}

bool fake_console_has_room(const struct fake_console *f)
{
    return f->cluster_count < CONSOLE_CLUSTERS;
}

/* Every DC is told: it has the cluster, or had it (once more does no harm). */
void fake_console_commit(struct fake_console *f, struct console_cluster *c)
{
    for (int dc = 0; dc < CONSOLE_DCS; dc++) {
        keep_old(f, &f->lanes[dc]);
    }
    c->version = ++f->idx;
    xp_check(f->history_count < HISTORY_MAX);
    f->history[f->history_count++] =
        (struct past){ .id = c->id, .version = c->version, .is_migrating = c->is_migrating };
    for (int dc = 0; dc < CONSOLE_DCS; dc++) {
        f->lanes[dc].version = f->idx;
        outbox_put(f, dc, c->name, !is_in_dc(c, dc));
    }
}

struct console_route *fake_console_route(struct fake_console *f, size_t index)
{
    return index < f->route_count ? &f->routes[index] : NULL;
}

struct console_route *fake_console_add_route(struct fake_console *f)
{
    xp_check(f->route_count < CONSOLE_ROUTES);
    struct console_route *r = &f->routes[f->route_count++];
    *r = (struct console_route){ .id = (int64_t)f->route_count, .info = "" };
    return r;
}

void fake_console_commit_routes(struct fake_console *f, int src)
{
    keep_old(f, &f->lanes[src]);
    f->lanes[src].version = ++f->idx;
    outbox_put(f, src, "", false);
}

int64_t fake_console_version(const struct fake_console *f)
{
    return f->idx;
}

int64_t fake_console_dc_version(const struct fake_console *f, int dc)
{
    return f->lanes[dc].version;
}

bool fake_console_was_migrating(const struct fake_console *f, int64_t id, int64_t version)
{
    for (size_t i = 0; i < f->history_count; i++) {
        if (f->history[i].id == id && f->history[i].version == version) {
            return f->history[i].is_migrating;
        }
    }
    return false;
}

/* ---- trouble ---- */

void fake_console_stop(struct fake_console *f, bool is_stopped)
{
    f->is_stopped = is_stopped;
    f->run++;
    fake_http_set(NULL, &f->opt.addr, is_stopped ? FAKE_HTTP_REFUSES : FAKE_HTTP_UP);
    for (int dc = 0; dc < CONSOLE_DCS; dc++) {
        struct lane *lane = &f->lanes[dc];
        lane->sending = 0;
        lane->retry_ms = 0;
        for (size_t i = 0; i < lane->count; i++) {
            lane->rows[i].is_busy = false;
        }
        lane_wake(lane, 0);
    }
}

bool fake_console_is_stopped(const struct fake_console *f)
{
    return f->is_stopped;
}

void fake_console_lie(struct fake_console *f, enum console_lie lie)
{
    f->lie = lie;
}

bool fake_console_repeat(struct fake_console *f, uint64_t which)
{
    size_t kept = f->sent_count < SENT_KEPT ? f->sent_count : SENT_KEPT;
    if (kept == 0) {
        return false;
    }
    send_to_dc(f, &f->sent[which % kept], NULL, NULL);
    return true;
}

bool fake_console_is_idle(const struct fake_console *f)
{
    for (int dc = 0; dc < CONSOLE_DCS; dc++) {
        if (f->lanes[dc].count > 0 || f->lanes[dc].sending > 0) {
            return false;
        }
    }
    return true;
}

/* ---- life ---- */

struct fake_console *fake_console_new(const struct fake_console_options *options)
{
    struct fake_console *f = xcalloc(1, sizeof(*f));
    f->opt = *options;
    for (int dc = 0; dc < CONSOLE_DCS; dc++) {
        struct lane *lane = &f->lanes[dc];
        lane->console = f;
        lane->dc = dc;
        loop_timer_init(&lane->timer, options->loop, lane_fire);
    }
    fake_http_serve(&f->opt.addr, serve, f);
    return f;
}

void fake_console_free(struct fake_console *f)
{
    if (!f) {
        return;
    }
    fake_http_serve(&f->opt.addr, NULL, NULL);
    for (int dc = 0; dc < CONSOLE_DCS; dc++) {
        loop_timer_stop(&f->lanes[dc].timer);
        for (size_t i = 0; i < OLD_KEPT; i++) {
            free(f->lanes[dc].old[i]);
        }
    }
    for (size_t i = 0; i < SENT_KEPT; i++) {
        free(f->sent[i].method);
        free(f->sent[i].path);
        free(f->sent[i].body);
    }
    free(f);
}
