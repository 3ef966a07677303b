/* migration_calls.c - see migration_calls.h: the life of a call, and the calls that are one request. */
#include <string.h>

#include "console/migration/migration_calls_internal.h"
#include "shared/base/fault.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/thread.h"
#include "shared/model/json_decode.h"
#include "shared/net/url.h"
#include "shared/base/banned.h"

#define FOLLOW_TOGETHER 16 /* shards of one cluster that are told at the same time */

/* ---- fault points: before a call nothing is sent, after it the answer is lost ---- */

static const struct {
    enum fault_point before;
    enum fault_point after;
} faults[MIGRATION_CALLS] = {
    [CALL_CHECK] = { FAULT_migration_before_check, FAULT_migration_after_check },
    [CALL_HOLD] = { FAULT_migration_before_hold, FAULT_migration_after_hold },
    [CALL_DRAIN] = { FAULT_migration_before_drain, FAULT_migration_after_drain },
    [CALL_FREEZE] = { FAULT_migration_before_freeze, FAULT_migration_after_freeze },
    [CALL_PROMOTE] = { FAULT_migration_before_promote, FAULT_migration_after_promote },
    [CALL_DEMOTE] = { FAULT_migration_before_demote, FAULT_migration_after_demote },
    [CALL_RELEASE] = { FAULT_migration_before_release, FAULT_migration_after_release },
    [CALL_FOLLOW] = { FAULT_migration_before_follow, FAULT_migration_after_follow },
    [CALL_PRECHECK] = { FAULT_migration_before_precheck, FAULT_migration_after_precheck },
    [CALL_PUBLISH] = { FAULT_migration_before_publish, FAULT_migration_after_publish },
};

/* ---- the life of a call ---- */

static void call_free(struct call *c)
{
    loop_timer_stop(&c->answer_timer);
    list_remove(&c->link);
    migration_result_done(&c->result);
    execution_log_free(c->log);
    fence_ways_free(c->ways);
    check_round_free(c->check);
    shard_survey_free(c->survey);
    free(c->follow);
    for (size_t i = 0; i < c->shard_count; i++) {
        free(c->shards[i]);
    }
    free(c->shards);
    free(c->masters);
    free(c->cluster);
    free(c->source_dc);
    free(c->dest_dc);
    free(c->primary_dc);
    free(c->follow_dc);
    free(c->shard);
    free(c->places_error);
    free(c);
}

void call_hold(struct call *c)
{
    c->refs++;
}

bool call_drop(struct call *c)
{
    bool is_finished = c->is_finished;
    if (--c->refs == 0 && is_finished) {
        call_free(c);
    }
    return !is_finished;
}

/* Nobody is answered any more; what is under way is left to itself. */
static void call_abandon(struct call *c)
{
    if (c->is_finished) {
        return;
    }
    migration_surveyed_fn *surveyed = c->surveyed;
    void *arg = c->arg;
    c->is_finished = true;
    c->owner->active_count--;
    loop_timer_stop(&c->answer_timer);
    fence_ways_free(TAKE(c->ways));
    c->surveyed = NULL;
    if (c->refs == 0) {
        call_free(c);
    }
    if (surveyed) {
        surveyed(NULL, arg);
    }
}

static void deliver_survey(struct call *c)
{
    migration_surveyed_fn *surveyed = TAKE(c->surveyed);
    struct shard_survey *survey = TAKE(c->survey);
    void *arg = c->arg;
    call_abandon(c);
    surveyed(survey, arg);
}

static void start(struct call *c);

static void deliver(struct call *c)
{
    if (c->surveyed) {
        deliver_survey(c);
        return;
    }
    migration_called_fn *done = c->done;
    void *arg = c->arg;
    struct migration_result result = c->result;
    int64_t id = c->id;
    struct call *next = c->is_cut ? c->then : chain_next(c);
    c->result = (struct migration_result){ 0 };
    if (c->is_cut) { /* nobody wants to know */
        migration_result_done(&result);
        result = (struct migration_result){ .call = c->plan.call, .shard = c->plan.shard };
    }
    result.goes_on = next && !c->is_cut;
    call_abandon(c);
    if (next) {
        start(next);
    }
    if (done) {
        done(&result, id, arg);
    }
}

static void answer_timer_fired(struct loop_timer *t)
{
    deliver(CONTAINER_OF(t, struct call, answer_timer));
}

static char *result_text(struct call *c, const char *server_text)
{
    AUTO_FREE char *own = execution_log_take(c->log);
    struct str text AUTO_STR = STR_INIT(4 * SWITCH_LOG_MAX);
    str_puts(&text, server_text ? server_text : "");
    if (text.len > 0 && text.buf[text.len - 1] != '\n') {
        str_putc(&text, '\n');
    }
    str_puts(&text, own);
    return str_take(&text);
}

static bool is_waiting_to_answer(const struct call *c)
{
    return loop_timer_is_running(&c->answer_timer);
}

static void answer(struct call *c)
{
    if (c->is_starting) {
        loop_timer_start(&c->answer_timer, 0);
    } else {
        deliver(c);
    }
}

void call_finish(struct call *c, enum call_outcome outcome, const char *server_text)
{
    if (c->is_finished || is_waiting_to_answer(c)) {
        return;
    }
    c->result.outcome = outcome;
    c->result.duration_ms = (clock_mono_us() - c->started_us) / 1000;
    free(c->result.text);
    c->result.text = result_text(c, server_text);
    if (fault_hit(faults[c->plan.call].after)) {
        c->result.outcome = OUTCOME_UNKNOWN;
    }
    log_debug("migration.call", "cluster", c->cluster, "shard", c->shard, "call",
              migration_call_text(c->plan.call), "outcome", call_outcome_text(c->result.outcome),
              "us", log_int(clock_mono_us() - c->started_us));
    answer(c);
}

void call_finish_survey(struct call *c, struct shard_survey *take_survey)
{
    c->survey = take_survey;
    answer(c);
}

/* ---- DRAIN, PROMOTE, DEMOTE: one request, one struct switch_change ---- */

static enum call_outcome outcome_of_kind(enum meta_answer_kind kind)
{
    switch (kind) {
    case META_UNREACHABLE:
        return OUTCOME_UNREACHABLE;
    case META_UNKNOWN:
        return OUTCOME_UNKNOWN;
    case META_EMPTY:
    case META_REFUSED:
    case META_ANSWERED:
        break;
    }
    return OUTCOME_REFUSED;
}

static enum call_outcome outcome_of_change(const struct call *c, const struct switch_change *change)
{
    if (change->is_stale || (change->is_ours && change->epoch > c->epoch)) {
        return OUTCOME_STALE;
    }
    return change->is_success ? OUTCOME_OK : OUTCOME_REFUSED;
}

static void on_change(struct call *c, const struct meta_answer *a, uint64_t token)
{
    (void)token;
    struct xp_err err = { 0 };
    const char *dc = c->plan.call == CALL_FOLLOW ? c->follow_dc : c->dest_dc;
    if (a->kind != META_ANSWERED) {
        execution_log_error(c->log, "metaserver of %s: %s", dc, a->why);
        call_finish(c, outcome_of_kind(a->kind), NULL);
    } else if (switch_change_from_json(a->json, &c->result.change, &err) < 0) {
        execution_log_error(c->log, "metaserver of %s: its answer is not understood: %s", dc,
                            err.msg);
        call_finish(c, OUTCOME_UNKNOWN, NULL);
    } else {
        enum call_outcome outcome = outcome_of_change(c, &c->result.change);
        bool has_master = !addr_is_none(&c->result.change.new_master);
        if (c->plan.call == CALL_PROMOTE && outcome == OUTCOME_OK && !has_master) {
            execution_log_error(c->log, "metaserver of %s does not say who the new master is", dc);
            outcome = OUTCOME_REFUSED;
        }
        call_finish(c, outcome, c->result.change.log);
    }
}

static json_t *order_json(const struct call *c, int64_t drain_ms, int64_t timeout_ms)
{
    struct switch_order order = { .has_info = c->repl_id[0] && c->offset >= 0,
                                  .offset = c->offset,
                                  .add_sentinel = true,
                                  .epoch = c->epoch,
                                  .is_disaster = c->is_disaster,
                                  .has_mode = true,
                                  .drain_ms = drain_ms,
                                  .deadline_ms = deadline_within(timeout_ms) };
    (void)snprintf(order.repl_id, sizeof(order.repl_id), "%s", c->repl_id);
    return switch_order_to_json(&order);
}

/* x-pipe's metaserver knows no drain: its promotion waits for the data by itself. */
static void on_drain(struct call *c, const struct meta_answer *a, uint64_t token)
{
    if (a->kind == META_REFUSED && (a->status == 404 || a->status == 405)) {
        execution_log_warn(c->log,
                           "the metaserver of %s knows no drain: the promotion waits for the data",
                           c->dest_dc);
        c->result.change = (struct switch_change){ .offset = -1, .offset_gap = -1 };
        call_finish(c, OUTCOME_OK, NULL);
        return;
    }
    on_change(c, a, token);
}

static void call_drain(struct call *c)
{
    const struct migration_calls_settings *s = &c->owner->settings;
    int64_t timeout_ms = s->drain_ms + s->promote_ms;
    AUTO_FREE char *path = meta_path(c, SWITCH_WORD_DRAIN, c->shard, NULL);
    struct meta_request r = { .method = "POST",
                              .dc = c->dest_dc,
                              .path = path,
                              .take_body = order_json(c, s->drain_ms, timeout_ms),
                              .timeout_ms = timeout_ms,
                              .done = on_drain };
    meta_send(c, &r);
}

static char *change_path(const struct call *c, const char *shard, const char *primary)
{
    AUTO_FREE char *path = meta_path(c, SWITCH_WORD_CHANGE, shard, primary);
    return xasprintf("%s?epoch=%lld", path, (long long)c->epoch);
}

static void call_promote(struct call *c)
{
    const struct migration_calls_settings *s = &c->owner->settings;
    int64_t drain_ms = c->is_drained ? s->promote_ms / 2 : s->drain_ms;
    int64_t timeout_ms = s->promote_ms + (c->is_drained ? 0 : s->drain_ms);
    AUTO_FREE char *path = change_path(c, c->shard, c->dest_dc);
    struct meta_request r = { .method = "PUT",
                              .dc = c->dest_dc,
                              .path = path,
                              .take_body = order_json(c, drain_ms, timeout_ms),
                              .timeout_ms = timeout_ms,
                              .done = on_change };
    meta_send(c, &r);
}

static void call_demote(struct call *c)
{
    AUTO_FREE char *path = change_path(c, c->shard, c->source_dc);
    struct meta_request r = { .method = "PUT",
                              .dc = c->dest_dc,
                              .path = path,
                              .timeout_ms = c->owner->settings.follow_ms,
                              .done = on_change };
    meta_send(c, &r);
}

/* ---- FOLLOW: a DC is told for each shard; one outcome ---- */

struct follow_round {
    size_t next;
    size_t waiting;
    bool is_stale;
    bool has_refused;
    bool has_unknown;
    bool has_unreachable;
};

static void follow_more(struct call *c);

static void note_follow(struct call *c, const struct meta_answer *a, const char *shard)
{
    struct follow_round *f = c->follow;
    struct switch_change change CLEANUP(switch_change_done) = { 0 };
    struct xp_err err = { 0 };
    enum call_outcome outcome = outcome_of_kind(a->kind);
    const char *why = a->why;
    if (a->kind == META_ANSWERED && switch_change_from_json(a->json, &change, &err) < 0) {
        outcome = OUTCOME_UNKNOWN;
        why = err.msg;
    } else if (a->kind == META_ANSWERED) {
        outcome = outcome_of_change(c, &change);
        why = change.log;
    }
    f->is_stale = f->is_stale || outcome == OUTCOME_STALE;
    f->has_refused = f->has_refused || outcome == OUTCOME_REFUSED;
    f->has_unknown = f->has_unknown || outcome == OUTCOME_UNKNOWN;
    f->has_unreachable = f->has_unreachable || outcome == OUTCOME_UNREACHABLE;
    if (outcome == OUTCOME_OK) {
        execution_log_info(c->log, "%s: %s follows %s", shard, c->follow_dc, c->primary_dc);
    } else {
        execution_log_error(c->log, "%s: %s does not follow %s: %.400s", shard, c->follow_dc,
                            c->primary_dc, why ? why : "");
    }
}

static void on_follow(struct call *c, const struct meta_answer *a, uint64_t token)
{
    c->follow->waiting--;
    note_follow(c, a, c->shards[token]);
    follow_more(c);
}

static enum call_outcome follow_outcome(const struct follow_round *f)
{
    return f->is_stale          ? OUTCOME_STALE
           : f->has_refused     ? OUTCOME_REFUSED
           : f->has_unknown     ? OUTCOME_UNKNOWN
           : f->has_unreachable ? OUTCOME_UNREACHABLE
                                : OUTCOME_OK;
}

/* A DC that cannot be reached is not asked for the rest of the shards. */
static void follow_more(struct call *c)
{
    struct follow_round *f = c->follow;
    call_hold(c);
    if (f->has_unreachable) {
        f->next = c->shard_count;
    }
    while (!c->is_finished && f->waiting < FOLLOW_TOGETHER && f->next < c->shard_count) {
        size_t at = f->next++;
        AUTO_FREE char *path = change_path(c, c->shards[at], c->primary_dc);
        struct meta_request r = { .method = "PUT",
                                  .dc = c->follow_dc,
                                  .path = path,
                                  .timeout_ms = c->owner->settings.follow_ms,
                                  .done = on_follow,
                                  .token = at };
        f->waiting++;
        meta_send(c, &r);
        if (f->has_unreachable) {
            f->next = c->shard_count;
        }
    }
    if (f->waiting == 0 && f->next >= c->shard_count) {
        call_finish(c, follow_outcome(f), NULL);
    }
    (void)call_drop(c);
}

static void call_follow(struct call *c)
{
    c->follow = xcalloc(1, sizeof(*c->follow));
    follow_more(c);
}

/* ---- PRECHECK, PUBLISH: the outer client ---- */

static void on_outer(const struct outer_answer *a, void *arg)
{
    struct call *c = arg;
    if (!call_drop(c)) {
        return;
    }
    if (c->plan.call == CALL_PUBLISH) {
        c->result.publish_info =
            outer_publish_info(a, c->cluster, c->dest_dc, c->masters, c->master_count);
    }
    if (a->is_ok) {
        execution_log_info(c->log, "%s: %s", a->address, a->message);
    } else {
        execution_log_error(c->log, "%s: %s", a->address, a->message);
    }
    call_finish(c, a->is_ok ? OUTCOME_OK : OUTCOME_REFUSED, NULL);
}

static void call_outer(struct call *c)
{
    call_hold(c);
    if (c->plan.call == CALL_PRECHECK) {
        outer_precheck(c->owner->o.outer, c->cluster, on_outer, c);
        return;
    }
    const char *dc = dc_alias_outer(c->owner->o.catalog->alias, c->dest_dc);
    outer_publish(c->owner->o.outer, c->cluster, dc, c->masters, c->master_count, c->epoch,
                  on_outer, c);
}

/* ---- starting ---- */

static bool is_rolling_back(const struct migration_cluster_row *row)
{
    return !row->is_active_switched &&
           (row->status == MIG_ROLL_BACK || row->status == MIG_ROLL_BACK_FAIL ||
            row->status == MIG_ABORTED);
}

static void copy_cluster(struct call *c, const struct migration_cluster_row *row)
{
    c->id = row->id;
    c->cluster_id = row->cluster_id;
    c->cluster = xstrdup(row->cluster);
    c->source_dc = xstrdup(row->source_dc);
    c->dest_dc = xstrdup(row->dest_dc);
    c->source_dc_id = row->source_dc_id;
    c->dest_dc_id = row->dest_dc_id;
    c->primary_dc = xstrdup(is_rolling_back(row) ? row->source_dc : row->dest_dc);
    c->epoch = row->epoch;
    c->mode = row->mode;
    c->is_disaster = row->is_disaster || row->mode == MODE_DISASTER;
}

static void copy_shard(struct call *c, const struct migration_shard_row *shard)
{
    c->shard_id = shard->shard_id;
    c->shard = xstrdup(shard->name);
    c->saved = shard->saved;
    c->old_master = shard->old_master;
    c->offset = shard->fence_offset;
    c->is_drained = shard->is_drained;
    (void)snprintf(c->repl_id, sizeof(c->repl_id), "%s", shard->fence_repl_id);
}

static void copy_follow(struct call *c, const struct migration_cluster_row *row)
{
    c->follow_dc = xstrdup(row->follows[c->plan.follow].dc);
    c->shards = xcalloc(row->shard_count + 1, sizeof(*c->shards));
    for (size_t i = 0; i < row->shard_count; i++) {
        const struct migration_shard_row *shard = &row->shards[i];
        if (!row->is_force_publish || shard->is_promoted) {
            c->shards[c->shard_count++] = xstrdup(shard->name);
        }
    }
}

static void copy_masters(struct call *c, const struct migration_cluster_row *row)
{
    c->masters = xcalloc(row->shard_count + 1, sizeof(*c->masters));
    for (size_t i = 0; i < row->shard_count; i++) {
        if (!addr_is_none(&row->shards[i].new_master)) {
            c->masters[c->master_count++] = row->shards[i].new_master;
        }
    }
}

struct call *call_bare(struct migration_calls *m, const struct migration_plan_call *plan)
{
    struct call *c = xcalloc(1, sizeof(*c));
    c->owner = m;
    c->plan = *plan;
    c->offset = -1;
    c->started_us = clock_mono_us();
    c->log = execution_log_new(NULL);
    c->result = (struct migration_result){ .call = plan->call,
                                           .shard = plan->shard,
                                           .follow = plan->follow };
    loop_timer_init(&c->answer_timer, m->o.loop, answer_timer_fired);
    list_init(&c->places_link);
    list_push_back(&m->calls, &c->link);
    m->active_count++;
    return c;
}

static struct call *call_new(struct migration_calls *m, const struct migration_cluster_row *row,
                             const struct migration_plan_call *plan)
{
    struct call *c = call_bare(m, plan);
    copy_cluster(c, row);
    if (plan->shard < row->shard_count) {
        copy_shard(c, &row->shards[plan->shard]);
    }
    if (plan->call == CALL_FOLLOW) {
        copy_follow(c, row);
    } else if (plan->call == CALL_PUBLISH) {
        copy_masters(c, row);
    }
    return c;
}

static void begin(struct call *c)
{
    switch (c->plan.call) {
    case CALL_CHECK:
        call_check(c);
        return;
    case CALL_HOLD:
    case CALL_FREEZE:
    case CALL_RELEASE:
        call_fence(c);
        return;
    case CALL_DRAIN:
        call_drain(c);
        return;
    case CALL_PROMOTE:
        call_promote(c);
        return;
    case CALL_DEMOTE:
        call_demote(c);
        return;
    case CALL_FOLLOW:
        call_follow(c);
        return;
    case CALL_PRECHECK:
    case CALL_PUBLISH:
        call_outer(c);
        return;
    case CALL_NONE:
    case MIGRATION_CALLS:
        break;
    }
    xp_check_failed("a call that is none", __FILE__, __LINE__);
}

static void start(struct call *c)
{
    c->is_starting = true;
    c->is_begun = true;
    c->started_us = clock_mono_us();
    call_hold(c);
    if (fault_hit(faults[c->plan.call].before)) {
        execution_log_error(c->log, "not sent: fault point");
        call_finish(c, OUTCOME_UNREACHABLE, NULL);
    } else {
        begin(c);
    }
    c->is_starting = false;
    (void)call_drop(c);
}

void migration_call_start(struct migration_calls *m, const struct migration_cluster_row *row,
                          const struct migration_plan_call *plan, migration_called_fn *done,
                          void *arg)
{
    XP_ON_LOOP();
    if (m->is_closed) {
        return; /* the intent is committed: the next process asks what became of it */
    }
    struct call *c = call_new(m, row, plan);
    c->done = done;
    c->arg = arg;
    struct call *fence = c->shard_id > 0 ? chain_cut(m, c) : NULL;
    if (fence) {
        xp_check(!fence->then); /* a shard has one call of the plan at a time */
        fence->then = c;
    } else {
        start(c);
    }
}

void migration_survey_start(struct migration_calls *m, const char *cluster, const char *shard,
                            struct shard_survey *take_survey, migration_surveyed_fn *done,
                            void *arg)
{
    XP_ON_LOOP();
    const struct survey_dc *dest = shard_survey_dest(take_survey);
    if (m->is_closed) {
        shard_survey_free(take_survey);
        done(NULL, arg);
        return;
    }
    struct call *c = call_bare(m, &(struct migration_plan_call){ .call = CALL_CHECK });
    c->cluster = xstrdup(cluster);
    c->shard = xstrdup(shard);
    c->dest_dc = xstrdup(dest ? dest->dc : "");
    c->surveyed = done;
    c->arg = arg;
    c->is_starting = true;
    call_hold(c);
    call_survey(c, take_survey);
    c->is_starting = false;
    (void)call_drop(c);
}

/* ---- life ---- */

int migration_calls_active(const struct migration_calls *m)
{
    return m->active_count;
}

static bool is_fence_under_way(const struct call *c)
{
    bool is_fence = c->plan.call == CALL_HOLD || c->plan.call == CALL_FREEZE;
    return is_fence && c->is_begun && !c->is_finished;
}

void migration_calls_leave(struct migration_calls *m, int64_t migration_cluster_id)
{
    list_for_each (it, &m->calls) {
        struct call *c = LIST_ENTRY(it, struct call, link);
        if (c->id != migration_cluster_id) {
            continue;
        }
        if (is_fence_under_way(c)) {
            c->is_cut = true;
            c->done = NULL;
            c->then = NULL; /* is abandoned by itself */
        } else {
            call_abandon(c); /* at most this one is freed by it */
        }
    }
}

void migration_calls_forget(struct migration_calls *m, int64_t migration_cluster_id)
{
    list_for_each (it, &m->calls) {
        struct call *c = LIST_ENTRY(it, struct call, link);
        if (c->id == migration_cluster_id) {
            call_abandon(c); /* at most this one is freed by it */
        }
    }
    places_forget(m, migration_cluster_id);
}

struct migration_calls *migration_calls_new(const struct migration_calls_options *options)
{
    xp_check(options->threads > 0);
    struct migration_calls *m = xcalloc(1, sizeof(*m));
    m->o = *options;
    m->urls = (struct meta_urls)META_URLS_INIT;
    m->lanes = MAP_INIT(MAP_TEXT_NOCASE);
    m->places = MAP_INIT(MAP_NUMBER);
    list_init(&m->calls);
    m->late = late_rewrites_new(options->loop);
    return m;
}

static void settings_done(struct migration_calls_settings *s)
{
    const char *texts[] = { s->metaservers, s->redis_user, s->redis_password };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        free((void *)(uintptr_t)texts[i]); /* copies of migration_calls_configure */
    }
}

int migration_calls_configure(struct migration_calls *m,
                              const struct migration_calls_settings *settings, struct xp_err *err)
{
    if (meta_urls_load(&m->urls, settings->metaservers, m->o.catalog->alias, err) < 0) {
        return err->code;
    }
    settings_done(&m->settings);
    m->settings = *settings;
    m->settings.metaservers = NULL;
    m->settings.redis_user = xstrdup(settings->redis_user);
    m->settings.redis_password = xstrdup(settings->redis_password);
    return 0;
}

void migration_calls_close(struct migration_calls *m)
{
    m->is_closed = true;
    list_for_each (it, &m->calls) {
        call_abandon(LIST_ENTRY(it, struct call, link));
    }
}

void migration_calls_free(struct migration_calls *m)
{
    if (!m) {
        return;
    }
    migration_calls_close(m);
    meta_lanes_free(m);
    list_for_each (it, &m->calls) { /* those whose outer client is gone without an answer */
        call_free(LIST_ENTRY(it, struct call, link));
    }
    late_rewrites_free(m->late);
    places_free_all(m);
    meta_urls_done(&m->urls);
    settings_done(&m->settings);
    free(m);
}
