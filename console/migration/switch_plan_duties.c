/* switch_plan_duties.c - what other duties of the metaservers do behind the steps of a switch: settings that the fence overwrote come back, and
 * the sentinels of a DC watch the shard only while it is the primary one. The rules are those of keep_decide and monitor_decide. Nobody waits for
 * any of it. A metaserver that tells no details (x-pipe's) does this its own way, and is left out (K40). */
#include "console/migration/switch_plan_internal.h"
#include "shared/switch/settle_commands.h"

#include "shared/base/banned.h"

void plan_settle(struct planning *p, size_t shard, int64_t dc_id)
{
    struct plan_world *w = plan_world_of(p, shard, dc_id);
    struct foresight sight CLEANUP(foresight_done) = { 0 };
    if (!w->has_details) {
        return;
    }
    settle_foresee(w->saved, w->redis, w->count, &sight);
    size_t first = p->plan->step_count;
    plan_add_foresight(p, CALL_FOLLOW, w->dc->name, p->facts->shards[shard].name, &sight);
    for (size_t i = first; i < p->plan->step_count; i++) {
        p->plan->steps[i].when = "once it follows; looked at every meta.switch.reassert.milli";
    }
}

struct telling { /* the sentinels of one DC */
    enum migration_call phase;
    const char *rule;
    const char *when;
    const struct addr *master; /* NULL: nobody to watch */
};

static void tell(struct planning *p, size_t shard, struct plan_world *w, const struct telling *t)
{
    const struct plan_monitor *m = w->monitor;
    for (size_t i = 0; i < m->count; i++) {
        (void)plan_add(p,
                       (struct plan_step){ .phase = t->phase,
                                           .target = PLAN_SENTINEL,
                                           .dc = w->dc->name,
                                           .shard = p->facts->shards[shard].name,
                                           .instance = m->sentinels[i],
                                           .rule = t->rule,
                                           .is_late = true,
                                           .when = t->when },
                       monitor_command_text(m->name, t->master, sentinel_quorum(m->count)));
    }
    w->is_watched = t->master != NULL;
}

void plan_sentinels_leave(struct planning *p, size_t shard, int64_t dc_id,
                          enum migration_call phase)
{
    struct plan_world *w = plan_world_of(p, shard, dc_id);
    struct telling t = { .phase = phase,
                         .rule = "M11",
                         .when =
                             "when the sentinel is looked at, every meta.sentinel.check.milli" };
    if (w->has_details && w->monitor && w->is_watched) {
        tell(p, shard, w, &t);
    }
}

void plan_sentinels_watch(struct planning *p, size_t shard, int64_t dc_id,
                          enum migration_call phase, const struct addr *master)
{
    struct plan_world *w = plan_world_of(p, shard, dc_id);
    struct telling t = { .phase = phase,
                         .rule = "M32",
                         .when = "when the sentinel is looked at, every meta.sentinel.check.milli",
                         .master = master };
    if (w->has_details && w->monitor && !w->is_watched && !addr_is_none(master)) {
        tell(p, shard, w, &t);
    }
}
