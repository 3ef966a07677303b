/* switch_isolation.c - the fence of a DC that does not hear its console (meta.isolation.fence.seconds): after that time another DC may be
 * promoted without a word to this one. When the console was heard last is known for this metaserver, whose clock begins with its start;
 * each shard then asks keep_decide.h. What is done is what a step's hold is: the record first, the settings of before second, the hold third.
 *
 * Without a lease of ZooKeeper nothing is commanded (may_command): a DC that lost its quorum, too, cannot fence itself. */
#include "meta/primary/switch_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/thread.h"

#include "shared/base/banned.h"

#define LOOK_MS 250  /* how long the console was silent is looked at so often */
#define ASK_MS  1000 /* pause between two questions to the other members */
/* shards that begin: a metaserver with 4,000 of them has begun within a second */
#define WAKES_PER_MS 4

static struct metric isolated = METRIC_GAUGE_INIT(
    "xpipe_meta_isolated", "",
    "1: the console was not heard for meta.isolation.fence.seconds, masters are held.");
static struct metric holds =
    METRIC_COUNTER_INIT("xpipe_meta_isolation_holds_total", "",
                        "Shards whose writes were stopped because the console was not heard.");

static int64_t silence_ms(const struct shard_switches *all)
{
    mono_ms since = all->heard_at > all->awake_at ? all->heard_at : all->awake_at;
    return mono_age(loop_now(all->opt.loop), since);
}

/* ---- one shard ---- */

void switch_isolation_facts(const struct switch_shard *s, struct keep_facts *facts)
{
    const struct shard_switches *all = s->all;
    const struct dc_store *store = all->opt.store;
    const struct cluster_meta *cluster = dc_store_cluster_by_id(store, s->cluster_id);
    mono_ms since = all->isolated_at > s->known_at ? all->isolated_at : s->known_at;
    facts->is_isolated = all->is_isolated;
    facts->is_isolation = s->record.is_isolation;
    facts->is_confirmed = s->record.is_isolation && !all->is_isolated && cluster &&
                          dc_store_is_confirmed(store, cluster->name, since);
}

/* The settings of an earlier fence that were not given back stay whose they are. The next turn looks, and writes down what it sees. */
void switch_isolate(struct switch_shard *s)
{
    const struct shard_switches *all = s->all;
    struct switch_record *r = &s->record;
    if (r->saved.is_known && !addr_is_none(&r->master)) {
        (void)switch_kept_add(&r->kept, &r->master, &r->saved);
    }
    r->fence = FENCE_HELD;
    r->is_isolation = true;
    r->master = (struct addr){ 0 };
    r->saved = (struct fence_saved){ 0 };
    r->offset = 0;
    r->repl_id[0] = '\0';
    switch_note_ordered(s);
    s->is_asserted = false;
    metric_add(&holds, 1);
    log_error("isolation.hold", "cluster", log_int(s->cluster_id), "shard", log_int(s->shard_id),
              "silent_ms", log_int(silence_ms(all)), "next",
              "its master refuses writes until the console says that this dc still is the primary "
              "one");
    switch_write(s);
    switch_look(s); /* the sentinels */
    switch_keep(s, 0);
}

/* ---- the console ---- */

/* A pause makes nobody heard: only this ends an isolation. */
static bool is_heard(const struct shard_switches *all)
{
    return all->opt.isolation_ms == 0 || silence_ms(all) < all->opt.isolation_ms;
}

/* Whoever was not awake may have missed what was sent to it: the silence counts from when it woke up. */
static bool is_silent(const struct shard_switches *all)
{
    return !is_heard(all) && !loop_was_paused(all->opt.loop, all->opt.isolation_ms);
}

/* Each shard asks what this means for it; not all at once, for each writes into ZooKeeper first. */
static size_t wake_shards(const struct shard_switches *all)
{
    size_t at = 0;
    size_t primary = 0;
    for (const struct map_slot *entry; (entry = map_next(&all->shards, &at));) {
        struct switch_shard *s = entry->value;
        if (s->is_owned && switch_is_primary(s)) {
            switch_keep(s, (int64_t)(primary++ / WAKES_PER_MS));
        }
    }
    return primary;
}

static void begin_isolation(struct shard_switches *all)
{
    all->is_isolated = true;
    all->isolated_at = loop_now(all->opt.loop);
    metric_set(&isolated, 1);
    log_error("isolation.begins", "dc", dc_store_dc(all->opt.store), "silent_ms",
              log_int(silence_ms(all)), "shards", log_int((int64_t)wake_shards(all)), "next",
              "bring back the way to the console; or, when no other dc was promoted, set "
              "meta.isolation.fence.seconds to 0, SIGHUP, and release each shard "
              "(masterreadonly/.../false)");
}

static void end_isolation(struct shard_switches *all, mono_ms at)
{
    all->is_isolated = false;
    all->isolated_at = at > all->isolated_at ? at : all->isolated_at;
    metric_set(&isolated, 0);
    log_warn("isolation.ends", "dc", dc_store_dc(all->opt.store), "next",
             "the next document of the console says which masters are to accept writes again");
    if (all->opt.refresh) {
        all->opt.refresh(all->opt.arg);
    }
}

/* In time before it matters; and then as well, for they may hear it first. What they tell is when they heard it, not that they were told: two
 * that are both cut off do not keep each other awake. */
static void ask_others(struct shard_switches *all)
{
    mono_ms now = loop_now(all->opt.loop);
    bool is_due =
        silence_ms(all) >= all->opt.isolation_ms / 2 && mono_age(now, all->asked_at) >= ASK_MS;
    if (is_due && all->opt.ask_others) {
        all->asked_at = now;
        all->opt.ask_others(all->opt.arg);
    }
}

static void silence_fire(struct loop_timer *timer)
{
    struct shard_switches *all = CONTAINER_OF(timer, struct shard_switches, silence_timer);
    ask_others(all);
    if (!all->is_isolated && is_silent(all)) {
        begin_isolation(all);
    }
    loop_timer_start(timer, LOOK_MS);
}

void shard_switches_heard(struct shard_switches *all, mono_ms at)
{
    XP_ON_LOOP();
    all->heard_at = at > all->heard_at ? at : all->heard_at;
    if (all->is_isolated && is_heard(all)) {
        end_isolation(all, at);
    }
}

void shard_switches_set_isolation(struct shard_switches *all, int64_t isolation_ms)
{
    XP_ON_LOOP();
    int64_t before_ms = all->opt.isolation_ms;
    if (before_ms == 0 || isolation_ms < before_ms) {
        all->awake_at = loop_now(all->opt.loop); /* nobody asked so often until now */
    }
    all->opt.isolation_ms = isolation_ms;
    if (all->is_isolated && is_heard(all)) {
        end_isolation(all, loop_now(all->opt.loop));
    }
    if (isolation_ms > 0) {
        loop_timer_start(&all->silence_timer, LOOK_MS);
    } else {
        loop_timer_stop(&all->silence_timer);
    }
}

json_t *shard_switches_heard_json(const struct shard_switches *all)
{
    json_t *ago = all->heard_at == MONO_NEVER
                      ? json_null()
                      : json_integer(mono_age(loop_now(all->opt.loop), all->heard_at));
    return json_pack("{s:o, s:b}", "heardMsAgo", ago, "isolated", all->is_isolated);
}

void switch_isolation_init(struct shard_switches *all)
{
    all->heard_at = MONO_NEVER;
    all->awake_at = loop_now(all->opt.loop);
    all->asked_at = MONO_NEVER;
    all->isolated_at = MONO_NEVER;
    loop_timer_init(&all->silence_timer, all->opt.loop, silence_fire);
    metric_register(&isolated);
    metric_register(&holds);
    metric_set(&isolated, 0);
    shard_switches_set_isolation(all, all->opt.isolation_ms);
}

void switch_isolation_done(struct shard_switches *all)
{
    loop_timer_stop(&all->silence_timer);
}
