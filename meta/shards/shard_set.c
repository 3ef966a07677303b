/* shard_set.c - see shard_set.h. */
#include "meta/shards/shard_set.h"

#include "meta/slots/slot.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

static struct metric shards_gauge =
    METRIC_GAUGE_INIT("xpipe_meta_shards", "", "Shards this metaserver works on.");

#define MAKERS_MAX 4

struct shard_set {
    struct dc_store *store;
    struct duty_maker makers[MAKERS_MAX];
    size_t maker_count;
    struct map duties; /* "cluster/shard" -> struct duty * */
    /* the same: their last command is not answered yet; the shard has no other duty meanwhile */
    struct map leaving;
    int leaving_count[SLOT_COUNT];
    void (*on_quiet)(int slot, void *arg);
    void *quiet_arg;
    void (*on_shard)(const struct duty *, bool is_here, void *arg);
    void *shard_arg;
    bool owned[SLOT_COUNT];
    struct map by_slot[SLOT_COUNT]; /* dbId -> struct cluster_meta *, borrowed from the store */
};

static char *key_of(const char *cluster, const char *shard)
{
    return xasprintf("%s/%s", cluster, shard);
}

static const struct duty_maker *maker_of(const struct shard_set *set, enum cluster_type type)
{
    for (size_t i = 0; i < set->maker_count; i++) {
        if (set->makers[i].type == type) {
            return &set->makers[i];
        }
    }
    return NULL;
}

static bool is_mine(const struct shard_set *set, const struct cluster_meta *c)
{
    return c && !c->problem && maker_of(set, c->type) && set->owned[slot_of_cluster(c->db_id)];
}

static void put_shard(struct shard_set *set, struct cluster_meta *c, const char *shard);

/* The answer is there: the shard is free for whoever owns it now, perhaps this member again. By name, as it was kept from
 * them: the cluster may have been made anew under another id meanwhile. */
static void duty_is_quiet(struct duty *duty, void *arg)
{
    struct shard_set *set = arg;
    struct cluster_meta *cluster = dc_store_cluster(set->store, duty->cluster->name);
    int slot = slot_of_cluster(duty->cluster->db_id);
    AUTO_FREE char *shard = xstrdup(duty->shard);
    AUTO_FREE char *key = key_of(duty->cluster->name, shard);
    (void)map_remove(&set->leaving, key);
    set->leaving_count[slot]--;
    duty->class->free(duty);
    if (is_mine(set, cluster) && cluster_meta_shard(cluster, shard)) {
        put_shard(set, cluster, shard);
    }
    if (set->leaving_count[slot] == 0 && set->on_quiet) {
        set->on_quiet(slot, set->quiet_arg);
    }
}

static void end_duty(struct shard_set *set, const char *key, struct duty *duty)
{
    if (set->on_shard) {
        set->on_shard(duty, false, set->shard_arg);
    }
    (void)map_remove(&set->duties, key);
    if (duty->class->leave(duty, duty_is_quiet, set)) {
        (void)map_put(&set->leaving, key, duty);
        set->leaving_count[slot_of_cluster(duty->cluster->db_id)]++;
    } else {
        duty->class->free(duty);
    }
}

/* Is its shard gone from the metadata? Else only the slot is, or the name. */
static bool is_retired(const struct shard_set *set, const struct duty *duty)
{
    const struct shard_meta *shard = duty_shard(duty);
    const struct cluster_meta *now = dc_store_cluster_by_id(set->store, duty->cluster->db_id);
    if (!now || now->type != duty->cluster->type) {
        return true;
    }
    for (size_t i = 0; shard && i < now->shards.count; i++) {
        if (now->shards.items[i].db_id == shard->db_id) {
            return false;
        }
    }
    return true;
}

/* Ends the duty of a shard of 'c'. One of the same name that belongs to another cluster stays: clusters may exchange their
 * names, or be made anew under an old one, and both are told in any order. */
static void drop(struct shard_set *set, const struct cluster_meta *c, const char *shard)
{
    AUTO_FREE char *key = key_of(c->name, shard);
    struct duty *duty = map_get(&set->duties, key);
    if (!duty || !duty_is_of(duty, c)) {
        return;
    }
    if (duty->class->retire && set->owned[slot_of_cluster(c->db_id)] && is_retired(set, duty)) {
        duty->class->retire(duty);
    }
    end_duty(set, key, duty);
}

static void drop_cluster(struct shard_set *set, const struct cluster_meta *c)
{
    for (size_t i = 0; i < c->shards.count; i++) {
        drop(set, c, c->shards.items[i].name);
    }
}

static void put_shard(struct shard_set *set, struct cluster_meta *c, const char *shard)
{
    AUTO_FREE char *key = key_of(c->name, shard);
    struct duty *duty = map_get(&set->duties, key);
    if (duty && duty_is_of(duty, c)) {
        duty->class->update(duty, c);
        return;
    }
    if (duty) {
        end_duty(set, key,
                 duty); /* of another cluster: what it knows must not be used for this one */
    }
    if (!map_get(&set->leaving, key)) {
        const struct duty_maker *maker = maker_of(set, c->type);
        xp_check(maker != NULL); /* see is_mine */
        struct duty *made = maker->make(maker->env, c, shard);
        (void)map_put(&set->duties, key, made);
        if (set->on_shard) {
            set->on_shard(made, true, set->shard_arg);
        }
    }
}

static void put_cluster(struct shard_set *set, struct cluster_meta *c)
{
    for (size_t i = 0; i < c->shards.count; i++) {
        put_shard(set, c, c->shards.items[i].name);
    }
}

static void count_shards(const struct shard_set *set)
{
    metric_set(&shards_gauge, (int64_t)map_count(&set->duties));
}

/* Shards that are gone, or were made anew under the old name. */
static void drop_departed(struct shard_set *set, const struct cluster_meta *before,
                          const struct cluster_meta *after)
{
    for (size_t i = 0; i < before->shards.count; i++) {
        const struct shard_meta *old = &before->shards.items[i];
        const struct shard_meta *now = cluster_meta_shard(after, old->name);
        if (!now || now->db_id != old->db_id) {
            drop(set, before, old->name);
        }
    }
}

void shard_set_cluster(struct shard_set *set, const struct cluster_meta *before,
                       struct cluster_meta *after)
{
    if (before) {
        (void)map_remove_n(&set->by_slot[slot_of_cluster(before->db_id)], (uint64_t)before->db_id);
    }
    if (after) {
        (void)map_put_n(&set->by_slot[slot_of_cluster(after->db_id)], (uint64_t)after->db_id,
                        after);
    }
    if (before && (!is_mine(set, after) || before->type != after->type ||
                   !text_eq(before->name, after->name))) {
        drop_cluster(set, before);
    } else if (before) {
        drop_departed(set, before, after);
    }
    if (is_mine(set, after)) {
        put_cluster(set, after);
    }
    count_shards(set);
}

void shard_set_slot(struct shard_set *set, int slot, bool is_owned)
{
    xp_check(slot >= 0 && slot < SLOT_COUNT);
    if (set->owned[slot] == is_owned) {
        return;
    }
    set->owned[slot] = is_owned;
    size_t at = 0;
    for (const struct map_slot *entry; (entry = map_next(&set->by_slot[slot], &at));) {
        struct cluster_meta *cluster = entry->value;
        if (is_mine(set, cluster)) {
            put_cluster(set, cluster);
        } else {
            drop_cluster(set, cluster);
        }
    }
    count_shards(set);
}

void shard_set_routes(struct shard_set *set)
{
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&set->duties, &at));) {
        struct duty *duty = slot->value;
        duty->class->routes_changed(duty);
    }
}

bool shard_set_is_quiet(const struct shard_set *set, int slot)
{
    return slot < 0 ? map_count(&set->leaving) == 0 : set->leaving_count[slot] == 0;
}

void shard_set_on_quiet(struct shard_set *set, void (*fn)(int slot, void *arg), void *arg)
{
    set->on_quiet = fn;
    set->quiet_arg = arg;
}

void shard_set_on_shard(struct shard_set *set,
                        void (*fn)(const struct duty *, bool is_here, void *arg), void *arg)
{
    set->on_shard = fn;
    set->shard_arg = arg;
}

struct duty *shard_set_find(const struct shard_set *set, const char *cluster, const char *shard)
{
    AUTO_FREE char *key = key_of(cluster, shard);
    return map_get(&set->duties, key);
}

size_t shard_set_count(const struct shard_set *set)
{
    return map_count(&set->duties);
}

void shard_set_each(const struct shard_set *set, void (*fn)(struct duty *, void *arg), void *arg)
{
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&set->duties, &at));) {
        fn(slot->value, arg);
    }
}

struct shard_set *shard_set_new(struct dc_store *store, const struct duty_maker *makers,
                                size_t count)
{
    struct shard_set *set = xcalloc(1, sizeof(*set));
    xp_check(count <= MAKERS_MAX);
    set->store = store;
    for (size_t i = 0; i < count; i++) {
        set->makers[i] = makers[i];
    }
    set->maker_count = count;
    set->duties = MAP_INIT(MAP_TEXT);
    set->leaving = MAP_INIT(MAP_TEXT);
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        set->by_slot[slot] = MAP_INIT(MAP_NUMBER);
    }
    metric_register(&shards_gauge);
    return set;
}

static void free_duties(struct map *duties)
{
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(duties, &at));) {
        struct duty *duty = slot->value;
        duty->class->free(duty);
    }
    map_done(duties);
}

void shard_set_free(struct shard_set *set)
{
    if (!set) {
        return;
    }
    free_duties(&set->duties);
    free_duties(&set->leaving);
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        map_done(&set->by_slot[slot]);
    }
    free(set);
}
