/* switch_diverge.c - a returned master of a backup DC before it follows: diverge_decide's driver. What it has beyond the new master is logged, counted
 * and written into the record; the tree duty is told to look again when that is in ZooKeeper, and the console is told until it
 * has it. The tree never waits for the console. */
#include <string.h>

#include "meta/links/console_report.h"
#include "meta/primary/switch_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define RECORD_OVER_MS 60000 /* what the console has leaves the record after that time */
#define KEY_MAX        192

/* ---- who waits ---- */

/* There are no more than Redis of the shard; of those that were, the one that was asked for longest ago makes room. */
static struct discard_try *new_try(struct switch_shard *s)
{
    if (s->try_count < SWITCH_REDIS_MAX) {
        s->tries = xrealloc(s->tries, s->try_count + 1, sizeof(*s->tries));
        return &s->tries[s->try_count++];
    }
    struct discard_try *oldest = &s->tries[0];
    for (size_t i = 1; i < s->try_count; i++) {
        oldest = s->tries[i].asked < oldest->asked ? &s->tries[i] : oldest;
    }
    return oldest;
}

/* Not asked for, for longer than it may have waited for, or it restarted: another return of it. */
static bool is_over(const struct switch_shard *s, const struct discard_try *try,
                    const char *repl_id)
{
    const struct shard_switches_options *opt = &s->all->opt;
    bool is_other = try->repl_id[0] && repl_id[0] && !text_eq(try->repl_id, repl_id);
    return is_other ||
           mono_age(loop_now(opt->loop), try->asked) > opt->diverge_ms + opt->duty->poll_ms;
}

static struct discard_try *try_of(struct switch_shard *s, const struct addr *redis,
                                  const char *repl_id)
{
    mono_ms now = loop_now(s->all->opt.loop);
    struct discard_try *try = NULL;
    for (size_t i = 0; i < s->try_count && !try; i++) {
        try = addr_eq(&s->tries[i].redis, redis) ? &s->tries[i] : NULL;
    }
    if (!try) {
        try = new_try(s);
        *try = (struct discard_try){ .redis = *redis, .since = now, .asked = now };
    } else if (is_over(s, try, repl_id)) {
        try->since = now;
        try->is_logged = false;
    }
    if (repl_id[0]) {
        (void)snprintf(try->repl_id, sizeof(try->repl_id), "%s", repl_id);
    }
    try->asked = now;
    return try;
}

static void end_try(struct switch_shard *s, const struct addr *redis)
{
    for (size_t i = 0; i < s->try_count; i++) {
        if (addr_eq(&s->tries[i].redis, redis)) {
            s->tries[i] = s->tries[--s->try_count];
            return;
        }
    }
}

void switch_diverge_forget(struct switch_shard *s)
{
    free(TAKE(s->tries));
    s->try_count = 0;
}

void switch_diverge_look(const struct switch_shard *s)
{
    if (s->try_count > 0) {
        switch_look(s);
    }
}

/* ---- the console ---- */

struct told { /* a report under way */
    struct shard_switches *all;
    int64_t cluster_id;
    int64_t shard_id;
    struct addr redis;
    char repl_id[REPL_ID_SIZE];
};

static void count_untold(struct switch_shard *s)
{
    size_t untold = 0;
    for (size_t i = 0; s->is_owned && s->is_known && i < s->record.diverged.count; i++) {
        untold += !s->record.diverged.items[i].is_told;
    }
    metric_add(&switch_untold, (int64_t)untold - (int64_t)s->untold);
    s->untold = untold;
}

static void on_told(int rc, void *arg)
{
    struct told *told = arg;
    struct switch_shard *s =
        rc == XP_UNAVAILABLE ? NULL : switch_find(told->all, told->cluster_id, told->shard_id);
    struct switch_diverged *d =
        s && s->is_owned && s->is_known
            ? switch_diverged_find(&s->record.diverged, &told->redis, told->repl_id)
            : NULL;
    if (d && rc != XP_TOO_MANY) {
        d->is_told = true;
        count_untold(s);
        switch_write(s);
    }
    free(told);
}

static void tell(struct switch_shard *s, const struct switch_diverged *d)
{
    const struct shard_switches_options *opt = &s->all->opt;
    char key[KEY_MAX];
    struct cluster_meta *cluster;
    const struct shard_meta *shard;
    (void)snprintf(key, sizeof(key), "%lld/%lld %s %s", (long long)s->cluster_id,
                   (long long)s->shard_id, ADDR_TEXT(&d->redis), d->repl_id);
    if (console_report_has(opt->reports, key) || !switch_meta(s, &cluster, &shard)) {
        return;
    }
    struct told *told = xcalloc(1, sizeof(*told));
    *told = (struct told){
        .all = s->all, .cluster_id = s->cluster_id, .shard_id = s->shard_id, .redis = d->redis
    };
    memcpy(told->repl_id, d->repl_id, sizeof(told->repl_id));
    json_t *news = switch_diverged_news(d, dc_store_dc(opt->store), cluster->name, shard->name);
    char *body = json_dumps(news, JSON_COMPACT);
    json_decref(news);
    console_report_put(opt->reports, &(struct console_news){ .key = key,
                                                             .method = "POST",
                                                             .target = "/api/v2/divergences",
                                                             .take_body = body,
                                                             .on_end = on_told,
                                                             .arg = told });
}

void switch_diverge_recorded(struct switch_shard *s)
{
    struct switch_diverged_list list = s->record.diverged;
    count_untold(s);
    if (list.count == 0) {
        return;
    }
    for (size_t i = 0; s->all->opt.reports && i < list.count; i++) {
        if (!list.items[i].is_told) {
            tell(s, &list.items[i]);
        }
    }
    switch_diverge_look(s);
    if (switch_diverged_forget(&s->record.diverged, clock_wall_ms() - RECORD_OVER_MS)) {
        switch_write(s);
    }
}

void switch_diverge_left(struct switch_shard *s)
{
    count_untold(s);
}

/* ---- the record ---- */

static void alert(const struct switch_shard *s, const struct switch_diverged *d)
{
    struct cluster_meta *cluster = NULL;
    const struct shard_meta *shard = NULL;
    bool is_named = switch_meta(s, &cluster, &shard);
    log_error("switch.diverged", "cluster", is_named ? cluster->name : "?", "shard",
              is_named ? shard->name : "?", "redis", ADDR_TEXT(&d->redis), "bytes",
              d->bytes < 0 ? "unknown" : log_int(d->bytes), "replid", d->repl_id, "offset",
              log_int(d->offset), "promoted_offset", log_int(d->promoted_offset), "why",
              diverge_why_means(d->why), "next",
              "what it wrote beyond the promotion is discarded now by its resynchronization; see "
              "Divergence in operations.md");
    metric_add(&switch_diverged_total, 1);
    metric_add(&switch_diverged_bytes, d->bytes > 0 ? d->bytes : 0);
}

static void record(struct switch_shard *s, const struct tree_discard *discard,
                   const struct diverge_plan *plan)
{
    struct switch_diverged d = { .redis = discard->redis,
                                 .offset = discard->own->offset,
                                 .promoted_offset = plan->promoted_offset,
                                 .bytes = plan->bytes,
                                 .why = plan->why,
                                 .at = clock_wall_ms() };
    memcpy(d.repl_id, discard->own->repl_id, sizeof(d.repl_id));
    alert(s, &d);
    if (!switch_diverged_add(&s->record.diverged, &d)) {
        log_error("switch.diverged_unrecorded", "cluster", log_int(s->cluster_id), "shard",
                  log_int(s->shard_id), "redis", ADDR_TEXT(&d.redis), "why",
                  "the record has no room: the console has not taken what is in it", "next",
                  "this log line is all there is of it");
        try_of(s, &discard->redis, discard->own->repl_id)->is_logged = true;
        return;
    }
    switch_write(s);
}

/* What it has now, or all that will be counted of it. */
static bool is_recorded(struct switch_shard *s, const struct tree_discard *discard, bool is_settled)
{
    const struct switch_diverged *d =
        switch_diverged_find(&s->record.diverged, &discard->redis, discard->own->repl_id);
    return d && (is_settled || d->offset >= discard->own->offset);
}

/* Since before its history was asked for. */
static bool is_held(const struct switch_shard *s, const struct tree_discard *discard)
{
    for (size_t i = 0; i < s->stray_count; i++) {
        const struct stray *stray = &s->strays[i];
        if (addr_eq(&stray->redis, &discard->redis) && stray->held_at != MONO_NEVER) {
            return discard->own_at >= stray->held_at &&
                   mono_age(loop_now(s->all->opt.loop), stray->held_at) <
                       2 * s->all->opt.reassert_ms;
        }
    }
    return false;
}

int shard_switch_may_discard(struct shard_switches *all, int64_t cluster_id, int64_t shard_id,
                             const struct tree_discard *discard, struct xp_err *err)
{
    struct switch_shard *s = switch_find(all, cluster_id, shard_id);
    struct discard_try *try =
        s && s->is_owned && s->is_known ? try_of(s, &discard->redis, discard->own->repl_id) : NULL;
    if (!try) {
        return xp_fail(err, XP_CONFLICT, "the record of the shard is not read yet");
    }
    struct diverge_facts facts = {
        .is_master = discard->is_master,
        .is_held = is_held(s, discard),
        .own = *discard->own,
        .point = *discard->point,
        .fence_offset = s->record.offset,
        .is_written = !s->is_dirty && !s->is_writing,
        .waited_ms = mono_age(loop_now(all->opt.loop), try->since),
        .patience_ms = all->opt.diverge_ms,
    };
    memcpy(facts.fence_repl_id, s->record.repl_id, sizeof(facts.fence_repl_id));
    bool is_settled = facts.is_held || facts.waited_ms >= facts.patience_ms;
    facts.is_recorded = try->is_logged || is_recorded(s, discard, is_settled);
    struct diverge_plan plan;
    diverge_decide(&facts, &plan);
    if (plan.verdict == DIVERGE_PASS) {
        end_try(s, &discard->redis);
        return 0;
    }
    if (plan.verdict == DIVERGE_HOLD) {
        shard_switch_stray(all, cluster_id, shard_id, &discard->redis);
    } else if (plan.verdict == DIVERGE_RECORD) {
        record(s, discard, &plan);
    }
    return xp_fail(err, XP_CONFLICT, "%s: %s (%s)", ADDR_TEXT(&discard->redis), plan.text,
                   plan.rule);
}
