/* plan_maker.c - see plan_maker.h. */
#include "console/migration/plan_maker.h"

#include <stdio.h>
#include <string.h>

#include "console/catalog/lookup.h"
#include "console/catalog/routes.h"
#include "console/store/query.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"

#include "shared/base/banned.h"

enum { INSTANCES_MAX = 65536 };

struct kept {
    char hash[PLAN_HASH_SIZE];
    char *text;
};

struct plan_maker {
    struct plan_maker_options o;
    struct mutex lock;
    struct plan_settings settings XP_GUARDED_BY_MEMBER(lock);
    struct kept kept[PLAN_KEPT_MAX] XP_GUARDED_BY_MEMBER(lock);
    size_t next XP_GUARDED_BY_MEMBER(lock);
};

/* ---- life ---- */

struct plan_maker *plan_maker_new(const struct plan_maker_options *options)
{
    struct plan_maker *m = xcalloc(1, sizeof(*m));
    m->o = *options;
    mutex_init(&m->lock);
    return m;
}

void plan_maker_configure(struct plan_maker *m, const struct plan_settings *settings)
{
    mutex_lock(&m->lock);
    m->settings = *settings;
    mutex_unlock(&m->lock);
}

struct plan_settings plan_maker_settings(struct plan_maker *m)
{
    mutex_lock(&m->lock);
    struct plan_settings settings = m->settings;
    mutex_unlock(&m->lock);
    return settings;
}

void plan_maker_free(struct plan_maker *m)
{
    if (!m) {
        return;
    }
    mutex_lock(&m->lock);
    for (size_t i = 0; i < PLAN_KEPT_MAX; i++) {
        free(m->kept[i].text);
    }
    mutex_unlock(&m->lock);
    mutex_done(&m->lock);
    free(m);
}

/* ---- what was shown ---- */

void plan_maker_remember(struct plan_maker *m, const char *hash, const char *text)
{
    if (strlen(text) > PLAN_KEPT_MAX_BYTES) {
        return;
    }
    char *copy = xstrdup(text);
    mutex_lock(&m->lock);
    struct kept *kept = &m->kept[m->next];
    for (size_t i = 0; i < PLAN_KEPT_MAX; i++) {
        if (text_eq(m->kept[i].hash, hash)) {
            kept = &m->kept[i];
        }
    }
    m->next = kept == &m->kept[m->next] ? (m->next + 1) % PLAN_KEPT_MAX : m->next;
    free(kept->text);
    kept->text = copy;
    (void)snprintf(kept->hash, sizeof(kept->hash), "%s", hash);
    mutex_unlock(&m->lock);
}

char *plan_maker_recall(struct plan_maker *m, const char *hash)
{
    char *text = NULL;
    mutex_lock(&m->lock);
    for (size_t i = 0; i < PLAN_KEPT_MAX && !text; i++) {
        if (m->kept[i].text && text_eq(m->kept[i].hash, hash)) {
            text = xstrdup(m->kept[i].text);
        }
    }
    mutex_unlock(&m->lock);
    return text;
}

/* ---- facts of the metadata ---- */

struct reading {
    const struct catalog *cat;
    const char *cluster;
    const char *from;
    const char *to;
    int64_t row_id; /* 0: a migration that is not made yet */
    bool is_over;
    struct switch_plan_facts *facts;
};

static int read_dcs(struct db *db, struct switch_plan_facts *f, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_CLUSTER_DCS, QUERY_ARGS(QI(f->cluster_id)));
    int rc;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        if (f->dc_count == MIGRATION_DCS_MAX) {
            return xp_fail(err, XP_TOO_LARGE, "cluster %.128s has more than %d DCs", f->cluster,
                           MIGRATION_DCS_MAX);
        }
        f->dcs[f->dc_count++] =
            (struct plan_dc){ .id = db_col_i64(&s, 0), .name = query_text(&s, 1) };
    }
    return rc;
}

static int read_shards(struct db *db, struct switch_plan_facts *f, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_PLAN_SHARDS, QUERY_ARGS(QI(f->cluster_id)));
    int rc;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        if (f->shard_count == MIGRATION_SHARDS_MAX) {
            return xp_fail(err, XP_TOO_LARGE, "cluster %.128s has more than %d shards", f->cluster,
                           MIGRATION_SHARDS_MAX);
        }
        *ARRAY_ADD(f->shards, f->shard_count) =
            (struct plan_shard){ .id = db_col_i64(&s, 0), .name = query_text(&s, 1) };
    }
    return rc;
}

static int read_instances(struct db *db, struct switch_plan_facts *f, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_PLAN_INSTANCES, QUERY_ARGS(QI(f->cluster_id)));
    int rc;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        if (f->instance_count == INSTANCES_MAX) {
            return xp_fail(err, XP_TOO_LARGE, "cluster %.128s has more than %d instances",
                           f->cluster, INSTANCES_MAX);
        }
        *ARRAY_ADD(f->instances, f->instance_count) =
            (struct plan_instance){ .dc_id = db_col_i64(&s, 0),
                                    .shard_id = db_col_i64(&s, 1),
                                    .addr = addr_of(db_col_text(&s, 2), (int)db_col_i64(&s, 3)),
                                    .is_master = db_col_i64(&s, 4) != 0,
                                    .is_keeper = text_eq(db_col_text(&s, 5), "keeper") };
    }
    return rc;
}

static int read_monitors(struct db *db, struct switch_plan_facts *f, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_PLAN_SENTINELS, QUERY_ARGS(QI(f->cluster_id)));
    int rc;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct plan_monitor *m = ARRAY_ADD(f->monitors, f->monitor_count);
        *m = (struct plan_monitor){ .dc_id = db_col_i64(&s, 0), .shard_id = db_col_i64(&s, 1) };
        m->name = xasprintf("%s+%s+%s", f->cluster, db_col_text(&s, 2), plan_dc_name(f, m->dc_id));
        m->count = sentinel_addrs(db_col_text(&s, 3), m->sentinels, NULL);
    }
    return rc;
}

/* Of every other DC to the destination, as its metaserver will choose then. */
static int read_routes(struct db *db, const struct cluster_ref *cluster,
                       struct switch_plan_facts *f, struct xp_err *err)
{
    struct route_direction ways[MIGRATION_DCS_MAX];
    for (size_t i = 0; i < f->dc_count; i++) {
        ways[i] = (struct route_direction){ .src_dc = f->dcs[i].name,
                                            .dst_dc = plan_dc_name(f, f->dest_dc_id) };
    }
    int rc = routes_choose(db, cluster, ways, f->dc_count, err);
    for (size_t i = 0; rc == 0 && i < f->dc_count; i++) {
        f->dcs[i].route = ways[i].choice.kind;
        f->dcs[i].route_words =
            ways[i].choice.kind == ROUTE_CHOSEN ? route_text(&ways[i].choice.route) : NULL;
    }
    return rc;
}

static int read_past(struct db *db, struct switch_plan_facts *f, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(db, Q_PLAN_PAST_GAPS, QUERY_ARGS(QI(f->cluster_id), QI(PLAN_PAST_MAX)));
    int rc;
    while ((rc = db_step(&s, err)) == DB_ROW && f->past_count < PLAN_PAST_MAX) {
        f->past_gap_ms[f->past_count++] = db_col_i64(&s, 0);
    }
    return rc < 0 ? rc : 0;
}

static int64_t id_of_dc(const struct reading *r, const char *name)
{
    const char *inner = dc_alias_inner(r->cat->alias, name);
    for (size_t i = 0; i < r->facts->dc_count; i++) {
        if (text_eq_nocase(r->facts->dcs[i].name, inner)) {
            return r->facts->dcs[i].id;
        }
    }
    return 0;
}

static int read_places(struct db *db, struct switch_plan_facts *f, struct xp_err *err)
{
    int rc = read_dcs(db, f, err);
    rc = rc < 0 ? rc : read_shards(db, f, err);
    rc = rc < 0 ? rc : read_instances(db, f, err);
    return rc < 0 ? rc : read_monitors(db, f, err);
}

static int read_in(struct db *db, void *arg, struct xp_err *err)
{
    struct reading *r = arg;
    struct cluster_ref cluster;
    int rc = find_cluster(db, r->cluster, &cluster, err);
    if (rc < 0 || !cluster.id) {
        return rc < 0 ? rc : xp_fail(err, XP_NOT_FOUND, "cluster not found:%.128s", r->cluster);
    }
    r->facts->cluster_id = cluster.id;
    r->facts->cluster = xstrdup(cluster.name);
    rc = read_places(db, r->facts, err);
    rc = rc < 0 ? rc : read_past(db, r->facts, err);
    r->facts->source_dc_id = id_of_dc(r, r->from);
    r->facts->dest_dc_id = id_of_dc(r, r->to);
    if (rc == 0 && (!r->facts->source_dc_id || !r->facts->dest_dc_id)) {
        return xp_fail(err, XP_CONFLICT, "cluster %.128s is not in both %.64s and %.64s any more",
                       cluster.name, r->from, r->to);
    }
    return rc == 0 ? read_routes(db, &cluster, r->facts, err) : rc;
}

static int name_dcs(struct switch_plan_facts *f, struct shard_survey *survey, struct xp_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < f->dc_count; i++) {
        rc = shard_survey_add(survey, f->dcs[i].name, f->dcs[i].id == f->source_dc_id,
                              f->dcs[i].id == f->dest_dc_id, err);
    }
    return rc;
}

static int read_facts(const struct catalog *cat, int (*read)(struct db *, void *, struct xp_err *),
                      struct reading *r, const struct plan_settings *settings,
                      struct switch_plan_facts **ret_facts, struct xp_err *err)
{
    struct switch_plan_facts *f = xcalloc(1, sizeof(*f));
    r->facts = f;
    f->limits = settings->limits;
    f->outer = settings->outer;
    f->precheck_us = -1;
    int rc = store_read(cat->store, read, r, err);
    for (size_t i = 0; rc == 0 && i < f->shard_count; i++) {
        f->shards[i].survey = xcalloc(1, sizeof(*f->shards[i].survey));
        rc = name_dcs(f, f->shards[i].survey, err);
    }
    if (rc < 0) {
        switch_plan_facts_free(f);
        return rc;
    }
    *ret_facts = f;
    return 0;
}

int plan_facts_read(const struct catalog *cat, const char *cluster, const char *from,
                    const char *to, const struct plan_settings *settings,
                    struct switch_plan_facts **ret_facts, struct xp_err *err)
{
    struct reading r = { .cat = cat, .cluster = cluster, .from = from, .to = to };
    return read_facts(cat, read_in, &r, settings, ret_facts, err);
}

/* ---- of a migration that was made ---- */

static bool has_its_shards(const struct switch_plan_facts *f,
                           const struct migration_cluster_row *row)
{
    bool is_so = f->shard_count == row->shard_count;
    for (size_t i = 0; is_so && i < f->shard_count; i++) {
        is_so = f->shards[i].id == row->shards[i].shard_id;
    }
    return is_so;
}

/* Nothing was done of one that waits for its start: as a new one. */
static int take_row(struct switch_plan_facts *f, struct migration_cluster_row *row,
                    struct xp_err *err)
{
    if (!has_its_shards(f, row)) {
        return xp_fail(err, XP_CONFLICT, "cluster %.128s has other shards than its migration",
                       f->cluster);
    }
    if (row->status != MIG_INITIATED) {
        f->now = clock_wall_ms();
        f->row = xcalloc(1, sizeof(*f->row));
        *f->row = *row;
        *row = (struct migration_cluster_row){ 0 };
    }
    return 0;
}

static int read_row_in(struct db *db, void *arg, struct xp_err *err)
{
    struct reading *r = arg;
    struct switch_plan_facts *f = r->facts;
    CLEANUP(migration_cluster_row_done) struct migration_cluster_row row = { 0 };
    int rc = migration_load(db, r->row_id, &row, err);
    if (rc != 0) {
        return rc;
    }
    const struct migration_status_info *info = migration_status_info(row.status);
    r->is_over = info->is_terminal;
    if (row.status != MIG_INITIATED && !info->is_paused) {
        return xp_fail(err, XP_CONFLICT, "cluster %.128s is %s: %s", row.cluster,
                       info->is_terminal ? "over" : "under way", info->text);
    }
    f->mode = row.mode;
    f->policy = row.policy;
    f->row_id = row.id;
    f->row_status = row.status;
    f->row_phase_ms = row.phase_ms;
    r->cluster = row.cluster;
    r->from = row.source_dc;
    r->to = row.dest_dc;
    rc = read_in(db, r, err);
    r->cluster = r->from = r->to = NULL;
    return rc == 0 ? take_row(f, &row, err) : rc;
}

int plan_facts_read_row(const struct catalog *cat, int64_t migration_cluster_id,
                        const struct plan_settings *settings, struct switch_plan_facts **ret_facts,
                        bool *ret_is_over, struct xp_err *err)
{
    struct reading r = { .cat = cat, .row_id = migration_cluster_id };
    int rc = read_facts(cat, read_row_in, &r, settings, ret_facts, err);
    *ret_is_over = r.is_over;
    return rc;
}

static int verify_row(struct db *db, const struct switch_plan_facts *f, struct xp_err *err)
{
    CLEANUP(migration_cluster_row_done) struct migration_cluster_row row = { 0 };
    int rc = f->row_id ? migration_load(db, f->row_id, &row, err) : 0;
    if (rc == 0 && f->row_id && (row.status != f->row_status || row.phase_ms != f->row_phase_ms)) {
        rc =
            xp_fail(err, XP_CONFLICT,
                    "the plan does not hold any more: the migration of cluster %.128s has moved to "
                    "%s while it was checked",
                    f->cluster, migration_status_info(row.status)->text);
    }
    return rc;
}

static bool are_watched_alike(const struct switch_plan_facts *a, const struct switch_plan_facts *b)
{
    bool is_so = a->monitor_count == b->monitor_count;
    for (size_t i = 0; is_so && i < a->monitor_count; i++) {
        const struct plan_monitor *x = &a->monitors[i];
        const struct plan_monitor *y = &b->monitors[i];
        is_so = x->dc_id == y->dc_id && x->shard_id == y->shard_id && text_eq(x->name, y->name) &&
                x->count == y->count;
        for (size_t k = 0; is_so && k < x->count; k++) {
            is_so = addr_eq(&x->sentinels[k], &y->sentinels[k]);
        }
    }
    return is_so;
}

static bool is_same(const struct switch_plan_facts *a, const struct switch_plan_facts *b)
{
    bool is_so = a->dc_count == b->dc_count && a->shard_count == b->shard_count &&
                 a->instance_count == b->instance_count && are_watched_alike(a, b);
    for (size_t i = 0; is_so && i < a->dc_count; i++) {
        is_so = a->dcs[i].id == b->dcs[i].id && a->dcs[i].route == b->dcs[i].route &&
                text_eq(a->dcs[i].route_words, b->dcs[i].route_words);
    }
    for (size_t i = 0; is_so && i < a->shard_count; i++) {
        is_so = a->shards[i].id == b->shards[i].id;
    }
    for (size_t i = 0; is_so && i < a->instance_count; i++) {
        const struct plan_instance *x = &a->instances[i];
        const struct plan_instance *y = &b->instances[i];
        is_so = x->dc_id == y->dc_id && x->shard_id == y->shard_id && addr_eq(&x->addr, &y->addr) &&
                x->is_keeper == y->is_keeper && x->is_master == y->is_master;
    }
    return is_so;
}

int plan_facts_verify(struct db *db, const struct switch_plan_facts *facts, struct xp_err *err)
{
    struct switch_plan_facts *now = xcalloc(1, sizeof(*now));
    struct cluster_ref cluster;
    now->cluster_id = facts->cluster_id;
    now->dest_dc_id = facts->dest_dc_id;
    now->cluster = xstrdup(facts->cluster);
    int rc = find_cluster(db, facts->cluster, &cluster, err);
    rc = rc < 0 ? rc : read_places(db, now, err);
    rc = rc < 0 ? rc : read_routes(db, &cluster, now, err);
    if (rc == 0 && !is_same(facts, now)) {
        rc =
            xp_fail(err, XP_CONFLICT,
                    "the plan does not hold any more: the metadata of cluster %.128s changed while "
                    "it was checked",
                    facts->cluster);
    }
    switch_plan_facts_free(now);
    return rc == 0 ? verify_row(db, facts, err) : rc;
}

/* ---- asking ---- */

struct asking { /* one request; owner: loop */
    struct loop_msg msg;
    struct plan_maker *maker;
    struct switch_plan_facts **facts;
    size_t count;
    size_t waiting;
    int64_t began_us;
    plan_surveyed_fn *done;
    void *arg;
};
struct one_survey {
    struct asking *asking;
    struct plan_shard *shard;
};
struct one_precheck {
    struct asking *asking;
    struct switch_plan_facts *facts;
};

static void let_go(struct asking *a)
{
    if (--a->waiting == 0) {
        plan_surveyed_fn *done = a->done;
        void *arg = a->arg;
        free(a);
        done(arg);
    }
}

static void on_survey(struct shard_survey *take_survey, void *arg)
{
    struct one_survey *one = arg;
    struct asking *a = one->asking;
    one->shard->survey = take_survey ? take_survey : xcalloc(1, sizeof(*take_survey));
    free(one);
    let_go(a);
}

static void on_precheck(const struct outer_answer *answer, void *arg)
{
    struct one_precheck *one = arg;
    struct asking *a = one->asking;
    struct switch_plan_facts *f = one->facts;
    f->precheck_us = clock_mono_us() - a->began_us;
    f->precheck_says_no = !answer->is_ok;
    f->precheck_text = xstrdup(answer->message ? answer->message : "");
    free(one);
    let_go(a);
}

static void ask_shard(struct asking *a, const char *cluster, struct plan_shard *shard)
{
    struct one_survey *one = xcalloc(1, sizeof(*one));
    *one = (struct one_survey){ a, shard };
    a->waiting++;
    a->maker->o.survey(a->maker->o.surveys, cluster, shard->name, TAKE(shard->survey), on_survey,
                       one);
}

static void ask_outer(struct asking *a, struct switch_plan_facts *f)
{
    struct one_precheck *one = xcalloc(1, sizeof(*one));
    *one = (struct one_precheck){ a, f };
    a->waiting++;
    outer_precheck(a->maker->o.outer, f->cluster, on_precheck, one);
}

static void start_asking(struct loop_msg *msg)
{
    struct asking *a = CONTAINER_OF(msg, struct asking, msg);
    a->waiting = 1;
    a->began_us = clock_mono_us();
    for (size_t i = 0; i < a->count; i++) {
        struct switch_plan_facts *f = a->facts[i];
        for (size_t k = 0; k < f->shard_count; k++) {
            ask_shard(a, f->cluster, &f->shards[k]);
        }
        if (f->outer == OUTER_CREDIS) {
            ask_outer(a, f);
        }
    }
    let_go(a);
}

static void drop_asking(struct loop_msg *msg)
{
    struct asking *a = CONTAINER_OF(msg, struct asking, msg);
    a->waiting = 1;
    let_go(a);
}

int plan_maker_survey(struct plan_maker *m, struct switch_plan_facts **facts, size_t count,
                      plan_surveyed_fn *done, void *arg, struct xp_err *err)
{
    struct asking *a = xcalloc(1, sizeof(*a));
    *a = (struct asking){ .msg = { .deliver = start_asking, .drop = drop_asking },
                          .maker = m,
                          .facts = facts,
                          .count = count,
                          .done = done,
                          .arg = arg };
    int rc = loop_post(m->o.loop, &a->msg, err);
    if (rc < 0) {
        free(a);
    }
    return rc;
}
