/* readiness_look.c - one look at one cluster (see readiness_internal.h): the metadata on a worker, then one shard after the other towards each DC it
 * could be switched to, then the view on the board. Also: which DCs do not answer, and are left alone for a while. */
#include <stdlib.h>
#include <string.h>

#include "console/migration/readiness_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/thread.h"

#include "shared/base/banned.h"

enum { FAILURES_MAX = 3, BRAKE_MAX_MS = 10000, BRAKE_PART = 10 /* of a round */ };

struct dc_state {
    int failures; /* in a row */
    mono_ms retry_at;
    char *why; /* of the last failure */
};

struct look_dcs { /* of a cluster: the source, the destination, the others; names of the target */
    const char *names[MIGRATION_DCS_MAX];
    bool is_silent[MIGRATION_DCS_MAX]; /* left alone */
    size_t count;
};

struct look {
    struct job job;
    struct list link;       /* readiness.looks */
    struct list ready_link; /* readiness.ready */
    struct readiness *owner;
    int64_t id;
    struct readiness_target target;
    int rc;
    struct xp_err err;
    struct readiness_tally *tallies; /* one for each destination */
    size_t to;                       /* is being asked about */
    size_t shard;
    struct look_dcs dcs;
};

static struct metric calls_total = METRIC_COUNTER_INIT(
    "xpipe_dr_readiness_calls_total", "", "Questions to metaservers for readiness verdicts");
static struct metric looks_total = METRIC_COUNTER_INIT("xpipe_dr_readiness_looks_total", "",
                                                       "Clusters looked at for readiness verdicts");
static struct metric turned_total =
    METRIC_COUNTER_INIT("xpipe_dr_readiness_turned_not_ready_total", "",
                        "Times that a cluster turned NOT_READY for a switch to a DC");

/* ---- DCs that do not answer ---- */

static struct dc_state *dc_of(struct readiness *r, const char *dc)
{
    struct dc_state *state = map_get(&r->dcs, dc);
    if (!state) {
        state = xcalloc(1, sizeof(*state));
        map_put(&r->dcs, dc, state);
    }
    return state;
}

static int64_t brake_ms(const struct readiness *r)
{
    int64_t part_ms = r->settings.round_ms / BRAKE_PART;
    return part_ms < BRAKE_MAX_MS ? part_ms : BRAKE_MAX_MS;
}

/* A time without questions is followed by one question. */
static bool is_left_alone(struct readiness *r, const char *dc)
{
    struct dc_state *state = dc_of(r, dc);
    mono_ms now = loop_now(r->o.loop);
    if (state->failures < FAILURES_MAX || now >= state->retry_at) {
        state->retry_at = now + brake_ms(r);
        return false;
    }
    return true;
}

static void note_dc(struct readiness *r, const struct survey_dc *dc)
{
    struct dc_state *state = dc_of(r, dc->dc);
    bool was_silent = state->failures >= FAILURES_MAX;
    if (dc->check || !dc->is_unreachable) {
        state->failures = 0;
        if (was_silent) {
            log_info("readiness.dc_answers", "dc", dc->dc);
        }
        return;
    }
    state->failures++;
    state->retry_at = loop_now(r->o.loop) + brake_ms(r);
    free(state->why);
    state->why = xstrdup(dc->error ? dc->error : "no answer");
    if (state->failures == FAILURES_MAX) {
        log_warn("readiness.dc_silent", "dc", dc->dc, "why", state->why);
    }
}

void readiness_dcs_done(struct readiness *r)
{
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&r->dcs, &at))) {
        struct dc_state *state = slot->value;
        free(state->why);
        free(state);
    }
    map_done(&r->dcs);
}

/* ---- the end of a look ---- */

static void look_free(struct look *l)
{
    list_remove(&l->link);
    list_remove(&l->ready_link);
    readiness_target_done(&l->target);
    free(l->tallies);
    free(l);
}

static void end_look(struct look *l, bool wants_again)
{
    struct readiness *r = l->owner;
    int64_t id = l->id;
    look_free(l);
    readiness_look_ended(r, id, wants_again);
}

static void copy_reasons(struct readiness_item *item, const struct readiness_reason *reasons,
                         size_t count)
{
    item->reasons = xcalloc(count + 1, sizeof(*reasons));
    memcpy(item->reasons, reasons, count * sizeof(*reasons));
    item->reason_count = count;
}

static void keep_item(struct readiness_item *item, const struct readiness_item *old)
{
    char *to = item->to;
    *item = *old;
    item->to = to;
    item->silent_looks++;
    copy_reasons(item, old->reasons, old->reason_count);
}

static void report(const struct readiness_view *view, struct readiness_item *item,
                   const struct readiness_item *old)
{
    bool was_not_ready = old && old->is_told_not_ready;
    item->is_told_not_ready = item->planned == READINESS_NOT_READY ||
                              (was_not_ready && item->planned == READINESS_UNKNOWN);
    if (item->is_told_not_ready && !was_not_ready) {
        const struct readiness_reason *reason = &item->reasons[0];
        metric_add(&turned_total, 1);
        log_warn("readiness.not_ready", "cluster", view->cluster, "from", view->from, "to",
                 item->to, "code", reason->code, "shard", reason->shard, "why", reason->text);
    } else if (was_not_ready && !item->is_told_not_ready) {
        log_info("readiness.ready", "cluster", view->cluster, "from", view->from, "to", item->to,
                 "verdict", readiness_level_text(item->planned));
    }
}

/* True: it is to be looked at again soon. */
static bool fill_item(struct look *l, struct readiness_item *item, const struct readiness_item *old,
                      const struct readiness_tally *tally)
{
    struct readiness_facts facts = { .dc = item->to,
                                     .held_by = l->target.held_by,
                                     .shards = (int64_t)l->target.shards.count,
                                     .silent_looks = old ? old->silent_looks : 0,
                                     .tally = tally };
    struct readiness_verdict verdict;
    readiness_decide(&facts, &verdict);
    if (verdict.keeps_previous && old) {
        keep_item(item, old);
        return true;
    }
    item->planned = verdict.planned;
    item->disaster = verdict.disaster;
    item->looked_at = loop_now(l->owner->o.loop);
    item->looked_wall = clock_wall_ms();
    if (verdict.is_silent) {
        item->silent_looks = facts.silent_looks + 1;
        item->looked_at = old ? old->looked_at : 0;
        item->looked_wall = old ? old->looked_wall : 0;
    }
    item->since_wall = old && old->planned == item->planned ? old->since_wall : clock_wall_ms();
    item->lag_bytes = verdict.lag_bytes;
    copy_reasons(item, verdict.reasons, verdict.count);
    return !facts.held_by && (verdict.is_silent || item->planned == READINESS_NOT_READY);
}

static size_t items_of(const struct readiness_target *t)
{
    return t->to.count > 0 ? t->to.count : 1; /* nowhere to go: one item says so */
}

static const char *to_name(const struct readiness_target *t, size_t at)
{
    return at < t->to.count ? t->to.items[at] : "";
}

static void finish(struct look *l)
{
    struct readiness *r = l->owner;
    const struct readiness_target *t = &l->target;
    struct readiness_view *old = readiness_board_get(r->o.board, l->id);
    bool is_same = old && text_eq(old->from, t->from); /* of another direction nothing stays */
    struct readiness_view *view = readiness_view_new(l->id, t->cluster, t->from, items_of(t));
    bool wants_again = false;
    view->shards = (int64_t)t->shards.count;
    for (size_t i = 0; i < view->count; i++) {
        struct readiness_item *item = &view->items[i];
        item->to = xstrdup(to_name(t, i));
        const struct readiness_item *before = is_same ? readiness_view_find(old, item->to) : NULL;
        wants_again |= fill_item(l, item, before, &l->tallies[i]);
        report(view, item, before);
    }
    metric_add(&looks_total, 1);
    readiness_view_unref(old);
    if (!readiness_board_put(r->o.board, view)) {
        log_warn("readiness.full", "cluster", t->cluster, "next",
                 "raise console.dr.readiness.clusters.max");
        wants_again = false;
    }
    end_look(l, wants_again);
}

/* ---- asking ---- */

static void next_shard(struct look *l)
{
    const struct readiness_tally *tally = &l->tallies[l->to];
    bool is_silent = tally->silent_shards > 0; /* the other shards would not be answered either */
    if (++l->shard < l->target.shards.count && !is_silent) {
        return;
    }
    l->shard = 0;
    l->to++;
}

static struct judge_facts limits_of(const struct readiness *r)
{
    return (struct judge_facts){ .max_lag_bytes = r->settings.max_lag_bytes,
                                 .drain_ms = r->settings.drain_ms };
}

static void weigh(struct look *l, const struct shard_survey *survey)
{
    struct judge_facts limits = limits_of(l->owner);
    readiness_weigh(&l->tallies[l->to], l->target.shards.items[l->shard], survey, &limits);
    next_shard(l);
}

/* DCs that are left alone are in the survey as silent ones, with the reason of before. */
static void add_silent(struct look *l, struct shard_survey *survey, size_t at)
{
    struct xp_err err = { 0 };
    const char *dc = l->dcs.names[at];
    if (shard_survey_add(survey, dc, at == 0, at == 1, &err) == 0) {
        struct survey_dc *silent = &survey->dcs[survey->count - 1];
        silent->is_unreachable = true;
        silent->error = xasprintf("not asked again yet: %s", dc_of(l->owner, dc)->why);
    }
}

static void add_asked(struct look *l, struct shard_survey *survey, size_t at)
{
    struct xp_err err = { 0 };
    int rc = shard_survey_add(survey, l->dcs.names[at], at == 0, at == 1, &err);
    xp_check(rc == 0); /* the list has as many as a survey at most */
}

static void add_dcs(struct look *l, bool silent, struct shard_survey *survey)
{
    for (size_t i = 0; i < l->dcs.count; i++) {
        if (l->dcs.is_silent[i] == silent) {
            (silent ? add_silent : add_asked)(l, survey, i);
        }
    }
}

static void list_dc(struct look *l, const char *name)
{
    struct look_dcs *list = &l->dcs;
    if (list->count < MIGRATION_DCS_MAX) {
        list->is_silent[list->count] = is_left_alone(l->owner, name);
        list->names[list->count++] = name;
    }
}

static void list_dcs(struct look *l)
{
    const struct readiness_target *t = &l->target;
    l->dcs.count = 0;
    list_dc(l, t->from);
    list_dc(l, t->to.items[l->to]);
    for (size_t i = 0; i < t->to.count; i++) {
        if (i != l->to) {
            list_dc(l, t->to.items[i]);
        }
    }
    for (size_t i = 0; i < t->others.count; i++) {
        list_dc(l, t->others.items[i]);
    }
}

static void surveyed(struct shard_survey *take_survey, void *arg)
{
    struct look *l = arg;
    struct readiness *r = l->owner;
    if (!take_survey || r->is_stopped) {
        shard_survey_free(take_survey);
        end_look(l, false);
        return;
    }
    for (size_t i = 0; i < take_survey->count; i++) {
        note_dc(r, &take_survey->dcs[i]);
    }
    add_dcs(l, true, take_survey);
    weigh(l, take_survey);
    shard_survey_free(take_survey);
    list_push_back(&r->ready, &l->ready_link);
    readiness_pump(r);
}

static void ask(struct look *l)
{
    struct readiness *r = l->owner;
    struct shard_survey *survey = xcalloc(1, sizeof(*survey));
    list_dcs(l);
    if (l->dcs.is_silent[1]) { /* nothing to learn from the others */
        add_dcs(l, true, survey);
        weigh(l, survey);
        shard_survey_free(survey);
        list_push_back(&r->ready, &l->ready_link);
        return;
    }
    add_dcs(l, false, survey);
    r->tokens -= READINESS_CALL * (int64_t)survey->count;
    metric_add(&calls_total, (int64_t)survey->count);
    migration_survey_start(r->o.calls, l->target.cluster, l->target.shards.items[l->shard], survey,
                           surveyed, l);
}

void readiness_go_on(struct readiness *r)
{
    struct list *link;
    while (r->tokens > 0 && (link = list_pop_front(&r->ready))) {
        struct look *l = LIST_ENTRY(link, struct look, ready_link);
        if (l->to < l->target.to.count) {
            ask(l);
        } else {
            finish(l);
        }
    }
}

/* ---- the metadata ---- */

static void run_read(struct job *job)
{
    struct look *l = CONTAINER_OF(job, struct look, job);
    l->rc = readiness_read_one(l->owner->o.catalog, l->id, &l->target, &l->err);
}

static bool is_to_be_asked(const struct readiness_target *t)
{
    return t->held_by == 0 && t->shards.count >= 1 && t->shards.count <= MIGRATION_SHARDS_MAX;
}

static void was_read(struct job *job)
{
    struct look *l = CONTAINER_OF(job, struct look, job);
    struct readiness *r = l->owner;
    if (job->outcome != 0 || r->is_stopped || l->rc < 0) {
        if (l->rc < 0) {
            log_warn("readiness.not_read", "cluster_id", log_int(l->id), "why", l->err.msg);
        }
        end_look(l, false); /* the next round comes */
        return;
    }
    if (l->target.id == 0) {
        readiness_board_remove(r->o.board, l->id);
        end_look(l, false);
        return;
    }
    l->tallies = xcalloc(items_of(&l->target), sizeof(*l->tallies));
    l->to = is_to_be_asked(&l->target) ? 0 : l->target.to.count;
    list_push_back(&r->ready, &l->ready_link);
    readiness_pump(r);
}

void readiness_look_start(struct readiness *r, int64_t id)
{
    struct look *l = xcalloc(1, sizeof(*l));
    l->owner = r;
    l->id = id;
    list_init(&l->ready_link);
    list_push_back(&r->looks, &l->link);
    l->job = (struct job){ .run = run_read, .done = was_read, .deadline = MONO_FOREVER };
    r->active++;
    r->tokens -= READINESS_CALL; /* whatever comes of it, it is work */
    if (worker_submit(r->o.pool, &l->job, &l->err) < 0) {
        end_look(l, false);
    }
}

/* Those that wait for tokens: nobody else holds them. */
void readiness_drop(struct readiness *r)
{
    struct list *link;
    while ((link = list_pop_front(&r->ready))) {
        end_look(LIST_ENTRY(link, struct look, ready_link), false);
    }
}

void readiness_look_metrics(void)
{
    metric_register(&calls_total);
    metric_register(&looks_total);
    metric_register(&turned_total);
}
