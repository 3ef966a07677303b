/* migration_events.c - how events are made (see migration_events.h). What is shown of them: migration_events_list.c, _history.c, _v2.c. */
#include "console/migration/migration_events.h"

#include <stdio.h>
#include <string.h>

#include "console/migration/migration_events_internal.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { CLUSTERS_MAX = 20000, MSG_MAX = 4096 };

const char *fail_reason_text(enum fail_reason reason)
{
    static const char *const texts[] = {
        [FAIL_NONE] = NULL,
        [FAIL_SYSTEM_UNHEALTHY] = "MIGRATION_SYSTEM_UNHEALTHY",
        [FAIL_NOT_FOUND] = "CLUSTER_NOT_FOUND",
        [FAIL_NOT_SUPPORTED] = "CLUSTER_NOT_SUPPORT_MIGRATION",
        [FAIL_ALREADY_NOT_REQUESTED] = "ACTIVE_DC_ALREADY_NOT_REQUESTED",
        [FAIL_ALREADY_MIGRATING] = "ALREADY_MIGRATING",
        [FAIL_OTHERS] = "OTHERS",
    };
    return (size_t)reason < ARRAY_LEN(texts) ? texts[reason] : "OTHERS";
}

static void cluster_result_done(struct event_cluster_result *item)
{
    free(item->cluster);
    free(item->from_dc);
    free(item->to_dc);
    free(item->msg);
    *item = (struct event_cluster_result){ 0 };
}

void event_result_done(struct event_result *result)
{
    for (size_t i = 0; i < result->count; i++) {
        cluster_result_done(&result->items[i]);
    }
    free(result->items);
    *result = (struct event_result){ 0 };
}

/* ---- one cluster: may it be migrated? ---- */

struct chosen { /* a cluster that is going to be locked */
    struct cluster_ref cluster;
    int64_t source_id;
    int64_t dest_id;
};

struct choice {
    const struct catalog *cat;
    struct db *db;
    const struct event_request *request;
    struct event_cluster_result *result;
    struct cluster_ref cluster;
    struct dc_refs dcs; /* of the cluster, with their zones */
    struct dc_ref active;
    struct dc_ref to;
};

static int refuse(const struct choice *c, enum fail_reason reason, const char *fmt, ...)
    XP_PRINTF(3, 4);
static int refuse(const struct choice *c, enum fail_reason reason, const char *fmt, ...)
{
    char text[MSG_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    c->result->reason = reason;
    free(c->result->msg);
    c->result->msg = xstrdup(text);
    return 0;
}

/* A step of the judgment: 0 and result->reason says whether it goes on. */
typedef int judge_fn(struct choice *, struct xp_err *);

static int judge_cluster(struct choice *c, struct xp_err *err)
{
    const char *name = c->result->cluster;
    int rc = find_cluster(c->db, name, &c->cluster, err);
    if (rc != 0) {
        return rc;
    }
    if (!c->cluster.id) {
        return refuse(c, FAIL_NOT_FOUND, "cluster not found:%s", name);
    }
    return c->cluster.info->can_migrate
               ? 0
               : refuse(c, FAIL_NOT_SUPPORTED, "cluster %s not support migration", name);
}

static int load_dcs(struct choice *c, struct xp_err *err)
{
    int rc = find_cluster_dcs(c->db, c->cluster.id, &c->dcs, err);
    for (size_t i = 0; rc == 0 && i < c->dcs.count; i++) {
        struct dc_ref *dc = &c->dcs.items[i];
        struct dc_ref whole;
        rc = find_dc(c->cat, c->db, dc->name, &whole, err);
        dc->zone_id = whole.zone_id;
        dc->is_active = whole.is_active;
        if (dc->id == c->cluster.active_dc_id) {
            c->active = *dc;
        }
    }
    return rc;
}

static bool is_dc(const struct choice *c, const char *asked, const struct dc_ref *dc)
{
    return text_eq_nocase(dc_alias_inner(c->cat->alias, asked), dc->name);
}

static int judge_source(struct choice *c, struct xp_err *err)
{
    const char *from = c->request->from_dc;
    int rc = load_dcs(c, err);
    if (rc != 0 || text_is_empty(from) || is_dc(c, from, &c->active)) {
        return rc;
    }
    return refuse(c, FAIL_ALREADY_NOT_REQUESTED,
                  "cluster:%s, fromIdcRequest:%s, but current ActiveDc:%s", c->result->cluster,
                  from, outer_name(c->cat, c->active.name));
}

static int judge_lock(struct choice *c, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(c->db, Q_MIGRATION_RUNNING, QUERY_ARGS(QI(c->cluster.id)));
    int rc = db_step(&s, err);
    if (rc == DB_ROW) {
        free(c->result->from_dc);
        c->result->from_dc = xstrdup(outer_name(c->cat, db_col_text(&s, 1)));
        c->result->to_dc = xstrdup(outer_name(c->cat, db_col_text(&s, 2)));
        return refuse(c, FAIL_ALREADY_MIGRATING, "%lld", (long long)db_col_i64(&s, 0));
    }
    if (rc == 0 && !text_eq_nocase(c->cluster.status, "Normal")) {
        return refuse(c, FAIL_OTHERS,
                      "Update failed.No rows updated: cluster %s has status %s, and no migration "
                      "that is under way",
                      c->result->cluster, c->cluster.status);
    }
    return rc;
}

static bool may_be_target(const struct choice *c, const struct dc_ref *dc)
{
    return dc->id != c->active.id && dc->zone_id == c->active.zone_id && dc->is_active;
}

/* Without a wish: one of the nearest. */
static int choose_target(struct choice *c)
{
    const struct dc_ref *candidates[DCS_PER_CLUSTER_MAX];
    int32_t distances[DCS_PER_CLUSTER_MAX];
    size_t count = 0;
    size_t at = 0;
    for (size_t i = 0; i < c->dcs.count; i++) {
        const struct dc_ref *dc = &c->dcs.items[i];
        if (may_be_target(c, dc)) {
            distances[count] =
                dc_relations_distance(c->cat->relations, c->cluster.name, c->active.name, dc->name);
            candidates[count++] = dc;
        }
    }
    if (!dc_relations_pick(distances, count, c->cluster.id, &at)) {
        return refuse(c, FAIL_OTHERS, "can not find a target dc for cluster:%s, fromIdc:%s",
                      c->result->cluster, c->request->from_dc);
    }
    c->to = *candidates[at];
    return 0;
}

static char *dcs_text(const struct choice *c)
{
    struct str text = STR_INIT(16384);
    for (size_t i = 0; i < c->dcs.count; i++) {
        str_printf(&text, "%s%s", i ? ", " : "[", outer_name(c->cat, c->dcs.items[i].name));
    }
    str_puts(&text, c->dcs.count ? "]" : "[]");
    return str_take(&text);
}

static int take_target(struct choice *c)
{
    const char *from = c->request->from_dc;
    const char *to = c->request->to_dc;
    if (text_eq_nocase(dc_alias_inner(c->cat->alias, from), dc_alias_inner(c->cat->alias, to))) {
        return refuse(c, FAIL_OTHERS, "fromIdc:%s equals with toIdc %s", from, to);
    }
    for (size_t i = 0; i < c->dcs.count; i++) {
        if (is_dc(c, to, &c->dcs.items[i])) {
            c->to = c->dcs.items[i];
        }
    }
    if (!c->to.id) {
        AUTO_FREE char *list = dcs_text(c);
        return refuse(c, FAIL_OTHERS, "toIdc : %s, can not find it in all related dcs:%s", to,
                      list);
    }
    return c->to.zone_id == c->active.zone_id
               ? 0
               : refuse(c, FAIL_OTHERS, "To Idc should be in same zone with from Idc");
}

static int judge_target(struct choice *c, struct xp_err *err)
{
    (void)err;
    if (text_is_empty(c->request->from_dc)) {
        return refuse(c, FAIL_OTHERS, "To Idc should be in same zone with from Idc");
    }
    return text_is_empty(c->request->to_dc) ? choose_target(c) : take_target(c);
}

static int judge_shards(struct choice *c, struct xp_err *err)
{
    int64_t count = 0;
    int rc = query_i64(c->db, Q_MIGRATION_SHARD_COUNT, QUERY_ARGS(QI(c->cluster.id)), &count, err);
    if (rc == 0 && (count == 0 || count > MIGRATION_SHARDS_MAX)) {
        return refuse(c, FAIL_OTHERS, "cluster %s has %lld shards, 1..%d can be migrated",
                      c->result->cluster, (long long)count, MIGRATION_SHARDS_MAX);
    }
    return rc;
}

/* Fills c->result; its reason FAIL_NONE: it can be locked. */
static int judge(struct choice *c, struct xp_err *err)
{
    static judge_fn *const steps[] = { judge_cluster, judge_source, judge_lock, judge_target,
                                       judge_shards };
    const char *from = c->request->from_dc;
    int rc = 0;
    c->result->from_dc = text_is_empty(from) ? NULL : xstrdup(from);
    for (size_t i = 0; rc == 0 && c->result->reason == FAIL_NONE && i < ARRAY_LEN(steps); i++) {
        rc = steps[i](c, err);
    }
    if (rc == 0 && c->result->reason == FAIL_NONE) {
        free(c->result->cluster);
        free(c->result->from_dc);
        c->result->cluster = xstrdup(c->cluster.name);
        c->result->from_dc = xstrdup(outer_name(c->cat, c->active.name));
        c->result->to_dc = xstrdup(outer_name(c->cat, c->to.name));
    }
    return rc;
}

/* ---- rows ---- */

struct new_event { /* what the rows are made of */
    const char *operator_name;
    const char *tag;
    enum migration_mode mode;
    enum migration_policy policy;
    const struct chosen *items;
    size_t count;
};

static int lock_one(const struct change *change, const struct new_event *event, int64_t event_id,
                    const struct chosen *item, struct xp_err *err)
{
    AUTO_FREE char *name = xstrdup(item->cluster.name);
    struct migration_cluster_row row = { .event_id = event_id,
                                         .cluster_id = item->cluster.id,
                                         .cluster = name,
                                         .status = MIG_INITIATED };
    int rc = query_run(
        change->db, Q_MIGRATION_INSERT_CLUSTER,
        QUERY_ARGS(QI(event_id), QI(item->cluster.id), QI(item->source_id), QI(item->dest_id),
                   QI(change->now_ms), QT(migration_status_info(MIG_INITIATED)->text),
                   QT(migration_mode_text(event->mode)), QT(migration_call_text(CALL_NONE)),
                   QT(call_outcome_text(OUTCOME_NONE))),
        err);
    if (rc == 0) {
        rc = query_run(change->db, Q_MIGRATION_INSERT_SHARDS,
                       QUERY_ARGS(QI(db_last_id(change->db)), QI(item->cluster.id)), err);
    }
    return rc == 0 ? migration_set_cluster_status(change, &row, err) : rc;
}

/* "x...": at most 'max' bytes, cut at a whole character. */
static char *cut(const char *text, size_t max)
{
    size_t length = strnlen(text ? text : "", max + 1);
    if (length > max) {
        for (length = max; length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80; length--) {
        }
    }
    return xstrndup(text ? text : "", length);
}

static int insert_event(const struct change *change, const struct new_event *event,
                        int64_t *ret_event_id, struct xp_err *err)
{
    AUTO_FREE char *operator_name = cut(event->operator_name, 128);
    AUTO_FREE char *tag = cut(event->tag, 150);
    int rc = query_run(change->db, Q_MIGRATION_INSERT_EVENT,
                       QUERY_ARGS(QI(change->now_ms), QT(operator_name), QT(tag),
                                  QT(migration_policy_text(event->policy)),
                                  QT(migration_mode_text(event->mode))),
                       err);
    *ret_event_id = db_last_id(change->db);
    json_t *names = json_array();
    (void)json_object_set_new(change->body, "clusters", names);
    change_note_number(change, "event", *ret_event_id);
    change_note(change, "operator", operator_name);
    change_note(change, "mode", migration_mode_text(event->mode));
    for (size_t i = 0; rc == 0 && i < event->count; i++) {
        (void)json_array_append_new(names, json_string(event->items[i].cluster.name));
        rc = lock_one(change, event, *ret_event_id, &event->items[i], err);
    }
    return rc;
}

/* ---- an event as asked for by names ---- */

struct creation {
    const struct catalog *cat;
    const struct event_request *request;
    struct event_result *result;
    struct chosen *chosen;
    size_t count;
};

static int refuse_too_many(size_t count, struct xp_err *err)
{
    return count <= CLUSTERS_MAX
               ? 0
               : xp_fail(err, XP_TOO_LARGE, "clusters: %zu, at most %d in one event", count,
                         CLUSTERS_MAX);
}

static int name_all_of_source(struct creation *cr, struct db *db, struct xp_err *err)
{
    const char *from = dc_alias_inner(cr->cat->alias, cr->request->from_dc);
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(db, Q_MIGRATION_CLUSTERS_OF_DC, QUERY_ARGS(QT(from), QI(CLUSTERS_MAX + 1)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct event_cluster_result *item = ARRAY_ADD(cr->result->items, cr->result->count);
        item->cluster = xstrdup(db_col_text(&s, 0));
    }
    return rc == 0 ? refuse_too_many(cr->result->count, err) : rc;
}

static int name_clusters(struct creation *cr, struct db *db, struct xp_err *err)
{
    if (cr->request->is_all) {
        return name_all_of_source(cr, db, err);
    }
    for (size_t i = 0; i < cr->request->count; i++) {
        struct event_cluster_result *item = ARRAY_ADD(cr->result->items, cr->result->count);
        item->cluster = xstrdup(cr->request->clusters[i]);
    }
    return 0;
}

static int choose_all(struct creation *cr, struct db *db, struct xp_err *err)
{
    int rc = name_clusters(cr, db, err);
    for (size_t i = 0; rc == 0 && i < cr->result->count; i++) {
        struct event_cluster_result *item = &cr->result->items[i];
        struct choice c = { .cat = cr->cat, .db = db, .request = cr->request, .result = item };
        rc = judge(&c, err);
        if (rc == 0 && item->reason == FAIL_NONE) {
            *ARRAY_ADD(cr->chosen, cr->count) = (struct chosen){ c.cluster, c.active.id, c.to.id };
        }
    }
    return rc;
}

static bool is_asked(const struct creation *cr, const char *asked, const char *outer)
{
    return text_eq_nocase(dc_alias_inner(cr->cat->alias, asked),
                          dc_alias_inner(cr->cat->alias, outer));
}

/* Nothing can be begun, but one of them is on its way to where it was asked for: its ticket is the answer. */
static void join_running(const struct creation *cr)
{
    const struct event_request *request = cr->request;
    for (size_t i = 0; i < cr->result->count; i++) {
        struct event_cluster_result *item = &cr->result->items[i];
        if (item->reason == FAIL_ALREADY_MIGRATING &&
            is_asked(cr, request->from_dc, item->from_dc) &&
            (text_is_empty(request->to_dc) || is_asked(cr, request->to_dc, item->to_dc)) &&
            text_to_i64(item->msg, strlen(item->msg), 1, INT64_MAX, &cr->result->event_id)) {
            item->reason = FAIL_NONE;
            free(TAKE(item->msg));
            return;
        }
    }
}

static int create_in(struct change *change, void *arg, struct xp_err *err)
{
    struct creation *cr = arg;
    const struct event_request *request = cr->request;
    event_result_done(cr->result);
    cr->result->event_id = -1;
    cr->count = 0;
    free(TAKE(cr->chosen));
    int rc = choose_all(cr, change->db, err);
    if (rc != 0) {
        return rc;
    }
    if (cr->count == 0) {
        change->is_noop = true;
        if (!text_is_empty(request->from_dc) && !request->is_dry_run) {
            join_running(cr);
        }
        return 0;
    }
    struct new_event event = { .operator_name = request->operator_name,
                               .tag = request->tag,
                               .mode = request->mode,
                               .policy = request->policy,
                               .items = cr->chosen,
                               .count = cr->count };
    int rc_made = insert_event(change, &event, &cr->result->event_id, err);
    return rc_made == 0 && request->on_made && !request->is_dry_run
               ? request->on_made(change, cr->result, request->on_made_arg, err)
               : rc_made;
}

static int check_names(const struct event_request *request, struct xp_err *err)
{
    struct map seen CLEANUP(map_done) = MAP_INIT(MAP_TEXT_NOCASE);
    if (request->is_all && (request->count > 0 || text_is_empty(request->from_dc))) {
        return xp_fail(err, XP_INVALID,
                       "all: goes with a source DC, and without names of clusters");
    }
    int rc = refuse_too_many(request->count, err);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < request->count; i++) {
        if (map_put(&seen, request->clusters[i], &seen)) {
            return xp_fail(err, XP_INVALID, "clusters: %.128s is named twice",
                           request->clusters[i]);
        }
    }
    return 0;
}

int migration_event_create(const struct catalog *cat, const struct change_ctx *ctx,
                           const struct event_request *request, struct event_result *ret,
                           struct xp_err *err)
{
    int rc = check_names(request, err);
    if (rc != 0) {
        return rc;
    }
    struct event_result result = { .event_id = -1 };
    struct creation cr = { .cat = cat, .request = request, .result = &result };
    struct change_ctx how = *ctx;
    how.dry_run = request->is_dry_run;
    struct store_op op = { .name = "migration.create", .fn = create_in, .arg = &cr };
    int64_t idx = 0;
    rc = store_change(cat->store, &how, &op, &idx, err);
    free(cr.chosen);
    if (rc != 0) {
        event_result_done(&result);
        return rc;
    }
    result.idx = idx;
    if (request->is_dry_run) {
        result.event_id = -1;
    }
    *ret = result;
    return 0;
}

/* ---- an event as picked on a page: by ids, all or nothing ---- */

struct picking {
    const struct catalog *cat;
    const struct event_picks *picks;
    struct chosen *chosen;
    int64_t event_id;
};

static int text_by_id(struct db *db, enum query_id query, int64_t id, char **ret,
                      struct xp_err *err)
{
    CLEANUP(db_stmt_done) struct db_stmt s = query_open(db, query, QUERY_ARGS(QI(id)));
    int rc = db_step(&s, err);
    *ret = rc == DB_ROW ? query_text(&s, 0) : NULL;
    return rc < 0 ? rc : 0;
}

static int refuse_pick(const struct event_pick *pick, const struct choice *c, struct xp_err *err)
{
    const struct event_cluster_result *r = c->result;
    if (r->reason == FAIL_NOT_SUPPORTED) {
        return xp_fail(err, XP_INVALID, "cluster %s type %s not support migration", r->cluster,
                       c->cluster.type_name);
    }
    if (r->reason == FAIL_ALREADY_MIGRATING) {
        return xp_fail(err, XP_LOCKED, "cluster %s is migrating already, event %s", r->cluster,
                       r->msg);
    }
    if (r->reason == FAIL_OTHERS && !dc_refs_by_id(&c->dcs, pick->dest_dc_id)) {
        return xp_fail(err, XP_INVALID, "Target DC Id Illegal for cluster: %lld",
                       (long long)pick->cluster_id);
    }
    return xp_fail(err, XP_INVALID, "%.200s", r->msg);
}

static int pick_one(struct picking *p, struct db *db, const struct event_pick *pick,
                    struct chosen *out, struct xp_err *err)
{
    AUTO_FREE char *name = NULL;
    AUTO_FREE char *from = NULL;
    AUTO_FREE char *to = NULL;
    if (text_by_id(db, Q_CLUSTER_NAME_BY_ID, pick->cluster_id, &name, err) < 0 ||
        text_by_id(db, Q_DC_NAME, pick->source_dc_id, &from, err) < 0 ||
        text_by_id(db, Q_DC_NAME, pick->dest_dc_id, &to, err) < 0) {
        return err->code;
    }
    if (!name) {
        return xp_fail(err, XP_INVALID, "cluster not found:%lld", (long long)pick->cluster_id);
    }
    if (!to) {
        return xp_fail(err, XP_INVALID, "Target DC Id Illegal for cluster: %lld",
                       (long long)pick->cluster_id);
    }
    CLEANUP(cluster_result_done) struct event_cluster_result result = { .cluster = xstrdup(name) };
    struct event_request request = { .from_dc = from ? from : "?", .to_dc = to };
    struct choice c = { .cat = p->cat, .db = db, .request = &request, .result = &result };
    int rc = judge(&c, err);
    if (rc == 0 && result.reason != FAIL_NONE) {
        return refuse_pick(pick, &c, err);
    }
    *out = (struct chosen){ c.cluster, c.active.id, c.to.id };
    return rc;
}

static int create_picked_in(struct change *change, void *arg, struct xp_err *err)
{
    struct picking *p = arg;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < p->picks->count; i++) {
        rc = pick_one(p, change->db, &p->picks->items[i], &p->chosen[i], err);
    }
    struct new_event event = { .operator_name = p->picks->operator_name,
                               .tag = p->picks->tag,
                               .mode = p->picks->mode,
                               .policy = p->picks->policy,
                               .items = p->chosen,
                               .count = p->picks->count };
    return rc == 0 ? insert_event(change, &event, &p->event_id, err) : rc;
}

int migration_event_create_picked(const struct catalog *cat, const struct change_ctx *ctx,
                                  const struct event_picks *picks, int64_t *ret_event_id,
                                  struct xp_err *err)
{
    struct map seen CLEANUP(map_done) = MAP_INIT(MAP_NUMBER);
    if (picks->count == 0 || picks->count > CLUSTERS_MAX) {
        return xp_fail(err, XP_INVALID, "migrationClusters: %zu, must be 1..%d", picks->count,
                       CLUSTERS_MAX);
    }
    for (size_t i = 0; i < picks->count; i++) {
        if (map_put_n(&seen, (uint64_t)picks->items[i].cluster_id, &seen)) {
            return xp_fail(err, XP_INVALID, "migrationClusters: cluster %lld is there twice",
                           (long long)picks->items[i].cluster_id);
        }
    }
    AUTO_FREE struct chosen *chosen = xcalloc(picks->count, sizeof(*chosen));
    struct picking p = { .cat = cat, .picks = picks, .chosen = chosen };
    struct store_op op = { .name = "migration.create", .fn = create_picked_in, .arg = &p };
    int rc = store_change(cat->store, ctx, &op, NULL, err);
    if (rc == 0) {
        *ret_event_id = p.event_id;
    }
    return rc;
}
