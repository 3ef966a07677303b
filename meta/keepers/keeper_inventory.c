/* keeper_inventory.c - see keeper_inventory.h; the rules are in inventory_decide.c, the list's text in container_wire.c. */
#include "meta/keepers/keeper_inventory.h"

#include <stdio.h>
#include <string.h>

#include "meta/keepers/container_wire.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/random.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

#define LISTS_AT_ONCE   2
#define ORPHANS_MAX     20000 /* beyond, they are counted only */
#define INVENTORY_SHOWN 1000
#define TOLD_A_ROUND    20
#define KEY_MAX         (2 * ADDR_TEXT_MAX + 24)

#define LISTS_HELP "Lists of their keepers that keeper containers were asked for."
static struct metric lists_ok =
    METRIC_COUNTER_INIT("xpipe_container_lists_total", "result=\"ok\"", LISTS_HELP);
static struct metric lists_failed =
    METRIC_COUNTER_INIT("xpipe_container_lists_total", "result=\"failed\"", LISTS_HELP);
static struct metric lists_garbage =
    METRIC_COUNTER_INIT("xpipe_container_lists_total", "result=\"garbage\"", LISTS_HELP);
static struct metric orphans_removed =
    METRIC_COUNTER_INIT("xpipe_keeper_orphans_removed_total", "",
                        "Keepers that no shard had any more, removed from their containers.");
#define ORPHANS_HELP "Keepers on containers of this DC that the document does not want there."
#define ORPHANS_GAUGE(name, text)                                                                  \
    [ORPHAN_##name] =                                                                              \
        METRIC_GAUGE_INIT("xpipe_keeper_orphans", "verdict=\"" text "\"", ORPHANS_HELP),
static struct metric orphans_gauge[] = { ORPHAN_VERDICTS(ORPHANS_GAUGE) };

struct box { /* one container */
    struct keeper_inventory *inventory;
    struct addr addr;
    uint64_t round;                   /* the last one in which the document had it */
    struct list link;                 /* inventory->to_ask */
    struct container_listing listing; /* of this round, until its end */
    bool is_answered;                 /* in this round, and understood */
    size_t keepers;                   /* of the last list */
    wall_ms listed_at;                /* 0: never */
    char last_error[200];             /* "" the last list was understood */
};

struct orphan { /* one keeper that is not wanted, since it was first seen so */
    struct inventory_item item;
    struct inventory_outcome outcome;
    struct addr container;
    struct addr keeper;
    char *id; /* as listed; owned or NULL */
    int64_t shard_id;
    int64_t cluster_id; /* whose slot decides who may remove it */
    char *cluster;      /* its name while the document has it; owned or NULL */
    uint64_t round;     /* the last one in which it was seen */
    wall_ms since;
    int tries;
    bool is_running; /* a removal was handed over, and is not over */
    bool is_told;
};

struct keeper_inventory {
    struct keeper_inventory_options options;
    struct http_client *http;
    struct map boxes;   /* "host:port" -> struct box, owned */
    struct map orphans; /* see orphan_key -> struct orphan, owned */
    struct list to_ask; /* struct box */
    struct loop_timer timer;
    int under_way;
    uint64_t round;
    mono_ms round_at;
    wall_ms ended_at; /* of the last round; 0: none yet */
    bool is_closing;
};

/* ---- what the document says ---- */

struct place {
    struct cluster_meta *cluster;
    const struct shard_meta *shard;
};

struct index {           /* valid within one turn of the loop */
    struct map by_shard; /* id -> struct place in places */
    struct place *places;
    size_t count;
};

static void count_shards(struct cluster_meta *cluster, void *arg)
{
    *(size_t *)arg += cluster->shards.count;
}

static void index_cluster(struct cluster_meta *cluster, void *arg)
{
    struct index *index = arg;
    for (size_t i = 0; i < cluster->shards.count; i++) {
        struct place *place = &index->places[index->count++];
        *place = (struct place){ cluster, &cluster->shards.items[i] };
        (void)map_put_n(&index->by_shard, (uint64_t)place->shard->db_id, place);
    }
}

static void index_init(struct index *index, const struct dc_store *store)
{
    size_t count = 0;
    dc_store_each(store, count_shards, &count);
    *index = (struct index){ .by_shard = MAP_INIT(MAP_NUMBER),
                             .places = xcalloc(count + 1, sizeof(struct place)) };
    dc_store_each(store, index_cluster, index);
}

static void index_done(struct index *index)
{
    map_done(&index->by_shard);
    free(index->places);
}

static bool has_keeper(const struct place *place, const struct addr *keeper)
{
    for (size_t i = 0; place && i < place->shard->keepers.count; i++) {
        if (addr_eq(&place->shard->keepers.items[i].addr, keeper)) {
            return true;
        }
    }
    return false;
}

static bool is_wanted(int64_t shard_id, const struct addr *keeper, void *arg)
{
    const struct index *index = arg;
    return has_keeper(map_get_n(&index->by_shard, (uint64_t)shard_id), keeper);
}

/* A keeper of the shard on this container, at whatever port: by the container's id, or by its host. */
static bool has_place(const struct keeper_inventory *inv, const struct place *place,
                      const struct orphan *o)
{
    const struct dc_hosts *hosts = dc_store_hosts(inv->options.store);
    for (size_t i = 0; place && i < place->shard->keepers.count; i++) {
        const struct keeper_meta *k = &place->shard->keepers.items[i];
        struct addr at;
        if (text_eq_nocase(k->addr.host, o->keeper.host) ||
            text_eq_nocase(k->addr.host, o->container.host) ||
            (dc_hosts_container(hosts, k->container_id, &at) && addr_eq(&at, &o->container))) {
            return true;
        }
    }
    return false;
}

/* The facts about one keeper as they are now. 'listed_cluster': as the container says, 0 it does not. */
static void look_up(const struct keeper_inventory *inv, const struct index *index, struct orphan *o,
                    int64_t listed_cluster)
{
    const struct keeper_inventory_options *opt = &inv->options;
    const struct place *place = map_get_n(&index->by_shard, (uint64_t)o->shard_id);
    int64_t remembered =
        keeper_memory_cluster(opt->memory, o->shard_id, &o->keeper, loop_now(opt->loop));
    struct xp_err err;
    if (place) {
        o->cluster_id = place->cluster->db_id;
    } else if (remembered || listed_cluster) {
        o->cluster_id = remembered ? remembered : listed_cluster;
    } else if (o->cluster_id == 0) {
        o->cluster_id = o->shard_id; /* any number that every member takes */
    }
    const struct cluster_meta *cluster = dc_store_cluster_by_id(opt->store, o->cluster_id);
    free(o->cluster);
    o->cluster = cluster && (place || remembered) ? xstrdup(cluster->name) : NULL;
    o->item.is_wanted = has_keeper(place, &o->keeper);
    o->item.is_shard_present = place != NULL;
    o->item.is_place_wanted = has_place(inv, place, o);
    o->item.was_ours = remembered != 0;
    o->item.is_migrating = cluster && cluster->is_migrating;
    o->item.is_owned = opt->may_call(o->cluster_id, opt->arg, &err) == 0;
    o->item.is_settled = place && opt->is_settled(place->cluster, place->shard->name, opt->arg);
}

static struct inventory_facts facts_of(const struct keeper_inventory *inv,
                                       const struct inventory_item *items, size_t count)
{
    const struct keeper_inventory_options *opt = &inv->options;
    return (struct inventory_facts){
        .now = loop_now(opt->loop),
        .confirmed_at = dc_store_confirmed_at(opt->store),
        .held = dc_store_held_count(opt->store),
        .problems = dc_store_problem_count(opt->store),
        .items = items,
        .count = count,
        .mode = opt->settings.mode,
        .fresh_ms = opt->settings.fresh_ms,
        .grace_ms = opt->settings.grace_ms,
        .rounds = opt->settings.rounds,
        .limit = opt->settings.limit,
    };
}

/* ---- orphans ---- */

static const char *orphan_key(const struct addr *container, int64_t shard_id,
                              const struct addr *keeper, char *buf)
{
    (void)snprintf(buf, KEY_MAX, "%s %lld %s", ADDR_TEXT(container), (long long)shard_id,
                   ADDR_TEXT(keeper));
    return buf;
}
#define ORPHAN_KEY(container, shard_id, keeper)                                                    \
    orphan_key(container, shard_id, keeper, (char[KEY_MAX]){ 0 })

static void orphan_free(struct orphan *o)
{
    free(o->id);
    free(o->cluster);
    free(o);
}

static void orphan_drop(struct keeper_inventory *inv, struct orphan *o)
{
    (void)map_remove(&inv->orphans, ORPHAN_KEY(&o->container, o->shard_id, &o->keeper));
    orphan_free(o);
}

static struct orphan *orphan_get(struct keeper_inventory *inv, const struct box *box,
                                 const struct container_listed *listed)
{
    const char *key = ORPHAN_KEY(&box->addr, listed->shard_id, &listed->keeper.addr);
    struct orphan *o = map_get(&inv->orphans, key);
    if (!o && map_count(&inv->orphans) < ORPHANS_MAX) {
        o = xcalloc(1, sizeof(*o));
        o->container = box->addr;
        o->keeper = listed->keeper.addr;
        o->id = xstrdup(listed->keeper.id);
        o->shard_id = listed->shard_id;
        o->item.first_seen = loop_now(inv->options.loop);
        o->since = clock_wall_ms();
        (void)map_put(&inv->orphans, key, o);
    }
    return o;
}

static void note_listed(struct keeper_inventory *inv, const struct index *index,
                        const struct box *box, const struct container_listed *listed)
{
    const struct place *place = map_get_n(&index->by_shard, (uint64_t)listed->shard_id);
    if (has_keeper(place, &listed->keeper.addr)) {
        return;
    }
    struct orphan *o = orphan_get(inv, box, listed);
    if (o && o->round != inv->round) {
        o->round = inv->round;
        o->item.rounds++;
        look_up(inv, index, o, listed->cluster_id);
    }
}

/* Gone, or wanted again: the container answered, or is none of ours any more. */
static bool is_over(const struct keeper_inventory *inv, const struct orphan *o)
{
    const struct box *box = map_get(&inv->boxes, ADDR_TEXT(&o->container));
    return !box || (box->is_answered && o->round != inv->round);
}

static void drop_settled(struct keeper_inventory *inv)
{
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&inv->orphans, &at));) {
        struct orphan *o = slot->value;
        if (!is_over(inv, o)) {
            continue;
        }
        if (o->is_told || o->tries > 0) {
            log_info("keeper.orphan_gone", "keeper", ADDR_TEXT(&o->keeper), "shard",
                     log_int(o->shard_id), "container", ADDR_TEXT(&o->container));
        }
        orphan_drop(inv, o);
    }
}

/* ---- acting ---- */

static void on_removed(int rc, const struct xp_err *err, const struct addr *keeper, void *arg)
{
    struct keeper_inventory *inv = arg;
    (void)err; /* container_calls logged it; the next round sees what is there */
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&inv->orphans, &at));) {
        struct orphan *o = slot->value;
        if (o->is_running && addr_eq(&o->keeper, keeper)) {
            o->is_running = false;
            metric_add(&orphans_removed, rc == 0);
        }
    }
}

static void remove_orphan(struct keeper_inventory *inv, struct orphan *o)
{
    struct container_call call = {
        .container = o->container,
        .cluster_id = o->cluster_id,
        .shard_id = o->shard_id,
        .keeper = { .id = o->id, .addr = o->keeper, .priority = 1 },
        .is_removal = true,
        .is_orphan = true,
    };
    struct xp_err err = { 0 };
    if (o->is_running) {
        return;
    }
    o->tries++;
    if (container_calls_submit(inv->options.calls, &call, on_removed, inv, &err) != 0) {
        log_warn("keeper.not_removed", "keeper", ADDR_TEXT(&o->keeper), "container",
                 ADDR_TEXT(&o->container), "error", err.msg);
        return;
    }
    o->is_running = true;
    log_info("keeper.remove", "cluster", o->cluster ? o->cluster : "-", "shard",
             log_int(o->shard_id), "keeper", ADDR_TEXT(&o->keeper), "container",
             ADDR_TEXT(&o->container), "rule", o->outcome.rule, "try", log_int(o->tries));
}

/* Once, while it stays. True: told now. */
static bool tell(struct orphan *o)
{
    if (o->is_told || o->outcome.verdict != ORPHAN_REPORTED) {
        return false;
    }
    o->is_told = true;
    log_warn("keeper.orphan", "keeper", ADDR_TEXT(&o->keeper), "shard", log_int(o->shard_id),
             "container", ADDR_TEXT(&o->container), "rule", o->outcome.rule, "why", o->outcome.why,
             "next", "look whose it is; meta.keeper.orphans says what may be removed");
    return true;
}

static void act(struct keeper_inventory *inv, struct orphan *const *seen, size_t count)
{
    int told = 0;
    for (size_t i = 0; i < count; i++) {
        if (seen[i]->outcome.verdict == ORPHAN_REMOVED) {
            remove_orphan(inv, seen[i]);
        } else if (told < TOLD_A_ROUND) {
            told += tell(seen[i]);
        }
    }
}

static void show_counts(const struct keeper_inventory *inv)
{
    int64_t counts[ARRAY_LEN(orphans_gauge)] = { 0 };
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&inv->orphans, &at));) {
        counts[((const struct orphan *)slot->value)->outcome.verdict]++;
    }
    for (size_t i = 0; i < ARRAY_LEN(orphans_gauge); i++) {
        metric_set(&orphans_gauge[i], counts[i]);
    }
}

/* Those of this round, as inventory_decide wants them: what could not be removed lately comes last. Returns owned. */
static struct orphan **seen_now(const struct keeper_inventory *inv, size_t *ret_count)
{
    size_t all;
    AUTO_FREE void **sorted = map_sorted(&inv->orphans, &all);
    struct orphan **seen = xcalloc(all + 1, sizeof(struct orphan *));
    size_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < all; i++) {
            struct orphan *o = sorted[i];
            if (o->round == inv->round && (o->tries > 0) == (pass > 0)) {
                seen[count++] = o;
            }
        }
    }
    *ret_count = count;
    return seen;
}

static void decide(struct keeper_inventory *inv)
{
    size_t count;
    AUTO_FREE struct orphan **seen = seen_now(inv, &count);
    AUTO_FREE struct inventory_item *items = xcalloc(count + 1, sizeof(*items));
    AUTO_FREE struct inventory_outcome *outcomes = xcalloc(count + 1, sizeof(*outcomes));
    for (size_t i = 0; i < count; i++) {
        items[i] = seen[i]->item;
    }
    struct inventory_facts facts = facts_of(inv, items, count);
    inventory_decide(&facts, outcomes);
    for (size_t i = 0; i < count; i++) {
        seen[i]->outcome = outcomes[i];
    }
    act(inv, seen, count);
}

/* ---- a round ---- */

static void box_free(struct keeper_inventory *inv, struct box *box)
{
    (void)map_remove(&inv->boxes, ADDR_TEXT(&box->addr));
    list_remove(&box->link);
    container_listing_done(&box->listing);
    free(box);
}

static void drop_old_boxes(struct keeper_inventory *inv)
{
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&inv->boxes, &at));) {
        struct box *box = slot->value;
        if (box->round != inv->round) {
            box_free(inv, box);
        }
    }
}

static void schedule(struct keeper_inventory *inv)
{
    int64_t interval = inv->options.settings.interval_ms;
    int64_t wanted = interval - interval / 10 + random_below(interval / 5 + 1);
    int64_t spent = mono_age(loop_now(inv->options.loop), inv->round_at);
    int64_t least = interval / 10;
    loop_timer_start(&inv->timer, wanted - spent > least ? wanted - spent : least);
}

static void end_round(struct keeper_inventory *inv)
{
    struct index index;
    index_init(&index, inv->options.store);
    drop_old_boxes(inv);
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&inv->boxes, &at));) {
        struct box *box = slot->value;
        for (size_t i = 0; i < box->listing.count; i++) {
            note_listed(inv, &index, box, &box->listing.items[i]);
        }
        container_listing_done(&box->listing);
    }
    drop_settled(inv);
    decide(inv);
    keeper_memory_sweep(inv->options.memory, loop_now(inv->options.loop), is_wanted, &index);
    index_done(&index);
    show_counts(inv);
    inv->ended_at = clock_wall_ms();
    schedule(inv);
}

static void note_failure(struct box *box, const char *why)
{
    if (box->last_error[0] == '\0') {
        log_warn("container.not_listed", "container", ADDR_TEXT(&box->addr), "error", why, "next",
                 "what it has is not known; asked again in the next round");
    }
    (void)snprintf(box->last_error, sizeof(box->last_error), "%.199s", why);
}

static void take_listing(struct box *box, const struct http_reply *reply)
{
    struct xp_err err = { 0 };
    int rc = reply->status == 200
                 ? container_listing_parse(reply->body, reply->length, &box->listing, &err)
                 : xp_fail(&err, XP_REMOTE, "status %d: %.100s", reply->status, reply->body);
    metric_add(rc == 0 ? &lists_ok : rc == XP_REMOTE ? &lists_failed : &lists_garbage, 1);
    if (rc < 0) {
        note_failure(box, err.msg);
        return;
    }
    if (box->last_error[0]) {
        log_info("container.listed_again", "container", ADDR_TEXT(&box->addr));
    }
    box->last_error[0] = '\0';
    box->is_answered = true;
    box->keepers = box->listing.count;
    box->listed_at = clock_wall_ms();
}

static void ask_next(struct keeper_inventory *inv);

static void on_list(int rc, const struct http_reply *reply, const struct xp_err *err, void *arg,
                    uint64_t token)
{
    (void)token;
    struct box *box = arg;
    struct keeper_inventory *inv = box->inventory;
    inv->under_way--;
    if (inv->is_closing) {
        return;
    }
    if (rc == 0) {
        take_listing(box, reply);
    } else {
        metric_add(rc == XP_TOO_LARGE ? &lists_garbage : &lists_failed, 1);
        note_failure(box, err->msg);
    }
    ask_next(inv);
}

static void ask(struct box *box)
{
    struct keeper_inventory *inv = box->inventory;
    AUTO_FREE char *url = xasprintf("http://%s/keepers", ADDR_TEXT(&box->addr));
    struct xp_err err = { 0 };
    struct http_call call = { .method = "GET",
                              .url = url,
                              .connect_timeout_ms = inv->options.connect_timeout_ms,
                              .timeout_ms = inv->options.timeout_ms,
                              .max_reply_bytes = CONTAINER_LISTING_MAX_BYTES };
    if (http_send(inv->http, &call, on_list, box, 0, &err) < 0) {
        metric_add(&lists_failed, 1);
        note_failure(box, err.msg);
        return;
    }
    inv->under_way++;
}

static void ask_next(struct keeper_inventory *inv)
{
    struct list *link;
    while (inv->under_way < LISTS_AT_ONCE && (link = list_pop_front(&inv->to_ask))) {
        ask(LIST_ENTRY(link, struct box, link));
    }
    if (inv->under_way == 0) {
        end_round(inv);
    }
}

static void begin_box(struct keeper_inventory *inv, const struct addr *addr)
{
    struct box *box = map_get(&inv->boxes, ADDR_TEXT(addr));
    if (!box) {
        box = xcalloc(1, sizeof(*box));
        box->inventory = inv;
        box->addr = *addr;
        list_init(&box->link);
        (void)map_put(&inv->boxes, ADDR_TEXT(addr), box);
    }
    if (box->round != inv->round) { /* two ids may have one address */
        box->round = inv->round;
        box->is_answered = false;
        list_push_back(&inv->to_ask, &box->link);
    }
}

static void begin_round(struct loop_timer *timer)
{
    struct keeper_inventory *inv = CONTAINER_OF(timer, struct keeper_inventory, timer);
    size_t count;
    AUTO_FREE void **containers =
        map_sorted(&dc_store_hosts(inv->options.store)->containers, &count);
    inv->round++;
    inv->round_at = loop_now(inv->options.loop);
    bool is_off = inv->options.settings.mode == ORPHANS_OFF; /* then what was seen is forgotten */
    for (size_t i = 0; i < count && !is_off; i++) {
        begin_box(inv, &((const struct keeper_container_meta *)containers[i])->addr);
    }
    ask_next(inv);
}

/* ---- keeper_inventory.h ---- */

struct keeper_inventory *keeper_inventory_new(const struct keeper_inventory_options *options)
{
    struct keeper_inventory *inv = xcalloc(1, sizeof(*inv));
    inv->options = *options;
    inv->http = http_client_new(options->loop, LISTS_AT_ONCE, LISTS_AT_ONCE);
    inv->boxes = MAP_INIT(MAP_TEXT);
    inv->orphans = MAP_INIT(MAP_TEXT);
    list_init(&inv->to_ask);
    metric_register(&lists_ok);
    metric_register(&lists_failed);
    metric_register(&lists_garbage);
    metric_register(&orphans_removed);
    show_counts(inv);
    loop_timer_init(&inv->timer, options->loop, begin_round);
    loop_timer_start(&inv->timer, random_below(options->settings.interval_ms) + 1);
    return inv;
}

void keeper_inventory_free(struct keeper_inventory *inv)
{
    if (!inv) {
        return;
    }
    inv->is_closing = true;
    loop_timer_stop(&inv->timer);
    http_client_free(inv->http);
    container_calls_forget(inv->options.calls, inv);
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&inv->orphans, &at));) {
        orphan_free(slot->value);
    }
    at = 0;
    for (const struct map_slot *slot; (slot = map_next(&inv->boxes, &at));) {
        container_listing_done(&((struct box *)slot->value)->listing);
        free(slot->value);
    }
    map_done(&inv->orphans);
    map_done(&inv->boxes);
    free(inv);
}

void keeper_inventory_set(struct keeper_inventory *inv, const struct inventory_settings *settings)
{
    bool is_sooner = settings->interval_ms < inv->options.settings.interval_ms;
    inv->options.settings = *settings;
    if (is_sooner && loop_timer_is_running(&inv->timer)) {
        loop_timer_start(&inv->timer, random_below(settings->interval_ms) + 1);
    }
}

int keeper_inventory_check(const struct keeper_inventory *inv, const struct container_call *call,
                           struct xp_err *err)
{
    struct index index;
    struct inventory_outcome outcome = { .verdict = ORPHAN_WAITS, .rule = "-", .why = "not seen" };
    struct orphan *o =
        map_get(&inv->orphans, ORPHAN_KEY(&call->container, call->shard_id, &call->keeper.addr));
    if (o) {
        index_init(&index, inv->options.store);
        look_up(inv, &index, o, 0);
        index_done(&index);
        struct inventory_facts facts = facts_of(inv, &o->item, 1);
        inventory_decide(&facts, &outcome);
    }
    return outcome.verdict == ORPHAN_REMOVED
               ? 0
               : xp_fail(err, XP_CONFLICT, "keeper %s of shard %lld stays on container %s: %s (%s)",
                         ADDR_TEXT(&call->keeper.addr), (long long)call->shard_id,
                         ADDR_TEXT(&call->container), outcome.why, outcome.rule);
}

/* ---- for people ---- */

static json_t *box_json(const struct box *box)
{
    return json_pack("{s:s, s:b, s:I, s:o, s:o}", "container", ADDR_TEXT(&box->addr), "answered",
                     box->last_error[0] == '\0' && box->listed_at > 0, "keepers",
                     (json_int_t)box->keepers, "listed_wall_ms",
                     box->listed_at ? json_integer(box->listed_at) : json_null(), "last_error",
                     jd_text(box->last_error[0] ? box->last_error : NULL));
}

static json_t *orphan_json(const struct orphan *o)
{
    const struct inventory_outcome *out = &o->outcome;
    return json_pack("{s:s, s:s, s:I, s:o, s:s, s:s, s:s, s:b, s:b, s:I, s:i, s:i}", "keeper",
                     ADDR_TEXT(&o->keeper), "container", ADDR_TEXT(&o->container), "shardDbId",
                     (json_int_t)o->shard_id, "cluster", jd_text(o->cluster), "verdict",
                     orphan_verdict_text(out->verdict), "rule", out->rule ? out->rule : "", "why",
                     out->why ? out->why : "", "wasOurs", o->item.was_ours, "isOwnedHere",
                     o->item.is_owned, "since_wall_ms", (json_int_t)o->since, "rounds",
                     o->item.rounds, "tries", o->tries);
}

static json_t *settings_json(const struct inventory_settings *s)
{
    static const char *const modes[] = { "off", "report", "known", "remove" };
    return json_pack("{s:s, s:I, s:I, s:i, s:i}", "mode", modes[s->mode], "interval_ms",
                     (json_int_t)s->interval_ms, "grace_ms", (json_int_t)s->grace_ms, "rounds",
                     s->rounds, "limit_count", s->limit);
}

json_t *keeper_inventory_json(const struct keeper_inventory *inv)
{
    size_t box_count;
    size_t orphan_count;
    AUTO_FREE void **boxes = map_sorted(&inv->boxes, &box_count);
    AUTO_FREE void **orphans = map_sorted(&inv->orphans, &orphan_count);
    json_t *box_rows = json_array();
    json_t *orphan_rows = json_array();
    for (size_t i = 0; i < box_count && i < INVENTORY_SHOWN; i++) {
        (void)json_array_append_new(box_rows, box_json(boxes[i]));
    }
    for (size_t i = 0; i < orphan_count && i < INVENTORY_SHOWN; i++) {
        (void)json_array_append_new(orphan_rows, orphan_json(orphans[i]));
    }
    return json_pack("{s:o, s:I, s:o, s:I, s:o, s:I, s:o}", "settings",
                     settings_json(&inv->options.settings), "rounds", (json_int_t)inv->round,
                     "round_ended_wall_ms",
                     inv->ended_at ? json_integer(inv->ended_at) : json_null(), "remembered_count",
                     (json_int_t)keeper_memory_count(inv->options.memory), "containers", box_rows,
                     "orphans_count", (json_int_t)orphan_count, "orphans", orphan_rows);
}
