/* dc_diff.c - see dc_diff.h. */
#include "meta/dcmeta/dc_diff.h"

#include <string.h>

#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/proxy/route.h"

#include "shared/base/banned.h"

static bool has_redis(const struct shard_meta *shard, const struct addr *addr)
{
    for (size_t i = 0; i < shard->redises.count; i++) {
        if (addr_eq(&shard->redises.items[i].addr, addr)) {
            return true;
        }
    }
    return false;
}

static bool has_keeper(const struct shard_meta *shard, const struct addr *addr)
{
    for (size_t i = 0; i < shard->keepers.count; i++) {
        if (addr_eq(&shard->keepers.items[i].addr, addr)) {
            return true;
        }
    }
    return false;
}

static bool shard_shrinks(const struct shard_meta *before, const struct shard_meta *after)
{
    for (size_t i = 0; i < before->redises.count; i++) {
        if (!has_redis(after, &before->redises.items[i].addr)) {
            return true;
        }
    }
    for (size_t i = 0; i < before->keepers.count; i++) {
        if (!has_keeper(after, &before->keepers.items[i].addr)) {
            return true;
        }
    }
    return false;
}

static bool change_shrinks(const struct cluster_meta *before, const struct cluster_meta *after)
{
    for (size_t i = 0; i < before->shards.count; i++) {
        const struct shard_meta *shard = &before->shards.items[i];
        const struct shard_meta *now = cluster_meta_shard(after, shard->name);
        if (!now || shard_shrinks(shard, now)) {
            return true;
        }
    }
    for (size_t i = 0; i < before->dcs.count; i++) {
        if (!names_has(&after->dcs, before->dcs.items[i])) {
            return true;
        }
    }
    return false;
}

/* A cluster is pushed before it has a shard, while documents leave it out until then: its removal takes nothing away. */
static bool is_served(const struct cluster_meta *cluster)
{
    return cluster->shards.count > 0;
}

static void add_change(struct dc_diff *diff, enum dc_change_kind kind, struct cluster_meta *before,
                       struct cluster_meta *after)
{
    struct dc_change *change = &diff->changes[diff->count++];
    *change = (struct dc_change){ .kind = kind };
    change->before = before ? cluster_meta_ref(before) : NULL;
    change->after = after ? cluster_meta_ref(after) : NULL;
    change->shrinks = kind == DC_MODIFIED && change_shrinks(before, after);
    diff->added += kind == DC_ADDED;
    change->removes = kind == DC_REMOVED && before && is_served(before);
    diff->removed += change->removes;
    diff->shrunk += change->shrinks;
    diff->modified += kind == DC_MODIFIED && !change->shrinks;
}

struct comparison {
    const struct dc_meta *before;
    const struct dc_meta *after;
    const char *current_dc;
    struct map before_by_id;
    struct map left;  /* of 'before': not seen in the new document yet */
    struct map seen;  /* ids of the new document: the last cluster that claims it */
    struct map twice; /* the ids that several claim: the first of these */
};

static void note_problem(struct dc_diff *diff, const char *cluster, const char *text)
{
    diff->unusable++;
    if (diff->problem_count < DC_PROBLEMS_KEPT) {
        diff->problems[diff->problem_count++] = (struct dc_problem){
            .cluster = xstrndup(cluster, strnlen(cluster, DC_PROBLEM_NAME_MAX)),
            .text = xstrdup(text),
        };
    }
}

/* Nothing is known for sure about this one: its predecessor stays, found by name or by id. */
static void skip_unusable(struct comparison *c, struct dc_diff *diff,
                          const struct cluster_meta *after, const char *problem)
{
    note_problem(diff, after->name, problem);
    const struct cluster_meta *same_name = dc_meta_cluster(c->before, after->name);
    if (same_name) {
        (void)map_remove_n(&c->left, (uint64_t)same_name->db_id);
    }
    (void)map_remove_n(&c->left, (uint64_t)after->db_id);
}

/* Which of several clusters with one id is the right one cannot be known: none is taken. */
static void find_claimed_twice(struct comparison *c)
{
    for (size_t i = 0; i < c->after->clusters.count; i++) {
        struct cluster_meta *after = c->after->clusters.items[i];
        struct cluster_meta *one =
            after->problem ? NULL : map_put_n(&c->seen, (uint64_t)after->db_id, after);
        if (one && !map_get_n(&c->twice, (uint64_t)after->db_id)) {
            (void)map_put_n(&c->twice, (uint64_t)after->db_id, one);
        }
    }
}

/* Of the links of one cluster to other DCs: where does it go? */
static enum route_choice_kind choice_kind(const struct dc_meta *meta, const struct cluster_meta *c,
                                          const char *src_dc, const char *dst_dc)
{
    struct route_query query = {
        .cluster_name = c->name,
        .type = c->type,
        .org_id = c->org_id,
        .designated_ids = c->designated_route_ids.items,
        .designated_count = c->designated_route_ids.count,
        .src_dc = src_dc,
        .dst_dc = dst_dc,
        .tag = "meta",
    };
    struct route_choice choice;
    route_choose(&query, meta->routes.items, meta->routes.count, &choice);
    return choice.kind;
}

static bool is_direct(const struct comparison *c, const struct dc_meta *routes,
                      const struct cluster_meta *cluster, const char *dc)
{
    return choice_kind(routes, cluster, c->current_dc, dc) == ROUTE_DIRECT;
}

/* Links of the cluster that had a route and will have none; and whether its own fields take one, with the old routes or the new. */
static int count_downgrades(const struct comparison *c, const struct cluster_meta *old,
                            const struct cluster_meta *now, bool *ret_by_itself)
{
    int downgrades = 0;
    for (size_t d = 0; d < now->dcs.count; d++) {
        const char *dc = now->dcs.items[d];
        if (text_eq(dc, c->current_dc)) {
            continue;
        }
        bool was_direct = is_direct(c, c->before, old, dc);
        downgrades += !was_direct && is_direct(c, c->after, now, dc);
        *ret_by_itself |= !was_direct && is_direct(c, c->before, now, dc);
        *ret_by_itself |= !is_direct(c, c->after, old, dc) && is_direct(c, c->after, now, dc);
    }
    return downgrades;
}

/* One cluster of the new document; takes its predecessor out of 'left'. */
static void compare_cluster(struct comparison *c, struct dc_diff *diff, struct cluster_meta *after)
{
    if (after->problem) {
        skip_unusable(c, diff, after, after->problem);
        return;
    }
    const struct cluster_meta *first = map_get_n(&c->twice, (uint64_t)after->db_id);
    if (first) {
        const struct cluster_meta *last = map_get_n(&c->seen, (uint64_t)after->db_id);
        AUTO_FREE char *why =
            xasprintf("dbId: %lld is also that of cluster '%s'", (long long)after->db_id,
                      first == after ? last->name : first->name);
        skip_unusable(c, diff, after, why);
        return;
    }
    (void)map_remove_n(&c->left, (uint64_t)after->db_id);
    struct cluster_meta *old = map_get_n(&c->before_by_id, (uint64_t)after->db_id);
    bool goes_direct = false;
    bool is_equal = old && cluster_meta_eq(old, after);
    if (!is_equal || diff->routes_changed) {
        diff->downgraded += count_downgrades(c, old ? old : after, after, &goes_direct);
    }
    if (!old) {
        add_change(diff, DC_ADDED, NULL, after);
    } else if (!is_equal) {
        add_change(diff, DC_MODIFIED, old, after);
        diff->changes[diff->count - 1].goes_direct = goes_direct;
    }
}

static bool are_routes_equal(const struct dc_meta *a, const struct dc_meta *b)
{
    if (a->routes.count != b->routes.count) {
        return false;
    }
    for (size_t i = 0; i < a->routes.count; i++) {
        if (!route_meta_eq(&a->routes.items[i], &b->routes.items[i])) {
            return false;
        }
    }
    return true;
}

void dc_diff_make(const struct dc_meta *before, const struct dc_meta *after, const char *current_dc,
                  struct dc_diff *ret_diff)
{
    struct dc_diff diff = { 0 };
    diff.changes = xcalloc(before->clusters.count + after->clusters.count, sizeof(*diff.changes));
    diff.problems = xcalloc(DC_PROBLEMS_KEPT, sizeof(*diff.problems));
    diff.routes_changed = !are_routes_equal(before, after);
    struct comparison c = { .before = before,
                            .after = after,
                            .current_dc = current_dc,
                            .before_by_id = MAP_INIT(MAP_NUMBER),
                            .left = MAP_INIT(MAP_NUMBER),
                            .seen = MAP_INIT(MAP_NUMBER),
                            .twice = MAP_INIT(MAP_NUMBER) };
    for (size_t i = 0; i < before->clusters.count; i++) {
        struct cluster_meta *old = before->clusters.items[i];
        diff.clusters_before += is_served(old);
        (void)map_put_n(&c.before_by_id, (uint64_t)old->db_id, old);
        (void)map_put_n(&c.left, (uint64_t)old->db_id, old);
    }
    find_claimed_twice(&c);
    for (size_t i = 0; i < after->clusters.count; i++) {
        compare_cluster(&c, &diff, after->clusters.items[i]);
    }
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&c.left, &at));) {
        add_change(&diff, DC_REMOVED, slot->value, NULL);
    }
    map_done(&c.before_by_id);
    map_done(&c.left);
    map_done(&c.seen);
    map_done(&c.twice);
    *ret_diff = diff;
}

void dc_diff_done(struct dc_diff *diff)
{
    for (size_t i = 0; i < diff->count; i++) {
        cluster_meta_unref(diff->changes[i].before);
        cluster_meta_unref(diff->changes[i].after);
    }
    for (size_t i = 0; i < diff->problem_count; i++) {
        free(diff->problems[i].cluster);
        free(diff->problems[i].text);
    }
    free(diff->problems);
    free(diff->changes);
    *diff = (struct dc_diff){ 0 };
}

void dc_brake(struct dc_diff *diff, const struct brake_limits *limits,
              struct brake_verdict *ret_verdict)
{
    struct brake_verdict verdict = { .is_accepted = limits->is_accepted };
    if (!limits->is_accepted) {
        bool is_emptied = diff->removed > 1 && diff->removed == diff->clusters_before;
        verdict.removals_held = diff->removed + diff->shrunk > limits->removals || is_emptied;
        verdict.routes_held = diff->downgraded > limits->downgrades;
    }
    for (size_t i = 0; i < diff->count; i++) {
        struct dc_change *change = &diff->changes[i];
        change->is_held = (verdict.removals_held && (change->removes || change->shrinks)) ||
                          (verdict.routes_held && change->goes_direct);
        verdict.held += change->is_held;
    }
    *ret_verdict = verdict;
}
