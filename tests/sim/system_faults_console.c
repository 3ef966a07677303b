/* system_faults_console.c - trouble with the console, and what people change in its metadata. See system_faults.h. */
#include "shared/base/mem.h"
#include "tests/sim/fake_http.h"
#include "tests/sim/system_faults_internal.h"
#include "tests/sim/system_trace.h"

#include "shared/base/banned.h"

/* ---- console ---- */

static bool stop_console(struct system *s, struct trouble *t)
{
    if (fake_console_is_stopped(s->console)) {
        return false;
    }
    t->ms = any_ms(s);
    fake_console_stop(s->console, true);
    return true;
}

static void start_console(struct system *s, struct trouble *t)
{
    (void)t;
    fake_console_stop(s->console, false);
}

static bool part_console(struct system *s, struct trouble *t)
{
    t->member = running_member(s);
    if (!t->member) {
        return false;
    }
    t->ms = any_ms(s);
    fake_http_set(t->member->loop, &system_console_addr,
                  dice_chance(&s->dice, 50) ? FAKE_HTTP_UNREACHABLE : FAKE_HTTP_REPLY_LOST);
    say(t, MEMBER_FMT, MEMBER_ARG(t->member));
    return true;
}

static void join_console(struct system *s, struct trouble *t)
{
    (void)s;
    if (t->member->loop) {
        fake_http_set(t->member->loop, &system_console_addr, FAKE_HTTP_UP);
    }
}

static bool lie(struct system *s, struct trouble *t)
{
    static const char *const lies[] = { "", "half", "no routes", "old", "empty" };
    t->way = (int)dice_between(&s->dice, CONSOLE_HALF, CONSOLE_EMPTY);
    t->ms = dice_between(&s->dice, 5000, 20000);
    fake_console_lie(s->console, (enum console_lie)t->way);
    say(t, "%s", lies[t->way]);
    return true;
}

static void tell_truth(struct system *s, struct trouble *t)
{
    (void)t;
    fake_console_lie(s->console, CONSOLE_HONEST);
}

static bool repeat_push(struct system *s, struct trouble *t)
{
    (void)t;
    return fake_console_repeat(s->console, dice_roll(&s->dice, 1000));
}

/* ---- metadata ---- */

static bool flip_route(struct system *s, struct trouble *t)
{
    struct console_route *r = fake_console_route(s->console, dice_roll(&s->dice, 4));
    int src = r->src;
    if (dice_chance(&s->dice, 60)) {
        r->info = system_route_texts[dice_roll(&s->dice, SYSTEM_ROUTE_TEXTS)];
    } else {
        r->is_active = !r->is_active;
    }
    say(t, "route %lld of %s: %s %s", (long long)r->id, system_dcs[src],
        r->is_active ? "active" : "off", r->info);
    bool is_routed = false;
    for (size_t i = 0; (r = fake_console_route(s->console, i)); i++) {
        is_routed |= r->src == src && r->is_active;
    }
    s->is_routed[src] &= is_routed;
    fake_console_commit_routes(s->console, src);
    return true;
}

static bool migrate(struct system *s, struct trouble *t)
{
    struct console_cluster *c = system_cluster(s, (int)dice_roll(&s->dice, SYSTEM_PLACES));
    if (!c || c->is_migrating) {
        return false;
    }
    t->place = c->place;
    t->ms = dice_between(&s->dice, 1000, 12000);
    c->is_migrating = true;
    fake_console_commit(s->console, c);
    say(t, "%s", c->name);
    return true;
}

static void migrated(struct system *s, struct trouble *t)
{
    struct console_cluster *c = system_cluster(s, t->place);
    if (c && c->is_migrating) {
        c->is_migrating = false;
        fake_console_commit(s->console, c);
    }
}

static bool delete_cluster(struct system *s, struct trouble *t)
{
    struct console_cluster *c = any_cluster(s);
    if (!c) {
        return false;
    }
    t->place = c->place;
    t->ms = dice_chance(&s->dice, 50) ? dice_between(&s->dice, 10, 500) : any_ms(s);
    c->is_deleted = true;
    fake_console_commit(s->console, c);
    say(t, "%s, id %lld", c->name, (long long)c->id);
    return true;
}

/* The same name and Redis, another id. */
static void make_anew(struct system *s, struct trouble *t)
{
    struct console_cluster *old = fake_console_find(s->console, s->cluster_id[t->place]);
    if (!old->is_deleted || !fake_console_has_room(s->console)) {
        return;
    }
    s->next_id += dice_between(&s->dice, 1, 300);
    struct console_cluster *c = fake_console_add(s->console, old->name, s->next_id);
    int64_t id = c->id;
    *c = *old;
    c->id = s->cluster_id[t->place] = id;
    c->is_deleted = false;
    c->is_migrating = false;
    fake_console_commit(s->console, c);
    trace_event("cluster %s is made anew, id %lld", c->name, (long long)c->id);
}

/* One Redis of a shard leaves the metadata for the spare one. */
static bool change_instance(struct system *s, struct trouble *t)
{
    struct console_cluster *c = any_cluster(s);
    if (!c) {
        return false;
    }
    int dc = (int)dice_roll(&s->dice, SYSTEM_DCS);
    int shard = (int)dice_roll(&s->dice, (uint64_t)c->shard_count);
    int out = -1;
    int in = -1;
    for (int i = 0; i < SYSTEM_REDISES; i++) {
        struct system_redis *r = &s->redis[c->place][dc][shard][i];
        if (addr_is_none(&c->redis[dc][shard][i])) {
            in = i;
        } else if (!r->crdt.is_master) {
            out = i;
        }
    }
    if (in < 0 || out < 0) {
        return false;
    }
    fake_crdt_set_role(&s->redis[c->place][dc][shard][in].crdt, false);
    c->redis[dc][shard][in] = s->redis[c->place][dc][shard][in].crdt.addr;
    c->redis[dc][shard][out] = (struct addr){ 0 };
    fake_console_commit(s->console, c);
    say(t, "%s in %s, shard %d: %d for %d", c->name, system_dcs[dc], shard, in, out);
    return true;
}

#define SLOWEST_ANSWER_MS 5000 /* of slow_http */

/* A DC that came back for so short a time may have been seen by nobody: removals need a document of the last two periods, and an
 * answer may take its time. For who missed it, the DC has been gone since the first time. */
static bool may_be_missed(const struct system *s, int place)
{
    int64_t unseen_ms = 2 * s->config.refresh_ms + SLOWEST_ANSWER_MS;
    return s->left_at[place] != MONO_NEVER && clock_mono_ms() - s->joined_at[place] < unseen_ms;
}

static bool leave_dc(struct system *s, struct trouble *t)
{
    struct console_cluster *c = any_cluster(s);
    if (!c || c->dcs != 3) {
        return false;
    }
    t->place = c->place;
    t->ms = dice_between(&s->dice, 100, 25000);
    c->dcs = 1U << dice_roll(&s->dice, SYSTEM_DCS);
    if (!may_be_missed(s, c->place)) {
        s->left_at[c->place] = clock_mono_ms();
    }
    fake_console_commit(s->console, c);
    say(t, "%s is in %s only", c->name, system_dcs[c->dcs - 1]);
    return true;
}

static void join_dc(struct system *s, struct trouble *t)
{
    struct console_cluster *c = system_cluster(s, t->place);
    if (c && c->dcs != 3) {
        c->dcs = 3;
        s->joined_at[c->place] = clock_mono_ms();
        fake_console_commit(s->console, c);
    }
}

static bool suspend(struct system *s, struct trouble *t)
{
    const struct console_cluster *c = any_cluster(s);
    const struct system_member *m = running_member(s);
    if (!c || !m) {
        return false;
    }
    AUTO_FREE char *url =
        xasprintf("http://%s/api/meta/v2/correction/%s/s1/off?ttlSeconds=%lld", ADDR_TEXT(&m->addr),
                  c->name, (long long)dice_between(&s->dice, 1, 10));
    fake_http_request(s->loop, "PUT", url, NULL, 3000, NULL, NULL);
    say(t, "%s", c->name);
    return true;
}

/* clang-format off */
const struct fault faults_of_console[] = {
    { "console-stop",    3, stop_console,     start_console },
    { "console-part",    3, part_console,     join_console },
    { "console-lie",     3, lie,              tell_truth },
    { "repeat-push",     4, repeat_push,      NULL },
    { "route",           4, flip_route,       NULL },
    { "migrate",         4, migrate,          migrated },
    { "delete-cluster",  4, delete_cluster,   make_anew },
    { "instance",        3, change_instance,  NULL },
    { "leave-dc",        3, leave_dc,         join_dc },
    { "suspend",         2, suspend,          NULL },
    { 0 },
};
/* clang-format on */
