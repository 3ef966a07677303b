/* rconn.c - see rconn.h.
 *
 *   WAITING --timer--> (turn of the connect budget) --> CONNECTING --writable, AUTH ok--> READY
 *      ^------------------- close_connection(): refused, silent, lost, garbage, asked to ---------'
 *
 * One timer serves all states: the next try, the end of connecting, the earliest deadline of a command. It is
 * never moved later, only re-armed when it fires too early, so a poll costs at most one timer start.
 * A command is written at once unless corked, so that a poll needs no write event; what the socket does not take waits
 * for one.
 * Nobody's callback runs inside rconn_send: a failed write is noticed at the next event of the loop.
 * A parser is held only while a reply is incomplete; idle connections share a spare one. */
#include "shared/net/rconn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/log.h"
#include "shared/base/metrics.h"
#include "shared/base/random.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"
#include "shared/net/resp.h"
#include "shared/net/tcp.h"

#include "shared/base/banned.h"

#define CONNECTS_MAX       200
#define BACKOFF_FIRST_MS   1000
#define BACKOFF_MAX_MS     8000
#define CONNECT_DEFAULT_MS 1000
#define TIMEOUT_MAX_MS     60000
#define READ_BYTES         16384
#define OUT_MAX_BYTES      (1024 * 1024)
/* a poll of two commands; larger buffers are given back when all is sent */
#define OUT_KEPT_BYTES  64
#define ERROR_MAX_BYTES 160
#define RING_FIRST      4

static struct metric connects_ok =
    METRIC_COUNTER_INIT("xpipe_redis_connects_total", "result=\"ok\"",
                        "Connections to Redis that were tried, by how that ended.");
static struct metric connects_failed =
    METRIC_COUNTER_INIT("xpipe_redis_connects_total", "result=\"failed\"",
                        "Connections to Redis that were tried, by how that ended.");
static struct metric connects_under_way = METRIC_GAUGE_INIT(
    "xpipe_redis_connects_under_way", "", "Connections to Redis that are being established.");

struct pending {
    rconn_reply_fn *fn; /* NULL: our own AUTH */
    void *arg;
    uint64_t token;
    mono_ms deadline;
};

/* What the connections of one loop share (loop_shared). A daemon has one loop, so this is the process' budget. */
struct rconn_shared {
    int under_way;
    struct list queue;      /* rconn.turn_link: wait for their turn to connect */
    struct loop_timer pump; /* starts connects outside of anybody's callback */
    struct resp_reader *spare;
    uint64_t random_state;
};

struct rconn {
    /* config */
    struct loop *loop;
    struct rconn_shared *shared;
    struct addr addr;
    char *user;
    char *password;
    int64_t connect_timeout_ms;
    rconn_state_fn *state_fn;
    void *state_arg;
    /* state */
    enum rconn_state state;
    enum rconn_state told; /* what state_fn knows */
    int fd;                /* -1 while WAITING */
    struct loop_io io;
    struct loop_timer timer;
    mono_ms timer_at; /* while it runs */
    struct list turn_link;
    bool has_turn; /* counted in shared->under_way */
    bool is_connected;
    bool is_write_blocked;
    bool is_corked;
    int64_t first_retry_ms;
    int64_t backoff_ms;
    mono_ms ready_since;
    uint64_t generation; /* of the socket: tells a callback's caller that it was replaced */
    char *error;         /* why the last one ended; owned; NULL: it did not */
    /* bytes */
    struct resp_reader *reader; /* NULL: no reply has begun */
    struct str out;
    size_t out_sent;
    /* commands waiting for their answer, oldest first: a ring that grows up to RCONN_PIPELINE_MAX + AUTH */
    struct pending *ring;
    size_t ring_cap;
    size_t ring_head;
    size_t ring_count;
    /* being inside of callbacks */
    int depth;
    bool is_dead; /* freed by its owner; the memory goes when depth is 0 */
};

const char *rconn_why_text(enum rconn_why why)
{
    static const char *const texts[] = {
        [RCONN_ANSWERED] = "answered",           [RCONN_NOT_CONNECTED] = "not connected",
        [RCONN_TIMED_OUT] = "no answer in time", [RCONN_LOST] = "connection lost",
        [RCONN_BAD_REPLY] = "bad reply",         [RCONN_CLOSED_BY_US] = "closed by us",
    };
    return (size_t)why < ARRAY_LEN(texts) ? texts[why] : "unknown";
}

/* ---- guard: callbacks may free the connection ---- */

static void enter(struct rconn *c)
{
    c->depth++;
}

static void release_memory(struct rconn *c)
{
    str_done(&c->out);
    free(c->error);
    free(c->ring);
    free(c->user);
    free(c->password);
    free(c);
}

static void leave(struct rconn *c)
{
    if (--c->depth == 0 && c->is_dead) {
        release_memory(c);
    }
}

/* Inside enter/leave only. */
static void tell_state(struct rconn *c)
{
    if (c->is_dead || c->told == c->state) {
        return;
    }
    c->told = c->state;
    if (c->state_fn) {
        c->state_fn(c, c->state, c->state_arg);
    }
}

/* ---- ring ---- */

static struct pending *ring_at(struct rconn *c, size_t index)
{
    return &c->ring[(c->ring_head + index) & (c->ring_cap - 1)];
}

static void ring_grow(struct rconn *c)
{
    size_t cap = c->ring_cap ? c->ring_cap * 2 : RING_FIRST;
    struct pending *bigger = xcalloc(cap, sizeof(*bigger));
    for (size_t i = 0; i < c->ring_count; i++) {
        bigger[i] = *ring_at(c, i);
    }
    free(c->ring);
    c->ring = bigger;
    c->ring_cap = cap;
    c->ring_head = 0;
}

static void ring_push(struct rconn *c, struct pending p)
{
    if (c->ring_count == c->ring_cap) {
        ring_grow(c);
    }
    c->ring_count++;
    *ring_at(c, c->ring_count - 1) = p;
}

static struct pending ring_pop(struct rconn *c)
{
    struct pending p = *ring_at(c, 0);
    c->ring_head = (c->ring_head + 1) & (c->ring_cap - 1);
    c->ring_count--;
    return p;
}

static mono_ms earliest_deadline(struct rconn *c)
{
    mono_ms earliest = MONO_FOREVER;
    for (size_t i = 0; i < c->ring_count; i++) {
        mono_ms deadline = ring_at(c, i)->deadline;
        earliest = deadline < earliest ? deadline : earliest;
    }
    return earliest;
}

/* Inside enter/leave only. A callback may free or reconnect, which answers the rest itself. */
static void answer_all(struct rconn *c, enum rconn_why why)
{
    while (c->ring_count > 0) {
        struct pending p = ring_pop(c);
        if (p.fn) {
            p.fn(NULL, why, p.arg, p.token);
        }
    }
}

/* ---- timer ---- */

static void timer_set(struct rconn *c, mono_ms at)
{
    mono_ms now = loop_now(c->loop);
    c->timer_at = at;
    loop_timer_start(&c->timer, at > now ? at - now : 0);
}

static void timer_not_later_than(struct rconn *c, mono_ms at)
{
    if (!loop_timer_is_running(&c->timer) || at < c->timer_at) {
        timer_set(c, at);
    }
}

/* ---- shared by the connections of one loop ---- */

/* xorshift64: spreads retries; nothing secret depends on it. */
static uint64_t next_random(struct rconn_shared *s)
{
    s->random_state ^= s->random_state << 13;
    s->random_state ^= s->random_state >> 7;
    s->random_state ^= s->random_state << 17;
    return s->random_state;
}

static int64_t with_jitter(struct rconn_shared *s, int64_t ms)
{
    int64_t tenth = ms / 10;
    return ms - tenth + (int64_t)(next_random(s) % (uint64_t)(2 * tenth + 1));
}

static void start_connect(struct rconn *c);

static void pump_fired(struct loop_timer *t)
{
    struct rconn_shared *s = CONTAINER_OF(t, struct rconn_shared, pump);
    for (int started = 0; started < CONNECTS_MAX && s->under_way < CONNECTS_MAX; started++) {
        struct list *link = list_pop_front(&s->queue);
        if (!link) {
            return;
        }
        start_connect(LIST_ENTRY(link, struct rconn, turn_link));
    }
    if (s->under_way < CONNECTS_MAX && !list_is_empty(&s->queue)) {
        loop_timer_start(&s->pump, 0);
    }
}

static void *shared_make(struct loop *l)
{
    struct rconn_shared *s = xcalloc(1, sizeof(*s));
    list_init(&s->queue);
    loop_timer_init(&s->pump, l, pump_fired);
    s->random_state = random_u64() | 1;
    return s;
}

static void shared_free(void *object)
{
    struct rconn_shared *s = object;
    loop_timer_stop(&s->pump);
    resp_reader_free(s->spare);
    free(s);
}

static const struct loop_shared_type shared_type = { shared_make, shared_free };

static void request_turn(struct rconn *c)
{
    struct rconn_shared *s = c->shared;
    list_push_back(&s->queue, &c->turn_link);
    if (s->under_way < CONNECTS_MAX && !loop_timer_is_running(&s->pump)) {
        loop_timer_start(&s->pump, 0);
    }
}

static void give_turn_back(struct rconn *c)
{
    struct rconn_shared *s = c->shared;
    list_remove(&c->turn_link);
    if (!c->has_turn) {
        return;
    }
    c->has_turn = false;
    s->under_way--;
    metric_set(&connects_under_way, s->under_way);
    if (!list_is_empty(&s->queue) && !loop_timer_is_running(&s->pump)) {
        loop_timer_start(&s->pump, 0);
    }
}

static void reader_take(struct rconn *c)
{
    if (!c->reader) {
        c->reader = TAKE(c->shared->spare);
    }
    if (!c->reader) {
        c->reader = resp_reader_new(RCONN_REPLY_MAX_BYTES);
    }
}

static void reader_give_back(struct rconn *c)
{
    if (c->reader && !c->shared->spare && resp_reader_is_idle(c->reader)) {
        c->shared->spare = TAKE(c->reader);
        return;
    }
    resp_reader_free(TAKE(c->reader));
}

/* ---- closing ---- */

static void set_error(struct rconn *c, const char *text)
{
    free(c->error);
    c->error = text ? xstrndup(text, strnlen(text, ERROR_MAX_BYTES)) : NULL;
}

static void close_socket(struct rconn *c)
{
    if (c->fd >= 0) {
        loop_io_stop(&c->io);
        (void)close(c->fd);
    }
    c->fd = -1;
    c->generation++;
    c->is_connected = false;
    c->is_write_blocked = false;
    c->is_corked = false;
    c->ready_since = MONO_NEVER;
    resp_reader_free(TAKE(c->reader));
    str_clear(&c->out);
    c->out_sent = 0;
    loop_timer_stop(&c->timer);
    give_turn_back(c);
}

/* Inside enter/leave only. First the new state, then the callbacks: they see and may change it. */
static void close_connection(struct rconn *c, enum rconn_why why, int64_t retry_ms)
{
    close_socket(c);
    c->state = RCONN_WAITING;
    timer_set(c, loop_now(c->loop) + retry_ms);
    answer_all(c, why);
    tell_state(c);
}

/* Inside enter/leave only. The connection failed by itself. */
static void fail(struct rconn *c, enum rconn_why why, const char *text)
{
    set_error(c, text);
    if (c->state == RCONN_CONNECTING) {
        metric_add(&connects_failed, 1);
    }
    log_debug("rconn.closed", "addr", ADDR_TEXT(&c->addr), "why", rconn_why_text(why), "error",
              c->error);
    int64_t retry_ms = with_jitter(c->shared, c->backoff_ms);
    c->backoff_ms = c->backoff_ms * 2 < BACKOFF_MAX_MS ? c->backoff_ms * 2 : BACKOFF_MAX_MS;
    close_connection(c, why, retry_ms);
}

static void fail_errno(struct rconn *c, const char *what)
{
    char reason[128];
    char text[160];
    const char *message = strerror_r(errno, reason, sizeof(reason));
    (void)snprintf(text, sizeof(text), "%s: %s", what, message);
    fail(c, RCONN_LOST, text);
}

/* ---- writing ---- */

/* There are tens of thousands of connections: what a poll does not need is given back. */
static void out_clear(struct rconn *c)
{
    if (c->out.cap > OUT_KEPT_BYTES) {
        str_done(&c->out);
    }
    str_clear(&c->out);
    c->out_sent = 0;
}

/* False when the socket failed (errno tells). */
static bool flush_out(struct rconn *c)
{
    while (c->out_sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.buf + c->out_sent, c->out.len - c->out_sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            c->is_write_blocked = errno == EAGAIN;
            return c->is_write_blocked;
        }
        c->out_sent += (size_t)n;
    }
    out_clear(c);
    c->is_write_blocked = false;
    return true;
}

/* A failed write is not reported here but by the write event that the failed socket raises. */
static void write_now(struct rconn *c)
{
    if (!c->is_write_blocked && !flush_out(c)) {
        c->is_write_blocked = true;
    }
    loop_io_want(&c->io, LOOP_READ | (c->is_write_blocked ? LOOP_WRITE : 0));
}

static void queue_command(struct rconn *c, size_t argc, const char *const *argv,
                          const size_t *lengths, struct pending p)
{
    resp_command_add(&c->out, argc, argv, lengths);
    ring_push(c, p);
    timer_not_later_than(c, p.deadline);
    if (!c->is_corked) {
        write_now(c);
    }
}

/* ---- reading ---- */

static void become_ready(struct rconn *c)
{
    c->state = RCONN_READY;
    c->ready_since = loop_now(c->loop);
    set_error(c, NULL);
    loop_timer_stop(&c->timer);
    give_turn_back(c);
    metric_add(&connects_ok, 1);
    tell_state(c);
}

static void auth_answered(struct rconn *c, const struct rreply *reply)
{
    if (!rreply_is_error(reply)) {
        become_ready(c);
        return;
    }
    char text[ERROR_MAX_BYTES];
    (void)snprintf(text, sizeof(text), "AUTH was refused: %s", rreply_text(reply, NULL));
    fail(c, RCONN_NOT_CONNECTED, text);
}

/* A server says "max number of clients reached" like this, and a confused one answers twice. */
static void unasked_reply(struct rconn *c, const struct rreply *reply)
{
    bool is_error = rreply_type(reply) == RREPLY_ERROR;
    fail(c, RCONN_BAD_REPLY,
         is_error ? rreply_text(reply, NULL) : "an answer came that nobody asked for");
}

static void reply_arrived(struct rconn *c, const struct rreply *reply)
{
    if (c->ring_count == 0) {
        unasked_reply(c, reply);
        return;
    }
    struct pending p = ring_pop(c);
    if (!p.fn) {
        auth_answered(c, reply);
        return;
    }
    c->backoff_ms = c->first_retry_ms;
    p.fn(reply, RCONN_ANSWERED, p.arg, p.token);
}

/* Inside enter/leave only. */
static void parse_replies(struct rconn *c)
{
    uint64_t generation = c->generation;
    struct rreply *reply = NULL;
    struct xp_err err;
    int rc;
    while ((rc = resp_reader_next(c->reader, &reply, &err)) == RESP_REPLY) {
        reply_arrived(c, reply);
        rreply_free(reply);
        if (c->generation != generation) {
            return; /* closed by the callback or by the reply itself */
        }
    }
    if (rc < 0) {
        fail(c, RCONN_BAD_REPLY, err.msg);
    } else if (resp_reader_is_idle(c->reader)) {
        reader_give_back(c);
    }
}

/* Inside enter/leave only. Reads once: the rest is readable in the next turn, after the other connections. */
static void read_some(struct rconn *c)
{
    char bytes[READ_BYTES];
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
    if (n > 0) {
        reader_take(c);
        resp_reader_feed(c->reader, bytes, (size_t)n);
        parse_replies(c);
    } else if (n == 0) {
        fail(c, RCONN_LOST, "the server closed the connection");
    } else if (errno != EAGAIN && errno != EINTR) {
        fail_errno(c, "cannot read");
    }
}

/* ---- connecting ---- */

static void send_auth(struct rconn *c)
{
    const char *words[3] = { "AUTH", c->user, c->password };
    struct pending p = { .deadline = c->timer_at };
    if (text_is_empty(c->user)) {
        words[1] = c->password;
        queue_command(c, 2, words, NULL, p);
    } else {
        queue_command(c, 3, words, NULL, p);
    }
}

static void connect_finished(struct rconn *c)
{
    struct xp_err err;
    if (tcp_connect_result(c->fd, &err) != 0) {
        fail(c, RCONN_NOT_CONNECTED, err.msg);
        return;
    }
    c->is_connected = true;
    loop_io_want(&c->io, LOOP_READ);
    if (text_is_empty(c->password)) {
        become_ready(c);
    } else {
        send_auth(c);
    }
}

static void io_ready(struct loop_io *io, int events)
{
    struct rconn *c = CONTAINER_OF(io, struct rconn, io);
    uint64_t generation = c->generation;
    enter(c);
    if (!c->is_connected) {
        connect_finished(c);
        leave(c);
        return;
    }
    if (events & LOOP_READ) {
        read_some(c);
    }
    if (c->generation == generation && (events & LOOP_WRITE)) {
        c->is_write_blocked = false;
        if (flush_out(c)) {
            loop_io_want(&c->io, LOOP_READ | (c->is_write_blocked ? LOOP_WRITE : 0));
        } else {
            fail_errno(c, "cannot write");
        }
    }
    leave(c);
}

static void start_connect(struct rconn *c)
{
    struct xp_err err;
    enter(c);
    loop_timer_stop(&c->timer);
    c->has_turn = true;
    c->shared->under_way++;
    metric_set(&connects_under_way, c->shared->under_way);
    c->state = RCONN_CONNECTING;
    tell_state(c);
    if (c->is_dead || c->state != RCONN_CONNECTING) {
        leave(c);
        return;
    }
    if (tcp_connect_start(&c->addr, &c->fd, &err) != 0) {
        c->fd = -1;
        fail(c, RCONN_NOT_CONNECTED, err.msg);
        leave(c);
        return;
    }
    loop_io_init(&c->io, c->loop, c->fd, io_ready);
    loop_io_want(&c->io, LOOP_WRITE);
    timer_set(c, loop_now(c->loop) + c->connect_timeout_ms);
    leave(c);
}

/* ---- the timer ---- */

static void connect_timed_out(struct rconn *c)
{
    char text[96];
    (void)snprintf(text, sizeof(text), "no %s within %lld ms",
                   c->is_connected ? "answer to AUTH" : "connection",
                   (long long)c->connect_timeout_ms);
    fail(c, RCONN_NOT_CONNECTED, text);
}

/* After a pause of the process the answers may be in the socket while their deadlines have passed: look first. */
static void check_deadlines(struct rconn *c)
{
    uint64_t generation = c->generation;
    mono_ms now = loop_now(c->loop);
    if (earliest_deadline(c) <= now) {
        read_some(c);
    }
    if (c->generation != generation) {
        return;
    }
    mono_ms earliest = earliest_deadline(c);
    if (earliest <= now) {
        fail(c, RCONN_TIMED_OUT, "no answer in time");
    } else if (earliest != MONO_FOREVER) {
        timer_not_later_than(c, earliest);
    }
}

static void timer_fired(struct loop_timer *t)
{
    struct rconn *c = CONTAINER_OF(t, struct rconn, timer);
    enter(c);
    switch (c->state) {
    case RCONN_WAITING:
        request_turn(c);
        break;
    case RCONN_CONNECTING:
        connect_timed_out(c);
        break;
    case RCONN_READY:
        check_deadlines(c);
        break;
    }
    leave(c);
}

/* ---- public ---- */

struct rconn *rconn_new(struct loop *l, const struct rconn_options *options,
                        rconn_state_fn *state_fn, void *arg)
{
    XP_ON_LOOP();
    struct rconn *c = xcalloc(1, sizeof(*c));
    c->loop = l;
    c->shared = loop_shared(l, &shared_type);
    c->addr = options->addr;
    c->user = xstrdup(options->user);
    c->password = xstrdup(options->password);
    c->connect_timeout_ms =
        options->connect_timeout_ms > 0 ? options->connect_timeout_ms : CONNECT_DEFAULT_MS;
    c->state_fn = state_fn;
    c->state_arg = arg;
    c->state = RCONN_WAITING;
    c->told = RCONN_WAITING;
    c->fd = -1;
    c->first_retry_ms = options->first_retry_ms > 0 ? options->first_retry_ms : BACKOFF_FIRST_MS;
    c->backoff_ms = c->first_retry_ms;
    c->ready_since = MONO_NEVER;
    c->out = STR_INIT(OUT_MAX_BYTES);
    list_init(&c->turn_link);
    loop_timer_init(&c->timer, l, timer_fired);
    timer_set(c, loop_now(l) + options->first_delay_ms);
    return c;
}

void rconn_free(struct rconn *c)
{
    if (!c || c->is_dead) {
        return;
    }
    XP_ON_LOOP();
    enter(c);
    c->is_dead = true;
    c->state = RCONN_WAITING;
    close_socket(c);
    answer_all(c, RCONN_CLOSED_BY_US);
    leave(c);
}

static int fail_not_ready(const struct rconn *c, struct xp_err *err)
{
    return xp_fail(err, XP_UNAVAILABLE, "redis %s is not connected%s%s", ADDR_TEXT(&c->addr),
                   c->error ? ": " : "", rconn_last_error(c));
}

int rconn_send(struct rconn *c, size_t argc, const char *const *argv, const size_t *lengths,
               int64_t timeout_ms, rconn_reply_fn *fn, void *arg, uint64_t token,
               struct xp_err *err)
{
    XP_ON_LOOP();
    xp_check(argc > 0 && fn && timeout_ms >= 1 && timeout_ms <= TIMEOUT_MAX_MS);
    if (c->is_dead || c->state != RCONN_READY) {
        return fail_not_ready(c, err);
    }
    if (c->ring_count >= RCONN_PIPELINE_MAX) {
        return xp_fail(err, XP_TOO_MANY, "redis %s has %d commands waiting already",
                       ADDR_TEXT(&c->addr), RCONN_PIPELINE_MAX);
    }
    if (resp_command_size(argc, argv, lengths) > OUT_MAX_BYTES - c->out.len) {
        return xp_fail(err, XP_TOO_MANY, "redis %s has %zu unsent bytes, the command does not fit",
                       ADDR_TEXT(&c->addr), c->out.len);
    }
    struct pending p = { fn, arg, token, loop_now(c->loop) + timeout_ms };
    queue_command(c, argc, argv, lengths, p);
    return 0;
}

void rconn_cork(struct rconn *c)
{
    XP_ON_LOOP();
    c->is_corked = true;
}

void rconn_uncork(struct rconn *c)
{
    XP_ON_LOOP();
    bool was_corked = c->is_corked;
    c->is_corked = false;
    if (was_corked && c->state == RCONN_READY && c->out.len > c->out_sent) {
        write_now(c);
    }
}

enum rconn_state rconn_state(const struct rconn *c)
{
    return c->state;
}

const char *rconn_last_error(const struct rconn *c)
{
    return c->error ? c->error : "";
}

mono_ms rconn_ready_since(const struct rconn *c)
{
    return c->ready_since;
}

void rconn_reconnect(struct rconn *c)
{
    XP_ON_LOOP();
    if (c->is_dead) {
        return;
    }
    enter(c);
    close_connection(c, RCONN_CLOSED_BY_US, 0);
    leave(c);
}
