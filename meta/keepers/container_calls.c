/* container_calls.c - see container_calls.h; what is sent and what it means is container_wire.c.
 *
 * A call waits in the queue of its container, for adding or for removing; one timer starts what may start. An add that found its port
 * taken goes back into the queue for removing: it needs a token now. A container that did not answer ends everything that waits for
 * it, since the callers ask again with fresh facts; it then gets one call at a time, and all such containers together at most
 * half of the threads, so that they never hold up the others. */
#include "meta/keepers/container_calls.h"

#include <string.h>

#include "meta/keepers/container_wire.h"
#include "meta/slots/slot.h"
#include "shared/base/list.h"
#include "shared/base/log.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

#define CALLS_PER_CONTAINER 2
#define CONTAINERS_KEPT     1000 /* beyond, those that are only known for an old failure are dropped */

#define CALLS_HELP "Calls to keeper containers, by kind and by how they ended."
static struct metric calls_ended[2][2] = {
    { METRIC_COUNTER_INIT("xpipe_container_calls_total", "kind=\"add\",result=\"ok\"", CALLS_HELP),
      METRIC_COUNTER_INIT("xpipe_container_calls_total", "kind=\"add\",result=\"failed\"",
                          CALLS_HELP) },
    { METRIC_COUNTER_INIT("xpipe_container_calls_total", "kind=\"remove\",result=\"ok\"",
                          CALLS_HELP),
      METRIC_COUNTER_INIT("xpipe_container_calls_total", "kind=\"remove\",result=\"failed\"",
                          CALLS_HELP) },
};
static struct metric ports_cleared =
    METRIC_COUNTER_INIT("xpipe_container_ports_cleared_total", "",
                        "Keepers of other shards that were removed because they had a port that "
                        "the metadata gives to another keeper.");
static struct metric answers_garbage =
    METRIC_COUNTER_INIT("xpipe_container_garbage_total", "",
                        "Answers of keeper containers with status 200 that no container gives; "
                        "they count as failed, too.");
static struct metric calls_waiting = METRIC_GAUGE_INIT(
    "xpipe_container_calls_waiting", "", "Calls to keeper containers that wait for their turn.");

enum queue {
    ADDS,
    REMOVALS, /* and adds that must remove first: a token each */
    QUEUES
};

struct container {
    struct addr addr;
    struct list link; /* calls->busy, while something waits */
    struct list queues[QUEUES];
    size_t waiting;
    int under_way;
    bool is_silent; /* did not answer the last time */
    char last_error[200];
    wall_ms last_error_at;
};

struct call {
    struct container_calls *calls;
    struct container *container;
    struct container_call what; /* keeper.id owned */
    enum container_step step;
    struct container_holder holder; /* of CONTAINER_CLEAR */
    uint64_t number;                /* order of arrival */
    bool is_probe;                  /* under way to a container that was silent */
    struct list link;               /* its container's queue */
    struct list same_arg;           /* a ring without a head: calls with this arg */
    container_done_fn *done;        /* NULL: nobody, or forgotten */
    void *arg;
};

struct container_calls {
    struct container_calls_options options;
    struct http_client *http;
    struct map containers;     /* "host:port" -> struct container */
    struct map waiting_by_key; /* see key_of -> struct call, until it starts */
    struct map by_arg;         /* arg -> one struct call of its ring */
    struct list busy;          /* struct container, in turns */
    struct loop_timer pump_timer;
    struct loop_timer token_timer;
    size_t waiting;
    int under_way;
    int silent_under_way;
    int slot_calls[SLOT_COUNT]; /* under way */
    uint64_t next_number;
    void (*on_quiet)(int slot, void *arg);
    void *on_quiet_arg;
    bool is_closing;
};

static void finish(struct call *call, int rc, const struct xp_err *err);

/* ---- containers ---- */

static struct list *queue_of(const struct call *call)
{
    bool needs_token = call->step == CONTAINER_CLEAR || call->step == CONTAINER_DROP;
    return &call->container->queues[needs_token ? REMOVALS : ADDS];
}

static bool is_idle(const struct container *c)
{
    return c->waiting == 0 && c->under_way == 0;
}

static void container_free(struct container_calls *cc, struct container *c)
{
    (void)map_remove(&cc->containers, ADDR_TEXT(&c->addr));
    list_remove(&c->link);
    free(c);
}

static void drop_idle_containers(struct container_calls *cc)
{
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&cc->containers, &at))) {
        if (is_idle(slot->value)) {
            container_free(cc, slot->value);
        }
    }
}

static struct container *container_get(struct container_calls *cc, const struct addr *addr)
{
    struct container *c = map_get(&cc->containers, ADDR_TEXT(addr));
    if (c) {
        return c;
    }
    if (map_count(&cc->containers) >= CONTAINERS_KEPT) {
        drop_idle_containers(cc);
    }
    c = xcalloc(1, sizeof(*c));
    c->addr = *addr;
    list_init(&c->link);
    list_init(&c->queues[ADDS]);
    list_init(&c->queues[REMOVALS]);
    (void)map_put(&cc->containers, ADDR_TEXT(addr), c);
    return c;
}

static void note_outcome(struct container *c, int rc, const struct xp_err *err)
{
    (void)snprintf(c->last_error, sizeof(c->last_error), "%.199s", rc < 0 ? err->msg : "");
    c->last_error_at = rc < 0 ? clock_wall_ms() : 0;
}

/* ---- whose calls ---- */

static void arg_remember(struct call *call)
{
    list_init(&call->same_arg);
    if (!call->done) {
        return;
    }
    uint64_t key = (uint64_t)(uintptr_t)call->arg;
    struct call *first = map_get_n(&call->calls->by_arg, key);
    if (first) {
        list_push_back(&first->same_arg, &call->same_arg);
    } else {
        (void)map_put_n(&call->calls->by_arg, key, call);
    }
}

static void arg_forget(struct call *call)
{
    uint64_t key = (uint64_t)(uintptr_t)call->arg;
    if (!call->done) {
        return;
    }
    if (!list_is_linked(&call->same_arg)) {
        (void)map_remove_n(&call->calls->by_arg, key);
    } else if (map_get_n(&call->calls->by_arg, key) == call) {
        (void)map_put_n(&call->calls->by_arg, key,
                        LIST_ENTRY(call->same_arg.next, struct call, same_arg));
    }
    list_remove(&call->same_arg);
    call->done = NULL;
}

void container_calls_forget(struct container_calls *cc, const void *arg)
{
    XP_ON_LOOP();
    struct call *call;
    while ((call = map_get_n(&cc->by_arg, (uint64_t)(uintptr_t)arg))) {
        arg_forget(call);
    }
}

/* ---- waiting ---- */

#define KEY_MAX (ADDR_TEXT_MAX + 4)

static const char *key_of(const struct container_call *what, char *buf)
{
    (void)snprintf(buf, KEY_MAX, "%c %s", what->is_removal ? '-' : '+',
                   ADDR_TEXT(&what->keeper.addr));
    return buf;
}
#define KEY_OF(what) key_of(what, (char[KEY_MAX]){ 0 })

static void pump_soon(struct container_calls *cc)
{
    if (!cc->is_closing) {
        loop_timer_start(&cc->pump_timer, 0);
    }
}

static void wait_for_turn(struct call *call)
{
    struct container_calls *cc = call->calls;
    struct container *c = call->container;
    list_push_back(queue_of(call), &call->link);
    c->waiting++;
    cc->waiting++;
    metric_set(&calls_waiting, (int64_t)cc->waiting);
    if (!list_is_linked(&c->link)) {
        list_push_back(&cc->busy, &c->link);
    }
    pump_soon(cc);
}

static void stop_waiting(struct call *call)
{
    struct container_calls *cc = call->calls;
    struct container *c = call->container;
    const char *key = KEY_OF(&call->what);
    if (map_get(&cc->waiting_by_key, key) == call) {
        (void)map_remove(&cc->waiting_by_key, key);
    }
    list_remove(&call->link);
    c->waiting--;
    cc->waiting--;
    metric_set(&calls_waiting, (int64_t)cc->waiting);
    if (c->waiting == 0) {
        list_remove(&c->link);
    }
}

static void call_free(struct call *call)
{
    arg_forget(call);
    container_holder_done(&call->holder);
    free(call->what.keeper.id);
    free(call);
}

/* Everything that waits for a container that did not answer. */
static void give_up_waiting(struct container *c, const struct xp_err *why)
{
    struct xp_err err;
    struct list ended;
    struct list *link;
    list_init(&ended);
    (void)xp_fail(&err, XP_UNAVAILABLE, "not sent, because the container does not answer: %s",
                  why->msg);
    for (size_t q = 0; q < QUEUES; q++) {
        while ((link = list_pop_front(&c->queues[q]))) {
            stop_waiting(LIST_ENTRY(link, struct call, link));
            list_push_back(&ended, link);
        }
    }
    while ((link = list_pop_front(&ended))) { /* 'done' may submit the next */
        finish(LIST_ENTRY(link, struct call, link), XP_UNAVAILABLE, &err);
    }
}

/* ---- under way ---- */

static void take_slot(struct call *call)
{
    struct container_calls *cc = call->calls;
    call->is_probe = call->container->is_silent;
    call->container->under_way++;
    cc->under_way++;
    cc->silent_under_way += call->is_probe;
    cc->slot_calls[slot_of_cluster(call->what.cluster_id)]++;
}

/* The container may be gone afterwards. */
static void leave_slot(struct container_calls *cc, struct container *c, int64_t cluster_id)
{
    int slot = slot_of_cluster(cluster_id);
    c->under_way--;
    cc->under_way--;
    cc->slot_calls[slot]--;
    if (is_idle(c) && c->last_error[0] == '\0') {
        container_free(cc, c);
    }
    pump_soon(cc);
    if (cc->slot_calls[slot] == 0 && cc->on_quiet && !cc->is_closing) {
        cc->on_quiet(slot, cc->on_quiet_arg);
    }
}

static void end_probe(struct call *call)
{
    call->calls->silent_under_way -= call->is_probe;
    call->is_probe = false;
}

static void log_end(const struct call *call, int rc, const struct xp_err *err)
{
    const struct container_call *what = &call->what;
    const char *deed = what->is_removal ? "remove" : "add";
    metric_add(&calls_ended[what->is_removal][rc < 0], 1);
    if (rc == XP_NOT_OWNER) {
        log_debug("container.not_ours", "keeper", ADDR_TEXT(&what->keeper.addr), "error", err->msg);
    } else if (rc < 0) {
        log_warn("container.failed", "deed", deed, "keeper", ADDR_TEXT(&what->keeper.addr), "shard",
                 log_int(what->shard_id), "container", ADDR_TEXT(&what->container), "error",
                 err->msg);
    } else {
        log_info("container.done", "deed", deed, "keeper", ADDR_TEXT(&what->keeper.addr), "shard",
                 log_int(what->shard_id), "container", ADDR_TEXT(&what->container));
    }
}

/* The call is over and does not wait any more. Frees it. */
static void finish(struct call *call, int rc, const struct xp_err *err)
{
    struct container_calls *cc = call->calls;
    static const struct xp_err fine;
    if (!cc->is_closing) {
        log_end(call, rc, err);
        container_done_fn *done = call->done;
        if (done) {
            struct addr keeper = call->what.keeper.addr;
            done(rc, rc < 0 ? err : &fine, &keeper, call->arg);
        }
    }
    call_free(call);
}

static void finish_under_way(struct call *call, int rc, const struct xp_err *err)
{
    struct container_calls *cc = call->calls;
    struct container *c = call->container;
    int64_t cluster_id = call->what.cluster_id;
    end_probe(call);
    finish(call, rc, err); /* while the container is not idle, so that it stays */
    leave_slot(cc, c, cluster_id);
}

/* Asked right before each request: is it still ours to do, and still right? */
static int check_step(const struct call *call, struct xp_err *err)
{
    const struct container_calls_options *o = &call->calls->options;
    const struct container_call *what = &call->what;
    int rc = o->may_call(what->cluster_id, o->arg, err);
    if (rc < 0) {
        return rc;
    }
    bool is_drop = call->step == CONTAINER_DROP;
    if (is_drop && what->is_orphan) {
        return o->check_orphan(what, o->arg, err);
    }
    int64_t shard_id = is_drop ? what->shard_id : call->holder.shard_id;
    if ((is_drop || call->step == CONTAINER_CLEAR) &&
        o->is_wanted(shard_id, &what->keeper.addr, o->arg)) {
        return xp_fail(err, XP_CONFLICT,
                       "keeper %s of shard %lld is in the metadata: not removed from container %s",
                       ADDR_TEXT(&what->keeper.addr), (long long)shard_id,
                       ADDR_TEXT(&what->container));
    }
    return 0;
}

static void on_answer(int rc, const struct http_reply *reply, const struct xp_err *err, void *arg,
                      uint64_t token);

static void send_step(struct call *call)
{
    const struct container_calls_options *o = &call->calls->options;
    struct xp_err err = { 0 };
    struct container_request r CLEANUP(container_request_done) =
        container_request_of(&call->what, call->step, &call->holder);
    struct http_call http = { .method = r.method,
                              .url = r.url,
                              .body = r.body,
                              .body_length = r.body ? strlen(r.body) : 0,
                              .kept_header = CONTAINER_ERROR_HEADER,
                              .connect_timeout_ms = o->connect_timeout_ms,
                              .timeout_ms = o->timeout_ms,
                              .max_reply_bytes = CONTAINER_REPLY_MAX_BYTES };
    int rc = http_send(call->calls->http, &http, on_answer, call, 0, &err);
    if (rc < 0) {
        finish_under_way(call, rc, &err);
    }
}

static void next_step(struct call *call, enum container_step step)
{
    struct xp_err err = { 0 };
    call->step = step;
    int rc = check_step(call, &err);
    if (rc < 0) {
        finish_under_way(call, rc, &err);
        return;
    }
    send_step(call);
}

/* Who has the port is known. When it cannot be told, the container decides: it refuses a port that is taken. */
static void after_look(struct call *call, const struct http_reply *reply)
{
    struct xp_err err = { 0 };
    if (container_holder_parse(&call->what, reply, &call->holder, &err) < 0) {
        log_info("container.port_not_told", "error", err.msg);
    }
    if (call->holder.shard_id == 0 || call->holder.shard_id == call->what.shard_id) {
        next_step(call, CONTAINER_START);
        return;
    }
    call->step = CONTAINER_CLEAR;
    int rc = check_step(call, &err);
    if (rc < 0) {
        finish_under_way(call, rc, &err);
        return;
    }
    end_probe(call);
    wait_for_turn(call); /* for a token */
    leave_slot(call->calls, call->container, call->what.cluster_id);
}

static void after_clear(struct call *call, const struct http_reply *reply)
{
    struct xp_err err = { 0 };
    if (container_answer(&call->what, CONTAINER_CLEAR, reply, &err) < 0) {
        log_warn("container.port_not_cleared", "error", err.msg);
    } else {
        metric_add(&ports_cleared, 1);
        log_warn("container.port_cleared", "container", ADDR_TEXT(&call->what.container), "port",
                 log_int(call->what.keeper.addr.port), "of_shard", log_int(call->holder.shard_id),
                 "for_shard", log_int(call->what.shard_id));
    }
    next_step(call, CONTAINER_START);
}

static void after_answer(struct call *call, const struct http_reply *reply)
{
    struct xp_err err = { 0 };
    switch (call->step) {
    case CONTAINER_LOOK:
        after_look(call, reply);
        break;
    case CONTAINER_CLEAR:
        after_clear(call, reply);
        break;
    case CONTAINER_START:
    case CONTAINER_DROP: {
        int rc = container_answer(&call->what, call->step, reply, &err);
        metric_add(&answers_garbage, rc == XP_IO);
        note_outcome(call->container, rc, &err);
        call->container->is_silent = false; /* not before: some only answer questions */
        finish_under_way(call, rc, &err);
        break;
    }
    }
}

static void on_answer(int rc, const struct http_reply *reply, const struct xp_err *err, void *arg,
                      uint64_t token)
{
    (void)token;
    struct call *call = arg;
    struct container *c = call->container;
    bool is_unanswered = rc == XP_IO || rc == XP_TIMEOUT;
    if (rc == 0 && !call->calls->is_closing) {
        after_answer(call, reply);
        return;
    }
    if (rc < 0) {
        note_outcome(c, rc, err);
    }
    if (is_unanswered) {
        c->is_silent = true;
        give_up_waiting(c, err);
    }
    finish_under_way(call, rc, err);
}

/* ---- whose turn ---- */

static bool has_room(const struct container_calls *cc, const struct container *c)
{
    int silent_max = cc->options.threads / 2 > 0 ? cc->options.threads / 2 : 1;
    return c->is_silent ? c->under_way == 0 && cc->silent_under_way < silent_max
                        : c->under_way < CALLS_PER_CONTAINER;
}

/* For an add. Containers take turns. */
static struct container *next_adder(struct container_calls *cc)
{
    list_for_each (it, &cc->busy) {
        struct container *c = LIST_ENTRY(it, struct container, link);
        if (!list_is_empty(&c->queues[ADDS]) && has_room(cc, c)) {
            list_remove(&c->link);
            list_push_back(&cc->busy, &c->link);
            return c;
        }
    }
    return NULL;
}

/* For the oldest of what needs a token. */
static struct container *next_remover(struct container_calls *cc)
{
    struct container *found = NULL;
    uint64_t oldest = UINT64_MAX;
    list_for_each (it, &cc->busy) {
        struct container *c = LIST_ENTRY(it, struct container, link);
        if (!list_is_empty(&c->queues[REMOVALS]) && has_room(cc, c)) {
            uint64_t number = LIST_ENTRY(c->queues[REMOVALS].next, struct call, link)->number;
            found = number < oldest ? c : found;
            oldest = number < oldest ? number : oldest;
        }
    }
    return found;
}

static void begin(struct container *c, enum queue queue)
{
    struct xp_err err = { 0 };
    struct list *first = list_pop_front(&c->queues[queue]);
    xp_check(first != NULL);
    struct call *call = LIST_ENTRY(first, struct call, link);
    stop_waiting(call);
    take_slot(call);
    int rc = check_step(call, &err);
    if (rc < 0) {
        if (queue == REMOVALS) {
            budget_give_back(call->calls->options.removals);
        }
        finish_under_way(call, rc, &err);
        return;
    }
    send_step(call);
}

/* False: nothing more can start now. Adding goes first: what lives matters more than what is too much. */
static bool begin_next(struct container_calls *cc)
{
    struct budget *removals = cc->options.removals;
    struct container *c = next_adder(cc);
    if (c) {
        begin(c, ADDS);
        return true;
    }
    c = next_remover(cc);
    if (c && budget_take(removals, loop_now(cc->options.loop))) {
        begin(c, REMOVALS);
        return true;
    }
    if (c) {
        loop_timer_start(&cc->token_timer, 1 + 1000 / removals->rate_per_s);
    }
    return false;
}

static void pump(struct container_calls *cc)
{
    while (cc->under_way < cc->options.threads && begin_next(cc)) {
    }
}

static void pump_fired(struct loop_timer *t)
{
    pump(CONTAINER_OF(t, struct container_calls, pump_timer));
}

static void token_fired(struct loop_timer *t)
{
    pump(CONTAINER_OF(t, struct container_calls, token_timer));
}

/* ---- container_calls.h ---- */

struct container_calls *container_calls_new(const struct container_calls_options *options)
{
    xp_check(options->may_call && options->is_wanted && options->removals && options->threads > 0);
    struct container_calls *cc = xcalloc(1, sizeof(*cc));
    cc->options = *options;
    cc->http = http_client_new(options->loop, options->threads, options->threads);
    cc->containers = MAP_INIT(MAP_TEXT);
    cc->waiting_by_key = MAP_INIT(MAP_TEXT);
    cc->by_arg = MAP_INIT(MAP_NUMBER);
    list_init(&cc->busy);
    loop_timer_init(&cc->pump_timer, options->loop, pump_fired);
    loop_timer_init(&cc->token_timer, options->loop, token_fired);
    for (size_t i = 0; i < ARRAY_LEN(calls_ended); i++) {
        metric_register(&calls_ended[i][0]);
        metric_register(&calls_ended[i][1]);
    }
    metric_register(&ports_cleared);
    metric_register(&answers_garbage);
    metric_set(&calls_waiting, 0);
    return cc;
}

static void drop_waiting(struct container *c)
{
    struct list *link;
    for (size_t q = 0; q < QUEUES; q++) {
        while ((link = list_pop_front(&c->queues[q]))) {
            struct call *call = LIST_ENTRY(link, struct call, link);
            stop_waiting(call);
            call_free(call);
        }
    }
}

void container_calls_free(struct container_calls *cc)
{
    if (!cc) {
        return;
    }
    cc->is_closing = true;
    loop_timer_stop(&cc->pump_timer);
    loop_timer_stop(&cc->token_timer);
    while (!list_is_empty(&cc->busy)) {
        drop_waiting(LIST_ENTRY(cc->busy.next, struct container, link));
    }
    http_client_free(cc->http);
    drop_idle_containers(cc);
    map_done(&cc->containers);
    map_done(&cc->waiting_by_key);
    map_done(&cc->by_arg);
    free(cc);
}

/* One of the same keeper and kind waits: nobody listens to it any more, and the new one is about what is known now. */
static int replace_waiting(struct container_calls *cc, const struct container_call *what,
                           struct xp_err *err)
{
    struct call *old = map_get(&cc->waiting_by_key, KEY_OF(what));
    if (!old) {
        return 0;
    }
    if (old->done) {
        return xp_fail(err, XP_CONFLICT, "a call to %s keeper %s waits already",
                       what->is_removal ? "remove" : "add", ADDR_TEXT(&what->keeper.addr));
    }
    struct container *c = old->container;
    stop_waiting(old);
    call_free(old);
    if (is_idle(c) && c->last_error[0] == '\0') {
        container_free(cc, c);
    }
    return 0;
}

int container_calls_submit(struct container_calls *cc, const struct container_call *what,
                           container_done_fn *done, void *arg, struct xp_err *err)
{
    XP_ON_LOOP();
    int rc = replace_waiting(cc, what, err);
    if (rc < 0) {
        return rc;
    }
    if (cc->waiting >= CONTAINER_QUEUE_MAX) {
        return xp_fail(err, XP_TOO_MANY,
                       "%d calls to keeper containers wait already, not adding keeper %s",
                       CONTAINER_QUEUE_MAX, ADDR_TEXT(&what->keeper.addr));
    }
    struct call *call = xcalloc(1, sizeof(*call));
    call->calls = cc;
    call->container = container_get(cc, &what->container);
    call->what = *what;
    call->what.keeper.id = xstrdup(what->keeper.id);
    xp_check(!what->is_orphan || (what->is_removal && cc->options.check_orphan));
    call->step = what->is_removal ? CONTAINER_DROP : CONTAINER_LOOK;
    call->number = cc->next_number++;
    call->done = done;
    call->arg = arg;
    arg_remember(call);
    (void)map_put(&cc->waiting_by_key, KEY_OF(what), call);
    wait_for_turn(call);
    return 0;
}

bool container_calls_is_quiet(const struct container_calls *cc, int slot)
{
    return slot < 0 ? cc->under_way == 0 : cc->slot_calls[slot] == 0;
}

void container_calls_on_quiet(struct container_calls *cc, void (*fn)(int slot, void *arg),
                              void *arg)
{
    cc->on_quiet = fn;
    cc->on_quiet_arg = arg;
}

static json_t *container_json(const struct container *c)
{
    bool has_failed = c->last_error[0] != '\0';
    return json_pack("{s:s, s:I, s:i, s:b, s:o, s:o}", "container", ADDR_TEXT(&c->addr), "waiting",
                     (json_int_t)c->waiting, "under_way", c->under_way, "is_silent", c->is_silent,
                     "last_error", jd_text(has_failed ? c->last_error : NULL), "last_error_wall_ms",
                     has_failed ? json_integer(c->last_error_at) : json_null());
}

json_t *container_calls_json(const struct container_calls *cc)
{
    size_t count;
    AUTO_FREE void **sorted = map_sorted(&cc->containers, &count);
    json_t *rows = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(rows, container_json(sorted[i]));
    }
    return rows;
}
