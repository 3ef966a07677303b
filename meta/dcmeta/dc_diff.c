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

static void add_change(struct dc_diff *diff, enum dc_change_kind kind, struct cluster_meta *before,
                       struct cluster_meta *after)
{
    struct dc_change *change = &diff->changes[diff->count++];
    *change = (struct dc_change){ .kind = kind };
    change->before = before ? cluster_meta_ref(before) : NULL;
    change->after = after ? cluster_meta_ref(after) : NULL;
    change->shrinks = kind == DC_MODIFIED && change_shrinks(before, after);
    diff->added += kind == DC_ADDED;
    diff->removed += kind == DC_REMOVED;
    diff->shrunk += change->shrinks;
    diff->modified += kind == DC_MODIFIED && !change->shrinks;
}

struct comparison {
    const struct dc_meta *before;
    struct map before_by_id;
    struct map left; /* of 'before': not seen in the new document yet */
    struct map seen; /* ids of the new document */
};

/* Nothing is known for sure about this one: its predecessor stays, found by name or by id. */
static void skip_unusable(struct comparison *c, struct dc_diff *diff,
                          const struct cluster_meta *after)
{
    diff->unusable++;
    const struct cluster_meta *same_name = dc_meta_cluster(c->before, after->name);
    if (same_name) {
        (void)map_remove_n(&c->left, (uint64_t)same_name->db_id);
    }
    (void)map_remove_n(&c->left, (uint64_t)after->db_id);
}

/* One cluster of the new document; takes its predecessor out of 'left'. */
static void compare_cluster(struct comparison *c, struct dc_diff *diff, struct cluster_meta *after)
{
    if (after->problem || map_put_n(&c->seen, (uint64_t)after->db_id, after)) {
        skip_unusable(c, diff, after);
        return;
    }
    (void)map_remove_n(&c->left, (uint64_t)after->db_id);
    struct cluster_meta *old = map_get_n(&c->before_by_id, (uint64_t)after->db_id);
    if (!old) {
        add_change(diff, DC_ADDED, NULL, after);
    } else if (!cluster_meta_eq(old, after)) {
        add_change(diff, DC_MODIFIED, old, after);
    }
}

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

static int count_downgrades(const struct dc_meta *before, const struct dc_meta *after,
                            const char *current_dc)
{
    int downgrades = 0;
    for (size_t i = 0; i < after->clusters.count; i++) {
        const struct cluster_meta *c = after->clusters.items[i];
        for (size_t d = 0; d < c->dcs.count; d++) {
            const char *dc = c->dcs.items[d];
            downgrades += !text_eq(dc, current_dc) &&
                          choice_kind(before, c, current_dc, dc) != ROUTE_DIRECT &&
                          choice_kind(after, c, current_dc, dc) == ROUTE_DIRECT;
        }
    }
    return downgrades;
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
    struct dc_diff diff = { .clusters_before = (int)before->clusters.count };
    diff.changes = xcalloc(before->clusters.count + after->clusters.count, sizeof(*diff.changes));
    struct comparison c = { .before = before,
                            .before_by_id = MAP_INIT(MAP_NUMBER),
                            .left = MAP_INIT(MAP_NUMBER),
                            .seen = MAP_INIT(MAP_NUMBER) };
    for (size_t i = 0; i < before->clusters.count; i++) {
        struct cluster_meta *old = before->clusters.items[i];
        (void)map_put_n(&c.before_by_id, (uint64_t)old->db_id, old);
        (void)map_put_n(&c.left, (uint64_t)old->db_id, old);
    }
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
    diff.routes_changed = !are_routes_equal(before, after);
    diff.routes_downgraded = diff.routes_changed ? count_downgrades(before, after, current_dc) : 0;
    *ret_diff = diff;
}

void dc_diff_done(struct dc_diff *diff)
{
    for (size_t i = 0; i < diff->count; i++) {
        cluster_meta_unref(diff->changes[i].before);
        cluster_meta_unref(diff->changes[i].after);
    }
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
        verdict.routes_held = diff->routes_downgraded > limits->downgrades;
    }
    for (size_t i = 0; i < diff->count; i++) {
        struct dc_change *change = &diff->changes[i];
        change->is_held = verdict.removals_held && (change->kind == DC_REMOVED || change->shrinks);
        verdict.held += change->is_held;
    }
    *ret_verdict = verdict;
}
