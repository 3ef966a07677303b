/* migration_health.c - see migration_health.h. A look: the database on a worker, then metaservers and outer client at once. */
#include "console/migration/migration_health.h"

#include <stdio.h>
#include <string.h>

#include "console/catalog/lookup.h"
#include "console/notify/meta_urls.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"

#include "shared/base/banned.h"

enum {
    FIRST_LOOK_MS = 1000,
    REPLY_MAX_BYTES = 65536,
    DCS_MAX = 64,
    MESSAGE_MAX = 511,
    AGAIN_MS =
        2000 /* what is not well is looked at sooner: a console may start before its metaservers */
};

struct look { /* the one under way */
    struct job job;
    bool is_running;
    wall_ms start_ms;
    mono_ms begin;
    int database_rc;
    struct xp_err database_err;
    bool has_probe; /* the probe cluster exists */
    int64_t database_ms;
    int64_t metaservers_ms;
    int64_t outer_ms;
    char outer_problem[200];
    int waiting;
    char dcs[DCS_MAX][NAME_MAX_BYTES + 1];
    bool has_answered[DCS_MAX];
    int dc_count;
};

struct migration_health {
    struct migration_health_options options;
    struct loop_timer timer;
    struct meta_urls urls;
    char cluster[NAME_MAX_BYTES + 1];
    char shard[NAME_MAX_BYTES + 1];
    int64_t period_ms;
    int64_t stale_ms; /* atomic */
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    bool is_stopped;
    struct look look;
    struct mutex lock;
    struct migration_health_view view XP_GUARDED_BY_MEMBER(lock);
    /* as 'cluster', for any thread */
    char probe_name[NAME_MAX_BYTES + 1] XP_GUARDED_BY_MEMBER(lock);
};

static struct metric level_gauge = METRIC_GAUGE_INIT(
    "xpipe_migration_system_health", "", "0 well, 1 warning, 2 no migration may be prepared");

/* ---- the end of a look ---- */

static void add_silent(const struct look *l, struct str *text, int *ret_silent)
{
    for (int i = 0; i < l->dc_count; i++) {
        if (!l->has_answered[i]) {
            str_printf(text, "%s%s,", *ret_silent ? "" : "Non-Responsed Metaservers: ", l->dcs[i]);
            (*ret_silent)++;
        }
    }
}

static enum health_level judge(const struct look *l, struct str *text)
{
    int silent = 0;
    if (l->database_rc != 0) {
        str_printf(text, "database: %s", l->database_err.msg);
        return HEALTH_FAIL;
    }
    if (l->outer_problem[0]) {
        str_printf(text, "outer client: %s", l->outer_problem);
        return HEALTH_FAIL;
    }
    if (l->dc_count == 0) {
        str_puts(text, "no metaservers are configured");
        return HEALTH_WARNING;
    }
    add_silent(l, text, &silent);
    if (silent == l->dc_count) {
        str_clear(text);
        str_puts(text, "All MetaServers Down");
        return HEALTH_FAIL;
    }
    return silent ? HEALTH_WARNING : HEALTH_OK;
}

static void end_look(struct migration_health *h)
{
    struct look *l = &h->look;
    AUTO_STR struct str text = STR_INIT(MESSAGE_MAX);
    enum health_level level = judge(l, &text);
    mutex_lock(&h->lock);
    bool is_changed = h->view.level != level;
    h->view = (struct migration_health_view){ .level = level,
                                              .start_ms = l->start_ms,
                                              .database_ms = l->database_ms,
                                              .metaservers_ms = l->metaservers_ms,
                                              .outer_ms = l->outer_ms };
    (void)snprintf(h->view.message, MESSAGE_MAX + 1, "%s", str_text(&text));
    mutex_unlock(&h->lock);
    metric_set(&level_gauge, level);
    if (is_changed && level == HEALTH_OK) {
        log_info("migration.system_well");
    } else if (is_changed) {
        log_warn("migration.system_unwell", "fails", log_int(level == HEALTH_FAIL), "why",
                 str_text(&text));
    }
    l->is_running = false;
    if (!h->is_stopped) {
        bool is_soon = level != HEALTH_OK && AGAIN_MS < h->period_ms;
        loop_timer_start(&h->timer, is_soon ? AGAIN_MS : h->period_ms);
    }
}

static void let_go(struct migration_health *h)
{
    if (--h->look.waiting == 0) {
        end_look(h);
    }
}

/* ---- asking ---- */

static void metaserver_answered(int rc, const struct http_reply *reply, const struct xp_err *err,
                                void *arg, uint64_t token)
{
    (void)reply; /* whatever it says about the probe: it is there */
    (void)err;
    struct migration_health *h = arg;
    h->look.has_answered[token] = rc == 0;
    h->look.metaservers_ms = clock_mono_ms() - h->look.begin;
    let_go(h);
}

static void ask_metaserver(struct migration_health *h, int at, const char *base)
{
    AUTO_FREE char *url =
        xasprintf("%s/api/meta/getactivekeeper/%s/%s", base, h->cluster, h->shard);
    struct http_call call = { .method = "GET",
                              .url = url,
                              .connect_timeout_ms = h->connect_timeout_ms,
                              .timeout_ms = h->timeout_ms,
                              .max_reply_bytes = REPLY_MAX_BYTES };
    struct xp_err err = { 0 };
    h->look.waiting++;
    if (http_send(h->options.client, &call, metaserver_answered, h, (uint64_t)at, &err) < 0) {
        h->look.waiting--;
    }
}

static void ask_metaservers(struct migration_health *h)
{
    struct look *l = &h->look;
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&h->urls.urls, &at)) && l->dc_count < DCS_MAX) {
        (void)snprintf(l->dcs[l->dc_count], sizeof(l->dcs[0]), "%s", slot->text);
        l->has_answered[l->dc_count++] = false;
    }
    for (int i = 0; i < l->dc_count; i++) {
        ask_metaserver(h, i, meta_urls_get(&h->urls, l->dcs[i]));
    }
}

static void outer_answered(const struct outer_answer *answer, void *arg)
{
    struct migration_health *h = arg;
    h->look.outer_ms = clock_mono_ms() - h->look.begin;
    if (!answer->is_ok) {
        (void)snprintf(h->look.outer_problem, sizeof(h->look.outer_problem), "%s",
                       text_is_empty(answer->message) ? "it says no" : answer->message);
    }
    let_go(h);
}

static void read_database(struct job *job)
{
    struct look *l = CONTAINER_OF(job, struct look, job);
    struct migration_health *h = CONTAINER_OF(l, struct migration_health, look);
    char problem[DB_PROBLEM_BYTES];
    if (store_problem(h->options.catalog->store, problem)) {
        l->database_rc = xp_fail(&l->database_err, XP_UNAVAILABLE, "%s", problem);
    }
}

static void database_was_read(struct job *job)
{
    struct look *l = CONTAINER_OF(job, struct look, job);
    struct migration_health *h = CONTAINER_OF(l, struct migration_health, look);
    if (job->outcome != 0) {
        l->database_rc =
            xp_fail(&l->database_err, XP_UNAVAILABLE, "the console is too busy to look");
    }
    l->database_ms = clock_mono_ms() - l->begin;
    l->waiting = 1;
    if (!h->is_stopped) {
        ask_metaservers(h);
    }
    if (!h->is_stopped && h->options.outer && l->has_probe) {
        l->waiting++;
        outer_precheck(h->options.outer, h->cluster, outer_answered, h);
    }
    let_go(h);
}

static int find_probe(struct db *db, void *arg, struct xp_err *err)
{
    struct migration_health *h = arg;
    struct cluster_ref cluster;
    int rc = find_cluster(db, h->cluster, &cluster, err);
    h->look.has_probe = rc == 0 && cluster.id != 0;
    return rc;
}

static void run_look(struct job *job)
{
    struct look *l = CONTAINER_OF(job, struct look, job);
    struct migration_health *h = CONTAINER_OF(l, struct migration_health, look);
    l->database_rc = store_read(h->options.catalog->store, find_probe, h, &l->database_err);
    if (l->database_rc == 0) {
        read_database(job);
    }
}

static void timer_fire(struct loop_timer *t)
{
    struct migration_health *h = CONTAINER_OF(t, struct migration_health, timer);
    struct look *l = &h->look;
    if (l->is_running) {
        return;
    }
    *l = (struct look){
        .start_ms = clock_wall_ms(), .begin = clock_mono_ms(), .metaservers_ms = -1, .outer_ms = -1
    };
    l->job = (struct job){ .run = run_look, .done = database_was_read, .deadline = MONO_FOREVER };
    l->is_running = worker_submit(h->options.pool, &l->job, NULL) == 0;
    if (!l->is_running) {
        loop_timer_start(t, h->period_ms); /* full: at the next time */
    }
}

/* ---- life ---- */

struct migration_health *migration_health_new(const struct migration_health_options *options)
{
    struct migration_health *h = xcalloc(1, sizeof(*h));
    h->options = *options;
    h->urls = (struct meta_urls)META_URLS_INIT;
    mutex_init(&h->lock);
    metric_register(&level_gauge);
    loop_timer_init(&h->timer, options->loop, timer_fire);
    loop_timer_start(&h->timer, FIRST_LOOK_MS);
    return h;
}

/* "cluster1, shard1" */
static void split_probe(struct migration_health *h, const char *text)
{
    const char *cursor = text;
    const char *part;
    size_t length;
    h->cluster[0] = h->shard[0] = '\0';
    for (int i = 0; i < 2 && text_next_part(&cursor, ", ", &part, &length); i++) {
        (void)snprintf(i == 0 ? h->cluster : h->shard, sizeof(h->cluster), "%.*s", (int)length,
                       part);
    }
    mutex_lock(&h->lock);
    (void)snprintf(h->probe_name, sizeof(h->probe_name), "%s", h->cluster);
    mutex_unlock(&h->lock);
}

int migration_health_configure(struct migration_health *h,
                               const struct migration_health_settings *settings, struct xp_err *err)
{
    int rc = meta_urls_load(&h->urls, settings->metaservers, h->options.catalog->alias, err);
    if (rc != 0) {
        return rc;
    }
    split_probe(h, settings->probe);
    h->period_ms = settings->period_ms;
    __atomic_store_n(&h->stale_ms, settings->stale_ms, __ATOMIC_RELAXED);
    h->connect_timeout_ms = settings->connect_timeout_ms;
    h->timeout_ms = settings->timeout_ms;
    return 0;
}

void migration_health_stop(struct migration_health *h)
{
    h->is_stopped = true;
    loop_timer_stop(&h->timer);
}

void migration_health_free(struct migration_health *h)
{
    if (h) {
        loop_timer_stop(&h->timer);
        meta_urls_done(&h->urls);
        mutex_done(&h->lock);
        free(h);
    }
}

/* ---- what is known ---- */

struct migration_health_view migration_health_get(struct migration_health *h)
{
    struct migration_health_view view = { .metaservers_ms = -1, .outer_ms = -1 };
    if (!h) {
        return view;
    }
    mutex_lock(&h->lock);
    view = h->view;
    mutex_unlock(&h->lock);
    int64_t stale_ms = __atomic_load_n(&h->stale_ms, __ATOMIC_RELAXED);
    if (view.start_ms && clock_wall_ms() - view.start_ms > stale_ms && view.level == HEALTH_OK) {
        view.level = HEALTH_WARNING;
        (void)snprintf(view.message, sizeof(view.message), "not updated over 2 min\n");
    }
    return view;
}

void migration_health_probe(struct migration_health *h, char *ret_name, size_t size)
{
    ret_name[0] = '\0';
    if (h) {
        mutex_lock(&h->lock);
        (void)snprintf(ret_name, size, "%s", h->probe_name);
        mutex_unlock(&h->lock);
    }
}
