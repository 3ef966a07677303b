/* fake_rconn.c - see fake_rconn.h. Defines every function of rconn.c, so that it is not linked. */
#include "tests/sim/fake_rconn.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "tests/sim/fake_loop.h"

#include "shared/base/banned.h"

#define BACKOFF_FIRST_MS   1000
#define BACKOFF_MAX_MS     8000
#define CONNECT_DEFAULT_MS 1000

struct rule {
    const struct loop *client; /* NULL: all */
    struct addr addr;
    enum fake_redis_mode mode;
    bool is_view;
};

struct distance {
    struct addr addr;
    int64_t round_trip_ms;
};

struct rconn {
    struct loop *loop;
    struct addr addr;
    int64_t connect_timeout_ms;
    rconn_state_fn *state_fn;
    void *state_arg;
    enum rconn_state state;
    enum rconn_state told;
    struct loop_timer timer;     /* the next try, or the outcome of the connect */
    struct loop_timer cut;       /* the reset by the Redis arrives */
    const char *connect_failure; /* NULL: the connect that is under way will succeed */
    struct list commands;        /* oldest first */
    int command_count;
    mono_ms last_arrival; /* commands and answers never overtake each other */
    mono_ms last_answer;
    mono_ms ready_since;
    int64_t first_retry_ms;
    int64_t backoff_ms;
    char error[160];
    struct list world_link;
    int depth;
    bool is_dead;
};

struct command {
    struct rconn *conn; /* NULL: closed, the command is on its way alone */
    struct addr addr;
    struct fake_redis_origin origin;
    struct list link;
    struct loop_timer arrival; /* at the Redis */
    struct loop_timer answer;  /* back here */
    struct loop_timer deadline;
    char **argv;
    size_t argc;
    struct rreply *reply;
    rconn_reply_fn *fn;
    void *arg;
    uint64_t token;
};

/* The Redis world of the simulation. */
static struct {
    fake_redis_fn *handler;
    void *handler_arg;
    struct rule rules[FAKE_REDIS_RULES_MAX];
    size_t rule_count;
    struct distance distances[FAKE_REDIS_RULES_MAX];
    size_t distance_count;
    int64_t commands_count;
    struct list conns;
    struct list alone; /* commands whose connection is closed */
    struct loop *network;
    fake_redis_sent_fn *watcher;
    void *watcher_arg;
    struct fake_redis_origin origin; /* of the command that is being handled */
} world;

static struct list *all_conns(void)
{
    if (!world.conns.next) {
        list_init(&world.conns);
        list_init(&world.alone);
    }
    return &world.conns;
}

static struct rule *find_rule(const struct loop *client, const struct addr *addr, bool is_view)
{
    for (size_t i = 0; i < world.rule_count; i++) {
        struct rule *r = &world.rules[i];
        if (r->client == client && r->is_view == is_view && addr_eq(&r->addr, addr)) {
            return r;
        }
    }
    return NULL;
}

static enum fake_redis_mode mode_towards(const struct loop *client, const struct addr *addr)
{
    if (world.rule_count == 0) {
        return FAKE_REDIS_UP;
    }
    const struct rule *rule = find_rule(client, addr, false);
    if (!rule) {
        rule = find_rule(NULL, addr, false);
    }
    if (!rule || rule->mode == FAKE_REDIS_UP) {
        rule = find_rule(client, addr, true);
    }
    return rule ? rule->mode : FAKE_REDIS_UP;
}

static enum fake_redis_mode mode_of(const struct rconn *c)
{
    return mode_towards(c->loop, &c->addr);
}

static int64_t round_trip_ms(const struct addr *addr)
{
    for (size_t i = 0; i < world.distance_count; i++) {
        if (addr_eq(&world.distances[i].addr, addr)) {
            return world.distances[i].round_trip_ms;
        }
    }
    return FAKE_REDIS_LATENCY_MS;
}

const char *rconn_why_text(enum rconn_why why)
{
    static const char *const texts[] = {
        [RCONN_ANSWERED] = "answered",           [RCONN_NOT_CONNECTED] = "not connected",
        [RCONN_TIMED_OUT] = "no answer in time", [RCONN_LOST] = "connection lost",
        [RCONN_BAD_REPLY] = "bad reply",         [RCONN_CLOSED_BY_US] = "closed by us",
    };
    return (size_t)why < ARRAY_LEN(texts) ? texts[why] : "unknown";
}

/* ---- commands ---- */

static void command_free(struct command *k)
{
    loop_timer_stop(&k->arrival);
    loop_timer_stop(&k->answer);
    loop_timer_stop(&k->deadline);
    list_remove(&k->link);
    for (size_t i = 0; i < k->argc; i++) {
        free(k->argv[i]);
    }
    free(k->argv);
    rreply_free(k->reply);
    free(k);
}

/* Nobody waits for it any more. What is on the network arrives all the same. */
static void command_end(struct command *k)
{
    k->conn->command_count--;
    if (!world.network || !loop_timer_is_running(&k->arrival)) {
        command_free(k);
        return;
    }
    loop_timer_stop(&k->deadline);
    list_remove(&k->link);
    list_push_back(&world.alone, &k->link);
    k->conn = NULL;
}

static void answer_command(struct command *k, enum rconn_why why)
{
    rconn_reply_fn *fn = k->fn;
    void *arg = k->arg;
    uint64_t token = k->token;
    struct rreply *reply = why == RCONN_ANSWERED ? TAKE(k->reply) : NULL;
    command_end(k);
    fn(reply, why, arg, token);
    rreply_free(reply);
}

static void answer_all(struct rconn *c, enum rconn_why why)
{
    while (!list_is_empty(&c->commands)) {
        answer_command(LIST_ENTRY(c->commands.next, struct command, link), why);
    }
}

/* ---- states ---- */

static void leave(struct rconn *c)
{
    if (--c->depth == 0 && c->is_dead) {
        free(c);
    }
}

static void tell_state(struct rconn *c)
{
    if (!c->is_dead && c->told != c->state) {
        c->told = c->state;
        if (c->state_fn) {
            c->state_fn(c, c->state, c->state_arg);
        }
    }
}

static void close_connection(struct rconn *c, enum rconn_why why, int64_t retry_ms)
{
    c->state = RCONN_WAITING;
    c->ready_since = MONO_NEVER;
    loop_timer_stop(&c->cut);
    loop_timer_start(&c->timer, retry_ms);
    answer_all(c, why);
    tell_state(c);
}

static void fail(struct rconn *c, enum rconn_why why, const char *text)
{
    int64_t retry_ms = c->backoff_ms;
    (void)snprintf(c->error, sizeof(c->error), "%s", text);
    c->backoff_ms = retry_ms * 2 < BACKOFF_MAX_MS ? retry_ms * 2 : BACKOFF_MAX_MS;
    close_connection(c, why, retry_ms);
}

static void start_connect(struct rconn *c)
{
    int64_t delay_ms = round_trip_ms(&c->addr);
    enum fake_redis_mode mode = mode_of(c);
    c->connect_failure = mode == FAKE_REDIS_REFUSES ? "cannot connect: Connection refused" : NULL;
    if (mode == FAKE_REDIS_UNREACHABLE || delay_ms > c->connect_timeout_ms) {
        c->connect_failure = "no connection in time";
        delay_ms = c->connect_timeout_ms;
    }
    c->state = RCONN_CONNECTING;
    loop_timer_start(&c->timer, delay_ms);
    tell_state(c);
}

static void become_ready(struct rconn *c)
{
    c->state = RCONN_READY;
    c->ready_since = loop_now(c->loop);
    c->error[0] = '\0';
    tell_state(c);
}

static void timer_fired(struct loop_timer *t)
{
    struct rconn *c = CONTAINER_OF(t, struct rconn, timer);
    c->depth++;
    if (c->state == RCONN_WAITING) {
        start_connect(c);
    } else if (c->connect_failure) {
        fail(c, RCONN_NOT_CONNECTED, c->connect_failure);
    } else {
        become_ready(c);
    }
    leave(c);
}

static void cut_fired(struct loop_timer *t)
{
    struct rconn *c = CONTAINER_OF(t, struct rconn, cut);
    c->depth++;
    fail(c, c->state == RCONN_READY ? RCONN_LOST : RCONN_NOT_CONNECTED,
         "the server closed the connection");
    leave(c);
}

/* ---- a command on its way ---- */

static mono_ms max_ms(mono_ms a, mono_ms b)
{
    return a > b ? a : b;
}

static void carry_out(struct command *k)
{
    xp_check(world.handler != NULL);
    world.commands_count++;
    world.origin = k->origin;
    k->reply = world.handler(&k->addr, k->argc, (const char *const *)k->argv, world.handler_arg);
}

static void command_arrived(struct loop_timer *t)
{
    struct command *k = CONTAINER_OF(t, struct command, arrival);
    struct rconn *c = k->conn;
    enum fake_redis_mode mode = mode_towards(k->origin.client, &k->addr);
    bool is_lost =
        mode == FAKE_REDIS_MUTE || mode == FAKE_REDIS_UNREACHABLE || mode == FAKE_REDIS_REFUSES;
    if (!is_lost) {
        carry_out(k);
    }
    if (!c) {
        command_free(k);
    }
    if (is_lost || !c) {
        return; /* the deadline, or the cut that is on its way, will tell */
    }
    mono_ms now = loop_now(c->loop);
    c->last_answer = max_ms(c->last_answer, now + round_trip_ms(&c->addr) / 2);
    if (mode == FAKE_REDIS_REPLY_LOST) {
        loop_timer_start(&c->cut, c->last_answer - now);
    } else if (mode == FAKE_REDIS_UP && k->reply) {
        loop_timer_start(&k->answer, c->last_answer - now);
    }
}

/* An answer behind one that never comes does not come either. */
static void answer_arrived(struct loop_timer *t)
{
    struct command *k = CONTAINER_OF(t, struct command, answer);
    struct rconn *c = k->conn;
    if (mode_of(c) == FAKE_REDIS_UNREACHABLE || c->commands.next != &k->link) {
        return;
    }
    c->depth++;
    c->backoff_ms = c->first_retry_ms;
    answer_command(k, RCONN_ANSWERED);
    leave(c);
}

static void deadline_passed(struct loop_timer *t)
{
    struct rconn *c = CONTAINER_OF(t, struct command, deadline)->conn;
    c->depth++;
    fail(c, RCONN_TIMED_OUT, "no answer in time");
    leave(c);
}

/* ---- rconn.h ---- */

struct rconn *rconn_new(struct loop *l, const struct rconn_options *options,
                        rconn_state_fn *state_fn, void *arg)
{
    struct rconn *c = xcalloc(1, sizeof(*c));
    c->loop = l;
    c->addr = options->addr;
    c->connect_timeout_ms =
        options->connect_timeout_ms > 0 ? options->connect_timeout_ms : CONNECT_DEFAULT_MS;
    c->state_fn = state_fn;
    c->state_arg = arg;
    c->first_retry_ms = options->first_retry_ms > 0 ? options->first_retry_ms : BACKOFF_FIRST_MS;
    c->backoff_ms = c->first_retry_ms;
    c->ready_since = MONO_NEVER;
    list_init(&c->commands);
    list_push_back(all_conns(), &c->world_link);
    loop_timer_init(&c->timer, l, timer_fired);
    loop_timer_init(&c->cut, l, cut_fired);
    loop_timer_start(&c->timer, options->first_delay_ms);
    return c;
}

void rconn_free(struct rconn *c)
{
    if (!c || c->is_dead) {
        return;
    }
    c->depth++;
    c->is_dead = true;
    c->state = RCONN_WAITING;
    loop_timer_stop(&c->timer);
    loop_timer_stop(&c->cut);
    list_remove(&c->world_link);
    answer_all(c, RCONN_CLOSED_BY_US);
    leave(c);
}

static struct command *command_new(struct rconn *c, size_t argc, const char *const *argv,
                                   const size_t *lengths)
{
    struct command *k = xcalloc(1, sizeof(*k));
    k->conn = c;
    k->addr = c->addr;
    k->origin = (struct fake_redis_origin){ .client = c->loop, .sent_at = loop_now(c->loop) };
    k->argc = argc;
    k->argv = xcalloc(argc, sizeof(*k->argv));
    for (size_t i = 0; i < argc; i++) {
        k->argv[i] = lengths ? xstrndup(argv[i], lengths[i]) : xstrdup(argv[i]);
    }
    loop_timer_init(&k->arrival, world.network ? world.network : c->loop, command_arrived);
    loop_timer_init(&k->answer, c->loop, answer_arrived);
    loop_timer_init(&k->deadline, c->loop, deadline_passed);
    list_push_back(&c->commands, &k->link);
    c->command_count++;
    return k;
}

int rconn_send(struct rconn *c, size_t argc, const char *const *argv, const size_t *lengths,
               int64_t timeout_ms, rconn_reply_fn *fn, void *arg, uint64_t token,
               struct xp_err *err)
{
    xp_check(argc > 0 && fn && timeout_ms >= 1 && timeout_ms <= 60000);
    if (c->is_dead || c->state != RCONN_READY) {
        return xp_fail(err, XP_UNAVAILABLE, "redis %s is not connected%s%s", ADDR_TEXT(&c->addr),
                       c->error[0] ? ": " : "", c->error);
    }
    if (c->command_count >= RCONN_PIPELINE_MAX) {
        return xp_fail(err, XP_TOO_MANY, "redis %s has %d commands waiting already",
                       ADDR_TEXT(&c->addr), RCONN_PIPELINE_MAX);
    }
    struct command *k = command_new(c, argc, argv, lengths);
    k->fn = fn;
    k->arg = arg;
    k->token = token;
    mono_ms now = loop_now(c->loop);
    int64_t there_and_back_ms = round_trip_ms(&c->addr);
    c->last_arrival = max_ms(c->last_arrival, now + there_and_back_ms - there_and_back_ms / 2);
    if (!fake_loop_is_crashed(c->loop)) {
        loop_timer_start(&k->arrival, c->last_arrival - now);
        if (world.watcher) {
            world.watcher(c->loop, &c->addr, argc, argv, world.watcher_arg);
        }
    }
    loop_timer_start(&k->deadline, timeout_ms);
    return 0;
}

enum rconn_state rconn_state(const struct rconn *c)
{
    return c->state;
}

const char *rconn_last_error(const struct rconn *c)
{
    return c->error;
}

mono_ms rconn_ready_since(const struct rconn *c)
{
    return c->ready_since;
}

/* When bytes are written does not matter here: the network of the simulation carries commands. */
void rconn_cork(struct rconn *c)
{
    (void)c;
}

void rconn_uncork(struct rconn *c)
{
    (void)c;
}

void rconn_reconnect(struct rconn *c)
{
    if (c->is_dead) {
        return;
    }
    c->depth++;
    close_connection(c, RCONN_CLOSED_BY_US, 0);
    leave(c);
}

/* ---- fake_rconn.h ---- */

void fake_redis_reset(void)
{
    xp_check(list_is_empty(all_conns()));
    world.handler = NULL;
    world.handler_arg = NULL;
    world.rule_count = 0;
    world.distance_count = 0;
    world.commands_count = 0;
    fake_redis_watch(NULL, NULL);
    fake_redis_set_network(NULL);
}

void fake_redis_watch(fake_redis_sent_fn *watcher, void *arg)
{
    world.watcher = watcher;
    world.watcher_arg = arg;
}

void fake_redis_set_network(struct loop *l)
{
    (void)all_conns();
    while (!list_is_empty(&world.alone)) {
        command_free(LIST_ENTRY(world.alone.next, struct command, link));
    }
    world.network = l;
}

const struct fake_redis_origin *fake_redis_origin(void)
{
    return &world.origin;
}

void fake_redis_handle(fake_redis_fn *handler, void *arg)
{
    world.handler = handler;
    world.handler_arg = arg;
}

/* Connections to a Redis that just died learn it after half a round trip. */
static void cut_connections(void)
{
    list_for_each (link, all_conns()) {
        struct rconn *c = LIST_ENTRY(link, struct rconn, world_link);
        if (c->state != RCONN_WAITING && mode_of(c) == FAKE_REDIS_REFUSES &&
            !loop_timer_is_running(&c->cut)) {
            loop_timer_stop(&c->timer);
            loop_timer_start(&c->cut, round_trip_ms(&c->addr) / 2);
        }
    }
}

static void set_rule(const struct rule *given)
{
    struct rule *rule = find_rule(given->client, &given->addr, given->is_view);
    bool is_needless = given->mode == FAKE_REDIS_UP && (given->is_view || given->client == NULL);
    if (is_needless && rule) {
        *rule = world.rules[--world.rule_count];
    } else if (!is_needless) {
        xp_check(rule || world.rule_count < FAKE_REDIS_RULES_MAX);
        rule = rule ? rule : &world.rules[world.rule_count++];
        *rule = *given;
    }
    if (given->mode == FAKE_REDIS_REFUSES) {
        cut_connections();
    }
}

void fake_redis_set(const struct loop *client, const struct addr *addr, enum fake_redis_mode mode)
{
    set_rule(&(struct rule){ client, *addr, mode, false });
}

void fake_redis_set_view(const struct loop *client, const struct addr *addr,
                         enum fake_redis_mode mode)
{
    set_rule(&(struct rule){ client, *addr, mode, true });
}

void fake_redis_clear_views(void)
{
    for (size_t i = world.rule_count; i-- > 0;) {
        if (world.rules[i].is_view) {
            world.rules[i] = world.rules[--world.rule_count];
        }
    }
}

void fake_redis_set_latency(const struct addr *addr, int64_t ms)
{
    for (size_t i = 0; i < world.distance_count; i++) {
        if (addr_eq(&world.distances[i].addr, addr)) {
            world.distances[i].round_trip_ms = ms;
            return;
        }
    }
    xp_check(world.distance_count < FAKE_REDIS_RULES_MAX);
    world.distances[world.distance_count++] = (struct distance){ *addr, ms };
}

int64_t fake_redis_commands_count(void)
{
    return world.commands_count;
}
