/* switch_plan_tree.c - what the metaservers' tree duties do behind a promotion, as far as the survey tells: rules and stages are those of
 * tree_decide.h, the words those of tree_commands.h. Foretold for instances that answer; the route is the one that the metadata choose (routes.h). */
#include "console/migration/switch_plan_internal.h"
#include "shared/base/mem.h"
#include "shared/switch/tree_commands.h"

#include "shared/base/banned.h"

#define PRIORITY_DEFAULT 100 /* meta.replica.priority, where nobody changed it */

struct planting { /* one DC's tree of one shard */
    struct planning *p;
    struct plan_world *w;
    const char *shard;
    enum migration_call phase;
};

static void send(struct planting *t, const struct addr *instance, enum plan_target target,
                 const char *rule, const struct tree_order *order)
{
    (void)plan_add(t->p,
                   (struct plan_step){ .phase = t->phase,
                                       .target = target,
                                       .dc = t->w->dc->name,
                                       .shard = t->shard,
                                       .instance = *instance,
                                       .rule = rule,
                                       .is_late = true },
                   tree_command_text(order));
}

/* Behind each command to a Redis: a restart keeps what it was told. */
static void rewrite(struct planting *t, const struct addr *instance, const char *rule)
{
    (void)plan_add(t->p,
                   (struct plan_step){ .phase = t->phase,
                                       .target = PLAN_REDIS,
                                       .dc = t->w->dc->name,
                                       .shard = t->shard,
                                       .instance = *instance,
                                       .rule = rule,
                                       .is_late = true },
                   xstrdup("CONFIG REWRITE"));
}

static void follow(struct planting *t, struct foreseen_redis *redis, const struct addr *target,
                   const char *rule)
{
    struct tree_order order = { .kind = TREE_COMMAND_FOLLOW, .verb = "SLAVEOF", .target = target };
    if (!redis->answers || addr_eq(&redis->role.master, target) || addr_eq(&redis->addr, target)) {
        return;
    }
    send(t, &redis->addr, PLAN_REDIS, rule, &order);
    rewrite(t, &redis->addr, rule);
    redis->role = (struct redis_role){ .kind = ROLE_KIND_REPLICA,
                                       .master = *target,
                                       .link = ROLE_LINK_CONNECTED,
                                       .offset = redis->offset };
}

static const struct addr *active_keeper(const struct plan_world *w)
{
    return w->has_keepers && w->seen->check->has_active_keeper &&
                   !addr_is_none(&w->seen->check->active_keeper)
               ? &w->seen->check->active_keeper
               : NULL;
}

static void set_active(struct planting *t, const struct addr *keeper, const struct addr *source,
                       const char *route)
{
    struct tree_order order = { .kind = TREE_COMMAND_SET_ACTIVE, .target = source, .route = route };
    send(t, keeper, PLAN_KEEPER, "T12", &order);
}

static void set_priority(struct planting *t, struct foreseen_redis *redis, int priority,
                         const char *rule)
{
    struct tree_order order = { .kind = TREE_COMMAND_SET_PRIORITY, .priority = priority };
    if (redis->answers && redis->priority >= 0 && redis->priority != priority) {
        send(t, &redis->addr, PLAN_REDIS, rule, &order);
        rewrite(t, &redis->addr, rule);
        redis->priority = priority;
    }
}

/* Without keepers a Redis of the DC pulls from outside: the one that does already, else (the DC was the primary one) the old master. */
static struct foreseen_redis *relay(struct plan_world *w)
{
    struct foreseen_redis *best = NULL;
    for (size_t i = 0; i < w->count; i++) {
        struct foreseen_redis *r = &w->redis[i];
        bool is_inside = addr_is_none(&r->role.master);
        for (size_t k = 0; k < w->count; k++) {
            is_inside |= addr_eq(&r->role.master, &w->redis[k].addr);
        }
        if (r->answers && (!best || !is_inside)) {
            best = r;
        }
        if (r->answers && !is_inside) {
            return r;
        }
    }
    for (size_t i = 0; i < w->count; i++) {
        if (w->redis[i].answers && addr_is_none(&w->redis[i].role.master)) {
            return &w->redis[i]; /* frozen: the others follow it */
        }
    }
    return best;
}

void plan_tree_promoted(struct planning *p, size_t shard, const struct addr *master)
{
    struct plan_world *w = plan_world_of(p, shard, p->facts->dest_dc_id);
    struct planting t = { p, w, p->facts->shards[shard].name, CALL_PROMOTE };
    const struct addr *keeper = active_keeper(w);
    if (keeper) {
        set_active(&t, keeper, master, NULL);
    }
    for (size_t i = 0; i < w->count; i++) {
        follow(&t, &w->redis[i], master, "T34");
    }
    for (int is_master = 0; is_master <= 1; is_master++) { /* the master goes last */
        for (size_t i = 0; i < w->count; i++) {
            if (w->redis[i].priority == 0 && addr_eq(&w->redis[i].addr, master) == is_master) {
                set_priority(&t, &w->redis[i], PRIORITY_DEFAULT, is_master ? "T54" : "T52");
            }
        }
    }
}

/* What others pull from: the active keeper of the new primary DC, without keepers there its master. */
static const struct addr *source_of(struct planning *p, size_t shard, const struct addr *master)
{
    const struct plan_world *dest = plan_world_of(p, shard, p->facts->dest_dc_id);
    const struct addr *keeper = dest->has_details ? active_keeper(dest) : NULL;
    return keeper ? keeper : master;
}

/* May the head of this DC be pointed at the new primary DC? Else it is left as it is, and the DC stays behind. */
static bool may_point(struct planting *t, bool is_keeper)
{
    const struct plan_dc *dc = t->w->dc;
    if (dc->route == ROUTE_UNUSABLE) {
        plan_add_risk(t->p, "K44", false, t->shard,
                      "dc %.64s stays behind: none of the routes that apply can be used", dc->name);
    } else if (dc->route == ROUTE_CHOSEN && !is_keeper) {
        plan_add_risk(t->p, "K42", false, t->shard,
                      "dc %.64s stays behind: a route applies, and it has no keeper to use it",
                      dc->name);
    }
    return dc->route == ROUTE_DIRECT || (dc->route == ROUTE_CHOSEN && is_keeper);
}

static void follow_all(struct planting *t, const struct addr *head)
{
    for (size_t i = 0; i < t->w->count; i++) {
        follow(t, &t->w->redis[i], head, "T32");
    }
}

void plan_tree_follow(struct planning *p, size_t shard, int64_t dc_id, const struct addr *master)
{
    struct plan_world *w = plan_world_of(p, shard, dc_id);
    struct planting t = { p, w, p->facts->shards[shard].name, CALL_FOLLOW };
    const struct addr *source = source_of(p, shard, master);
    if (addr_is_none(source)) {
        return;
    }
    if (w->has_keepers) {
        const struct addr *keeper = active_keeper(w);
        if (keeper && may_point(&t, true)) {
            set_active(&t, keeper, source, w->dc->route_words);
        }
        if (keeper) {
            follow_all(&t, keeper);
        }
        return;
    }
    struct foreseen_redis *head = relay(w);
    for (size_t i = 0; i < w->count; i++) {
        set_priority(&t, &w->redis[i], 0, "T50");
    }
    if (head && may_point(&t, false)) {
        follow(&t, head, source, "T42");
    }
    if (head) {
        follow_all(&t, &head->addr);
    }
}
