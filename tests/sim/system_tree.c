/* system_tree.c - see system_tree.h. */
#include "tests/sim/system_tree.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/sim/fake_http.h"
#include "tests/sim/system_checks.h"
#include "tests/sim/system_trace.h"

#include "shared/base/banned.h"

#define CONTAINER_HOST   200 /* 10.<dc+1>.200.<container+1> */
#define CONTAINER_PORT   8080
#define KEEPER_PORT      6400 /* and the shard */
#define START_MOST_MS    1500 /* of a keeper, until it is in ZooKeeper */
#define SESSION_LEAST_MS 200
#define SESSION_MOST_MS  4000  /* of a dead keeper in ZooKeeper */
#define DOCUMENT_AGE_MS  40000 /* what the metadata wanted that long ago may still be asked for */
#define ROUTE_TEXT_MAX   256

/* ---- keepers ---- */

static int64_t shard_id(struct system *s, int place, int shard)
{
    return s->cluster_id[place] * 10 + shard; /* as fake_console.c has it */
}

static void keeper_leaves(struct system_keeper *k)
{
    if (k->latch) {
        fake_zk_foreign_delete(k->system->zk[k->dc], k->latch);
        free(TAKE(k->latch));
    }
}

static void on_leave(struct loop_timer *timer)
{
    keeper_leaves(CONTAINER_OF(timer, struct system_keeper, leave));
}

static void on_enter(struct loop_timer *timer)
{
    struct system_keeper *k = CONTAINER_OF(timer, struct system_keeper, enter);
    struct system *s = k->system;
    loop_timer_stop(&k->leave);
    keeper_leaves(k); /* it has a new session */
    s->latches++;
    AUTO_FREE char *data =
        xasprintf("{\"id\":\"%040d\",\"ip\":\"%s\",\"port\":%d,\"active\":false,\"priority\":null}",
                  7, k->replica.addr.host, k->replica.addr.port);
    k->latch =
        xasprintf("/xpipe/keepers/repl_%lld/_c_%08d-0000-4000-8000-000000000000-latch-%010d",
                  (long long)shard_id(s, SYSTEM_KEEPER_PLACE, k->shard), s->latches, s->latches);
    fake_zk_foreign_set(s->zk[k->dc], k->latch, data);
    trace_event("keeper %s is in ZooKeeper", ADDR_TEXT(&k->replica.addr));
}

static void keeper_starts(struct system_keeper *k)
{
    k->is_running = true;
    fake_redis_set(NULL, &k->replica.addr, FAKE_REDIS_UP);
    loop_timer_start(&k->enter, dice_between(&k->system->dice, 100, START_MOST_MS));
}

static void on_again(struct loop_timer *timer)
{
    struct system_keeper *k = CONTAINER_OF(timer, struct system_keeper, again);
    if (!k->is_running && !k->system->is_container_stopped[k->dc][k->container]) {
        fake_replica_restart(&k->replica);
        keeper_starts(k);
    }
}

void system_keeper_kill(struct system_keeper *k, int64_t again_ms)
{
    int64_t session_ms = dice_between(&k->system->dice, SESSION_LEAST_MS, SESSION_MOST_MS);
    if (k->is_running) {
        k->is_running = false;
        fake_redis_set(NULL, &k->replica.addr, FAKE_REDIS_REFUSES);
        loop_timer_stop(&k->enter);
        loop_timer_start(&k->leave, session_ms);
    }
    if (again_ms >= 0) {
        loop_timer_start(&k->again, again_ms);
    }
}

void system_keeper_lose_session(struct system_keeper *k, int64_t ms)
{
    keeper_leaves(k);
    loop_timer_start(&k->enter, ms);
}

static void keeper_removed(struct system_keeper *k)
{
    struct addr addr = k->replica.addr;
    if (k->is_running) {
        system_keeper_kill(k, -1);
    }
    loop_timer_stop(&k->again); /* its container was just coming back: it is not started any more */
    loop_timer_stop(&k->enter);
    loop_timer_stop(&k->leave);
    keeper_leaves(k); /* it says good-bye */
    bool (*upstream_is_up)(const struct addr *, void *) = k->replica.upstream_is_up;
    fake_replica_init(&k->replica, &addr, true);
    k->replica.upstream_is_up = upstream_is_up;
    k->replica.arg = k->system;
    k->is_created = false;
}

#define KEEPERS (SYSTEM_DCS * SYSTEM_SHARDS * SYSTEM_CONTAINERS)

static struct system_keeper *keeper_number(struct system *s, int i)
{
    return &s->keepers[i / (SYSTEM_SHARDS * SYSTEM_CONTAINERS)]
                      [i / SYSTEM_CONTAINERS % SYSTEM_SHARDS][i % SYSTEM_CONTAINERS];
}

static struct system_keeper *keeper_at(struct system *s, const struct addr *addr)
{
    for (int i = 0; i < KEEPERS; i++) {
        struct system_keeper *k = keeper_number(s, i);
        if (addr_eq(&k->replica.addr, addr)) {
            return k;
        }
    }
    return NULL;
}

/* ---- who is there ---- */

bool system_instance_at(struct system *s, const struct addr *addr,
                        struct system_instance *ret_instance)
{
    struct system_redis *r = system_redis_at(s, addr);
    struct system_keeper *k = r ? NULL : keeper_at(s, addr);
    if (r && system_is_one_way(r->place)) {
        *ret_instance = (struct system_instance){ r->place, r->dc, r->shard, &r->replica };
    } else if (k) {
        *ret_instance =
            (struct system_instance){ SYSTEM_KEEPER_PLACE, k->dc, k->shard, &k->replica };
    }
    return (r && system_is_one_way(r->place)) || k;
}

/* Does it serve who replicates from it? */
static bool is_serving(const struct addr *addr, void *arg)
{
    struct system *s = arg;
    const struct system_redis *r = system_redis_at(s, addr);
    const struct system_keeper *k = r ? NULL : keeper_at(s, addr);
    return r ? r->mode == FAKE_REDIS_UP : k && k->is_running && k->replica.state == KEEPER_ACTIVE;
}

/* ---- containers ---- */

/* Did the metadata want it, or not want it, some time in the last while? A metaserver may know an older document. */
static bool was_listed(const struct system_keeper *k)
{
    return k->is_listed || mono_age(clock_mono_ms(), k->listed_until) < DOCUMENT_AGE_MS;
}

static bool was_unlisted(const struct system_keeper *k)
{
    return !k->is_listed || mono_age(clock_mono_ms(), k->listed_since) < DOCUMENT_AGE_MS;
}

static void refuse(struct http_reply *reply, const char *code)
{
    reply->status = 500;
    reply->body = xasprintf("{\"errorType\":\"%s\",\"errorMessage\":\"%s\"}", code, code);
}

static void add_keeper(struct system_keeper *k, struct http_reply *reply)
{
    trace_event("container is told to start %s", ADDR_TEXT(&k->replica.addr));
    if (!was_listed(k)) {
        trace_fail("container", "keeper %s is started, nobody wants it",
                   ADDR_TEXT(&k->replica.addr));
    }
    if (k->is_running) {
        refuse(reply, "KEEPER_ALREADY_STARTED");
        return;
    }
    if (k->is_created) {
        fake_replica_restart(&k->replica);
    }
    k->is_created = true;
    keeper_starts(k);
}

static void remove_keeper(struct system_keeper *k, struct http_reply *reply)
{
    trace_event("container is told to remove %s", ADDR_TEXT(&k->replica.addr));
    if (!was_unlisted(k)) {
        trace_fail("container", "keeper %s is removed, and is wanted", ADDR_TEXT(&k->replica.addr));
    }
    if (!k->is_created) {
        refuse(reply, "KEEPER_NOT_EXIST");
        return;
    }
    keeper_removed(k);
}

/* The keeper that a KeeperTransMeta names, on this container; the shard must be its own. */
static struct system_keeper *named_keeper(struct system *s, const char *body, size_t length)
{
    json_auto_t *json = json_loadb(body, length, 0, NULL);
    const json_t *meta = json_object_get(json, "keeperMeta");
    const char *ip = json_string_value(json_object_get(meta, "ip"));
    struct addr addr =
        addr_of(ip ? ip : "", (int)json_integer_value(json_object_get(meta, "port")));
    struct system_keeper *k = keeper_at(s, &addr);
    json_int_t id = json_integer_value(json_object_get(json, "replId"));
    return k && id == shard_id(s, SYSTEM_KEEPER_PLACE, k->shard) ? k : NULL;
}

static void answer_port(struct system *s, const struct addr *host, const char *port,
                        struct http_reply *reply)
{
    struct addr addr = addr_of(host->host, (int)strtol(port, NULL, 10));
    const struct system_keeper *k = keeper_at(s, &addr);
    reply->body =
        k && k->is_created
            ? xasprintf("{\"clusterDbId\":null,\"shardDbId\":null,\"replId\":%lld,\"keeperMeta\":"
                        "{\"ip\":\"%s\",\"port\":%d}}",
                        (long long)shard_id(s, SYSTEM_KEEPER_PLACE, k->shard), addr.host, addr.port)
            : xstrdup("{\"clusterDbId\":null,\"shardDbId\":null,\"replId\":null,"
                      "\"keeperMeta\":null}");
}

/* What it has, running or not. */
static void answer_list(struct system *s, const struct addr *host, struct http_reply *reply)
{
    struct str out = STR_INIT(1 << 16);
    str_putc(&out, '[');
    for (int i = 0; i < KEEPERS; i++) {
        const struct system_keeper *k = keeper_number(s, i);
        if (k->is_created && text_eq(k->replica.addr.host, host->host)) {
            str_printf(&out,
                       "%s{\"clusterDbId\":null,\"shardDbId\":null,\"replId\":%lld,"
                       "\"keeperMeta\":{\"ip\":\"%s\",\"port\":%d}}",
                       out.len > 1 ? "," : "",
                       (long long)shard_id(s, SYSTEM_KEEPER_PLACE, k->shard), k->replica.addr.host,
                       k->replica.addr.port);
        }
    }
    str_putc(&out, ']');
    reply->length = out.len;
    reply->body = str_take(&out);
}

static void serve_container(const char *method, const char *target, const char *body, size_t length,
                            const char *if_none_match, struct http_reply *ret_reply, void *arg)
{
    (void)if_none_match;
    static const char port_path[] = "/keepers/port/";
    struct system_container *c = arg;
    ret_reply->status = 200;
    if (text_eq(method, "GET") && text_has_prefix(target, port_path)) {
        answer_port(c->system, &c->addr, target + strlen(port_path), ret_reply);
        return;
    }
    if (text_eq(method, "GET") && text_eq(target, "/keepers")) {
        answer_list(c->system, &c->addr, ret_reply);
        return;
    }
    struct system_keeper *k = named_keeper(c->system, body, length);
    if (!k || !text_has_prefix(target, "/keepers/clusters/")) {
        trace_fail("container", "%s %s %s is about nobody", method, target, body);
        ret_reply->status = 400;
    } else if (text_eq(method, "POST")) {
        add_keeper(k, ret_reply);
    } else if (text_eq(method, "DELETE")) {
        remove_keeper(k, ret_reply);
    }
    ret_reply->body = ret_reply->body ? ret_reply->body : xstrdup("");
}

void system_container_stop(struct system *s, int dc, int container, bool is_stopped)
{
    if (s->is_container_stopped[dc][container] == is_stopped) {
        return;
    }
    s->is_container_stopped[dc][container] = is_stopped;
    fake_http_set(NULL, &s->containers[dc][container].addr,
                  is_stopped ? FAKE_HTTP_REFUSES : FAKE_HTTP_UP);
    for (int shard = 0; shard < SYSTEM_SHARDS; shard++) {
        struct system_keeper *k = &s->keepers[dc][shard][container];
        if (is_stopped && k->is_running) {
            system_keeper_kill(k, -1);
        } else if (!is_stopped && k->is_created && !k->is_running) {
            loop_timer_start(&k->again, dice_between(&s->dice, 0, START_MOST_MS));
        }
    }
}

/* ---- opening ---- */

static void open_keeper(struct system *s, int dc, int shard, int container)
{
    struct system_keeper *k = &s->keepers[dc][shard][container];
    struct addr addr = addr_of(s->containers[dc][container].addr.host, KEEPER_PORT + shard);
    fake_replica_init(&k->replica, &addr, true);
    k->replica.upstream_is_up = is_serving;
    k->replica.arg = s;
    k->system = s;
    k->dc = dc;
    k->shard = shard;
    k->container = container;
    k->listed_since = MONO_NEVER;
    k->listed_until = MONO_NEVER;
    loop_timer_init(&k->enter, s->loop, on_enter);
    loop_timer_init(&k->leave, s->loop, on_leave);
    loop_timer_init(&k->again, s->loop, on_again);
    fake_redis_set(NULL, &addr, FAKE_REDIS_REFUSES);
    fake_redis_set_latency(&addr, dice_between(&s->dice, 1, 30));
}

static void open_redis(struct system *s, struct system_redis *r)
{
    struct addr addr = r->crdt.addr;
    fake_replica_init(&r->replica, &addr, false);
    r->replica.upstream_is_up = is_serving;
    r->replica.arg = s;
    if (r->index > 0 ||
        r->dc != SYSTEM_PRIMARY) { /* those of the backup DC follow nobody useful yet */
        fake_replica_point(&r->replica, &s->redis[r->place][SYSTEM_PRIMARY][r->shard][0].crdt.addr);
    }
}

static void open_container(struct system *s, int dc, int container)
{
    struct system_container *c = &s->containers[dc][container];
    AUTO_FREE char *host = xasprintf("10.%d.%d.%d", dc + 1, CONTAINER_HOST, container + 1);
    *c = (struct system_container){ .system = s, .addr = addr_of(host, CONTAINER_PORT) };
    fake_http_serve(&c->addr, serve_container, c);
    for (int shard = 0; shard < SYSTEM_SHARDS; shard++) {
        open_keeper(s, dc, shard, container);
    }
}

void system_tree_open(struct system *s)
{
    for (int dc = 0; dc < SYSTEM_DCS; dc++) {
        for (int container = 0; container < SYSTEM_CONTAINERS; container++) {
            open_container(s, dc, container);
        }
    }
    for (int place = SYSTEM_KEEPER_PLACE; place < SYSTEM_PLACES; place++) {
        for (int i = 0; i < SYSTEM_DCS * SYSTEM_SHARDS * SYSTEM_REDISES; i++) {
            open_redis(s, &s->redis[place][i / (SYSTEM_SHARDS * SYSTEM_REDISES)]
                                   [i / SYSTEM_REDISES % SYSTEM_SHARDS][i % SYSTEM_REDISES]);
        }
    }
}

void system_tree_close(struct system *s)
{
    for (int i = 0; i < KEEPERS; i++) {
        struct system_keeper *k = keeper_number(s, i);
        loop_timer_stop(&k->enter);
        loop_timer_stop(&k->leave);
        loop_timer_stop(&k->again);
        free(k->latch);
    }
    for (int i = 0; i < SYSTEM_DCS * SYSTEM_CONTAINERS; i++) {
        fake_http_serve(&s->containers[i / SYSTEM_CONTAINERS][i % SYSTEM_CONTAINERS].addr, NULL,
                        NULL);
    }
}

/* Not the spare container: the one whose keeper of this shard is not in the metadata. */
static void list_keeper(struct system *s, struct console_cluster *c, int slot,
                        struct system_keeper *k)
{
    c->keeper[k->dc][k->shard][slot] = k->replica.addr;
    c->keeper_container[k->dc][k->shard][slot] = 1 + k->dc * SYSTEM_CONTAINERS + k->container;
    k->is_listed = true;
    k->listed_since = clock_mono_ms();
    (void)s;
}

static void fill_shard(struct system *s, struct console_cluster *c, int dc, int shard)
{
    for (int i = 0; i < CONSOLE_KEEPERS; i++) {
        struct system_keeper *k = &s->keepers[dc][shard][i];
        list_keeper(s, c, i, k);
        if (dice_chance(&s->dice, 70)) { /* the others are started by metaservers */
            k->is_created = true;
            keeper_starts(k);
        }
    }
}

void system_tree_fill(struct system *s, struct console_cluster *c)
{
    for (int dc = 0; dc < SYSTEM_DCS && c->place == SYSTEM_KEEPER_PLACE; dc++) {
        for (int shard = 0; shard < c->shard_count; shard++) {
            fill_shard(s, c, dc, shard);
        }
    }
}

/* ---- trouble ---- */

struct system_keeper *system_any_keeper(struct system *s)
{
    struct system_keeper *k = keeper_number(s, (int)dice_roll(&s->dice, KEEPERS));
    return k->is_listed && k->is_running ? k : NULL;
}

bool system_keeper_move(struct system *s, int dc, int shard)
{
    struct console_cluster *c = system_cluster(s, SYSTEM_KEEPER_PLACE);
    struct system_keeper *to = NULL;
    if (!c || shard >= c->shard_count) {
        return false;
    }
    for (int i = 0; i < SYSTEM_CONTAINERS; i++) {
        struct system_keeper *k = &s->keepers[dc][shard][i];
        to = k->is_listed ? to : k;
    }
    int slot = (int)dice_roll(&s->dice, CONSOLE_KEEPERS);
    struct system_keeper *from = keeper_at(s, &c->keeper[dc][shard][slot]);
    xp_check(to && from && from != to);
    from->is_listed = false;
    from->listed_until = clock_mono_ms();
    list_keeper(s, c, slot, to);
    fake_console_commit(s->console, c);
    trace_event("keeper %s for %s", ADDR_TEXT(&to->replica.addr), ADDR_TEXT(&from->replica.addr));
    return true;
}

void system_tree_fail_over(struct system *s, struct system_redis *to)
{
    struct addr none = { 0 };
    for (int i = 0; i < SYSTEM_REDISES; i++) {
        struct system_redis *r = &s->redis[to->place][to->dc][to->shard][i];
        fake_replica_point(&r->replica, r == to ? &none : &to->crdt.addr);
    }
}

/* ---- the end ---- */

static struct system_redis *primary_master(struct system *s, int place, int shard)
{
    struct system_redis *found = NULL;
    for (int i = 0; i < SYSTEM_REDISES; i++) {
        struct system_redis *r = &s->redis[place][SYSTEM_PRIMARY][shard][i];
        if (system_is_listed(s, r) && addr_is_none(&r->replica.master)) {
            found = r;
        }
    }
    return found;
}

void system_tree_heal(struct system *s)
{
    for (int dc = 0; dc < SYSTEM_DCS; dc++) {
        for (int container = 0; container < SYSTEM_CONTAINERS; container++) {
            system_container_stop(s, dc, container, false);
        }
    }
    for (int place = SYSTEM_KEEPER_PLACE; place < SYSTEM_PLACES; place++) {
        for (int shard = 0; shard < SYSTEM_SHARDS; shard++) {
            struct system_redis *master = primary_master(s, place, shard);
            if (!master) {
                master = &s->redis[place][SYSTEM_PRIMARY][shard][0];
            }
            if (system_is_listed(s, master)) {
                system_tree_fail_over(s, master);
            }
        }
    }
}

static const char *missing_follower(const struct fake_replica *r, const struct addr *master)
{
    return addr_eq(&r->master, master)
               ? NULL
               : system_say_missing("%s follows %s, not %s", ADDR_TEXT(&r->addr),
                                    addr_is_none(&r->master) ? "nobody" : ADDR_TEXT(&r->master),
                                    ADDR_TEXT(master));
}

/* The longest-living one that the metadata has: the lowest number behind "latch-". */
static struct system_keeper *active_keeper(struct system *s, int dc, int shard)
{
    struct system_keeper *found = NULL;
    for (int i = 0; i < SYSTEM_CONTAINERS; i++) {
        struct system_keeper *k = &s->keepers[dc][shard][i];
        if (k->latch && k->is_running &&
            (!found || strcmp(strstr(k->latch, "latch-"), strstr(found->latch, "latch-")) < 0)) {
            found = k;
        }
    }
    return found;
}

static const char *missing_keeper(const struct system_keeper *k, const struct system_keeper *active)
{
    const struct fake_replica *r = &k->replica;
    enum keeper_state wanted = k == active ? KEEPER_ACTIVE : KEEPER_BACKUP;
    if (k->is_listed != k->is_running) {
        return system_say_missing("keeper %s %s", ADDR_TEXT(&r->addr),
                                  k->is_running ? "runs, and nobody wants it" : "does not run");
    }
    if (k->is_listed && r->state != wanted) {
        return system_say_missing("keeper %s is %s, not %s", ADDR_TEXT(&r->addr),
                                  keeper_state_text(r->state), keeper_state_text(wanted));
    }
    return k->is_listed && k != active ? missing_follower(r, &active->replica.addr) : NULL;
}

/* The active keeper of the backup DC, and the route to what it follows. */
static const char *missing_route(struct system *s, const struct console_cluster *c,
                                 const struct system_keeper *active)
{
    struct route_choice choice;
    char wanted[ROUTE_TEXT_MAX] = "";
    system_choose_route(s, c, active->dc, SYSTEM_PRIMARY, &choice);
    if (choice.kind == ROUTE_UNUSABLE) {
        return NULL;
    }
    if (choice.kind == ROUTE_CHOSEN) {
        AUTO_FREE char *text = route_text(&choice.route);
        (void)snprintf(wanted, sizeof(wanted), "PROXY ROUTE %s TCP", text);
    }
    return text_eq(active->replica.route, wanted)
               ? NULL
               : system_say_missing("keeper %s goes by '%s', not '%s'",
                                    ADDR_TEXT(&active->replica.addr), active->replica.route,
                                    wanted);
}

static const char *missing_redises(struct system *s, int place, int shard, const struct addr *head)
{
    const char *why = NULL;
    for (int i = 0; i < SYSTEM_REDISES && !why; i++) {
        struct system_redis *r = &s->redis[place][1 - SYSTEM_PRIMARY][shard][i];
        if (system_is_listed(s, r) && !addr_eq(&r->crdt.addr, head)) {
            why = missing_follower(&r->replica, head);
        }
        if (!why && system_is_listed(s, r) && place == SYSTEM_PLAIN_PLACE &&
            r->replica.priority != 0 && !r->replica.has_kept_priority) {
            why = system_say_missing("sentinels could promote %s", ADDR_TEXT(&r->crdt.addr));
        }
    }
    return why;
}

static const char *missing_with_keepers(struct system *s, const struct console_cluster *c, int dc,
                                        int shard)
{
    const struct system_keeper *active = active_keeper(s, dc, shard);
    const struct system_keeper *first = active_keeper(s, SYSTEM_PRIMARY, shard);
    const struct system_redis *master = primary_master(s, c->place, shard);
    const char *why =
        active && first ? NULL : system_say_missing("no keeper of shard %d lives", shard);
    struct route_choice choice;
    system_choose_route(s, c, dc, SYSTEM_PRIMARY, &choice);
    if (dc != SYSTEM_PRIMARY && choice.kind == ROUTE_UNUSABLE) {
        return why; /* whoever is active now cannot be made to pull: all of it stays as it was */
    }
    for (int i = 0; i < SYSTEM_CONTAINERS && !why; i++) {
        why = missing_keeper(&s->keepers[dc][shard][i], active);
    }
    if (!why) {
        why = missing_follower(&active->replica,
                               dc == SYSTEM_PRIMARY ? &master->crdt.addr : &first->replica.addr);
    }
    if (!why && dc != SYSTEM_PRIMARY) {
        why = missing_route(s, c, active);
        why = why ? why : missing_redises(s, c->place, shard, &active->replica.addr);
    }
    return why;
}

/* One of them follows the master of the primary DC, the others follow it. */
static const char *missing_behind_relay(struct system *s, const struct console_cluster *c,
                                        int shard)
{
    const struct system_redis *master = primary_master(s, c->place, shard);
    struct route_choice choice;
    system_choose_route(s, c, 1 - SYSTEM_PRIMARY, SYSTEM_PRIMARY, &choice);
    if (choice.kind != ROUTE_DIRECT) {
        return NULL; /* a Redis cannot use it, and never goes direct then */
    }
    const char *why = NULL;
    for (int i = 0; i < SYSTEM_REDISES; i++) {
        struct system_redis *r = &s->redis[c->place][1 - SYSTEM_PRIMARY][shard][i];
        if (system_is_listed(s, r) && addr_eq(&r->replica.master, &master->crdt.addr)) {
            return missing_redises(s, c->place, shard, &r->crdt.addr);
        }
    }
    why = system_say_missing("nobody of %s, shard %d, follows %s", c->name, shard,
                             ADDR_TEXT(&master->crdt.addr));
    return why;
}

/* Who is held gets its setting back when the console is heard, master or not by then; a stray of the backup DC when it follows. */
static const char *missing_settings(struct system *s, const struct console_cluster *c, int shard)
{
    for (int i = 0; i < SYSTEM_DCS * SYSTEM_REDISES; i++) {
        struct system_redis *r = &s->redis[c->place][i / SYSTEM_REDISES][shard][i % SYSTEM_REDISES];
        bool is_stray = r->dc != SYSTEM_PRIMARY && addr_is_none(&r->replica.master);
        if (system_is_listed(s, r) && !is_stray && r->replica.min_slaves != 0) {
            return system_say_missing("%s has min-slaves-to-write %lld", ADDR_TEXT(&r->crdt.addr),
                                      (long long)r->replica.min_slaves);
        }
    }
    return NULL;
}

static int writable_of(struct system *s, int place, int shard)
{
    int count = 0;
    for (int i = 0; i < SYSTEM_REDISES; i++) {
        struct system_redis *r = &s->redis[place][SYSTEM_PRIMARY][shard][i];
        count += system_is_listed(s, r) && addr_is_none(&r->replica.master) &&
                 r->replica.min_slaves == 0;
    }
    return count;
}

int system_tree_writable(struct system *s)
{
    int count = 0;
    for (int place = SYSTEM_KEEPER_PLACE; place < SYSTEM_PLACES; place++) {
        for (int shard = 0; shard < SYSTEM_SHARDS; shard++) {
            count += writable_of(s, place, shard);
        }
    }
    return count;
}

int system_tree_shards(struct system *s)
{
    int count = 0;
    for (int place = SYSTEM_KEEPER_PLACE; place < SYSTEM_PLACES; place++) {
        const struct console_cluster *c = system_cluster(s, place);
        count += c ? c->shard_count : 0;
    }
    return count;
}

const char *system_tree_doubled(struct system *s)
{
    for (int i = 0; i < (SYSTEM_PLACES - SYSTEM_KEEPER_PLACE) * SYSTEM_SHARDS; i++) {
        int place = SYSTEM_KEEPER_PLACE + i / SYSTEM_SHARDS;
        int shard = i % SYSTEM_SHARDS;
        if (writable_of(s, place, shard) > 1) {
            return system_say_missing("c%d, shard %d", place, shard);
        }
    }
    return NULL;
}

const char *system_tree_missing(struct system *s, int place)
{
    const struct console_cluster *c = system_cluster(s, place);
    const char *why = NULL;
    for (int shard = 0; c && shard < c->shard_count && !why; shard++) {
        why = missing_settings(s, c, shard);
        if (why) {
            break;
        }
        if (place == SYSTEM_PLAIN_PLACE) {
            why = missing_behind_relay(s, c, shard);
            continue;
        }
        for (int dc = 0; dc < SYSTEM_DCS && !why; dc++) {
            why = missing_with_keepers(s, c, dc, shard);
        }
    }
    return why;
}
