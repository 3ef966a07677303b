/* redis_party.c - see redis_party.h.
 *
 * An order is WAITING until its Redis is connected and the pipeline has room, SENT until its answer is there, ANSWERED then.
 * The round is over when none is left, or at its deadline; either way the timer tells the owner, so that nothing runs inside of a
 * connection's callback. A token (the number of the round) lets answers to an earlier round fall away. */
#include "shared/switch/redis_party.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/thread.h"

#include "shared/base/banned.h"

#define COMMAND_MAX_MS 60000 /* of rconn.h */
#define WORDS_MAX      ARRAY_LEN(((struct party_order *)NULL)->words)
#define SHIFT_ORDER    16 /* token: number of the round, then the order */
#define ORDER_NAME     UINT64_C(0xffff)

enum order_state { ORDER_WAITING, ORDER_SENT, ORDER_ANSWERED };

struct order {
    size_t member;
    char *words[WORDS_MAX];
    size_t count;
    enum order_state state;
    enum rconn_why why;
    struct rreply *reply;
};

struct member {
    struct redis_party *party;
    struct addr addr;
    struct rconn *conn;
    bool has_failed; /* the last connection did not come about, or is lost */
    bool is_named;   /* on this connection */
};

struct redis_party {
    struct loop *loop;
    char *client_name;
    struct member *members;
    size_t member_count;
    struct loop_timer timer; /* deadline of the round, or its end */
    bool is_dead;
    /* the round under way */
    uint64_t round;
    struct order *orders; /* NULL: none is under way */
    size_t order_count;
    size_t answered_count;
    mono_ms started;
    mono_ms deadline;
    /* once it has answered, the others are not waited for much longer; member_count: nobody */
    size_t leader;
    party_done_fn *done;
    void *arg;
};

/* ---- replies outlive their connection's callback ---- */

static struct rreply *copy_reply(const struct rreply *reply)
{
    size_t length = 0;
    const char *text = rreply_text(reply, &length);
    if (rreply_type(reply) == RREPLY_INTEGER) {
        return rreply_new_integer(rreply_integer(reply));
    }
    if (rreply_type(reply) != RREPLY_ARRAY) {
        return rreply_new_text(rreply_type(reply), text, length);
    }
    size_t count = rreply_count(reply);
    AUTO_FREE struct rreply **elements = xcalloc(count + 1, sizeof(struct rreply *));
    for (size_t i = 0; i < count; i++) {
        elements[i] = copy_reply(rreply_at(reply, i));
    }
    return rreply_new_array(elements, count);
}

static void free_orders(struct order *orders, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t w = 0; w < orders[i].count; w++) {
            free(orders[i].words[w]);
        }
        rreply_free(orders[i].reply);
    }
    free(orders);
}

/* ---- one order ---- */

/* The leader has answered: the others get as long again. */
static void hurry(struct redis_party *p)
{
    mono_ms now = loop_now(p->loop);
    int64_t grace = now - p->started > PARTY_GRACE_MS ? now - p->started : PARTY_GRACE_MS;
    int64_t left = p->deadline - now;
    for (size_t i = 0; i < p->order_count; i++) {
        if (p->orders[i].member == p->leader && p->orders[i].state != ORDER_ANSWERED) {
            return;
        }
    }
    p->leader = p->member_count;
    if (grace < left) {
        loop_timer_start(&p->timer, grace);
    }
}

static void answer(struct redis_party *p, struct order *o, struct rreply *reply /* taken */,
                   enum rconn_why why)
{
    o->state = ORDER_ANSWERED;
    o->reply = reply;
    o->why = why;
    if (++p->answered_count == p->order_count) {
        loop_timer_start(&p->timer, 0);
    } else if (reply && o->member == p->leader) {
        hurry(p);
    }
}

static void send_waiting(struct redis_party *p, size_t member);

static void reply_arrived(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    struct member *m = arg;
    struct redis_party *p = m->party;
    uint64_t number = token & ORDER_NAME;
    if (p->is_dead || token >> SHIFT_ORDER != p->round || !p->orders || number == ORDER_NAME) {
        return;
    }
    answer(p, &p->orders[number], reply ? copy_reply(reply) : NULL, why);
    if (reply) {
        send_waiting(p, (size_t)(m - p->members));
    }
}

static int64_t time_left(const struct redis_party *p)
{
    int64_t left = p->deadline - loop_now(p->loop);
    left = left < 1 ? 1 : left;
    return left > COMMAND_MAX_MS ? COMMAND_MAX_MS : left;
}

/* What is refused (CLIENT does not exist, or an ACL forbids it) is only a name. */
static void send_name(struct redis_party *p, struct member *m)
{
    const char *words[] = { "CLIENT", "SETNAME", p->client_name };
    uint64_t token = p->round << SHIFT_ORDER | ORDER_NAME;
    m->is_named = rconn_send(m->conn, ARRAY_LEN(words), words, NULL, time_left(p), reply_arrived, m,
                             token, NULL) == 0;
}

static bool send_order(struct redis_party *p, size_t number)
{
    struct order *o = &p->orders[number];
    struct member *m = &p->members[o->member];
    const char *words[WORDS_MAX];
    for (size_t i = 0; i < o->count; i++) {
        words[i] = o->words[i];
    }
    if (rconn_send(m->conn, o->count, words, NULL, time_left(p), reply_arrived, m,
                   p->round << SHIFT_ORDER | number, NULL) != 0) {
        return false;
    }
    o->state = ORDER_SENT;
    return true;
}

/* In order, as far as the pipeline takes them; the rest goes when answers have come. */
static void send_waiting(struct redis_party *p, size_t member)
{
    struct member *m = &p->members[member];
    if (!p->orders || rconn_state(m->conn) != RCONN_READY) {
        return;
    }
    rconn_cork(m->conn);
    bool goes_on = true;
    for (size_t i = 0; goes_on && i < p->order_count; i++) {
        struct order *o = &p->orders[i];
        if (o->member != member || o->state != ORDER_WAITING) {
            continue;
        }
        if (p->client_name && !m->is_named) {
            send_name(p, m);
        }
        goes_on = send_order(p, i);
    }
    rconn_uncork(m->conn);
}

static void give_up_waiting(struct redis_party *p, size_t member)
{
    for (size_t i = 0; p->orders && i < p->order_count; i++) {
        if (p->orders[i].member == member && p->orders[i].state == ORDER_WAITING) {
            answer(p, &p->orders[i], NULL, RCONN_NOT_CONNECTED);
        }
    }
}

static void state_changed(struct rconn *conn, enum rconn_state state, void *arg)
{
    struct member *m = arg;
    struct redis_party *p = m->party;
    (void)conn;
    if (p->is_dead || state == RCONN_CONNECTING) {
        return;
    }
    m->is_named = false;
    m->has_failed = state == RCONN_WAITING;
    if (m->has_failed) {
        give_up_waiting(p, (size_t)(m - p->members));
    } else {
        send_waiting(p, (size_t)(m - p->members));
    }
}

/* ---- the round ---- */

/* The owner may start the next round or free the party: what it is told is no longer the party's. */
static void timer_fired(struct loop_timer *t)
{
    struct redis_party *p = CONTAINER_OF(t, struct redis_party, timer);
    size_t count = p->order_count;
    struct order *orders = TAKE(p->orders);
    struct party_answer answers[PARTY_ORDERS_MAX];
    for (size_t i = 0; i < count; i++) {
        enum rconn_why late = orders[i].state == ORDER_SENT ? RCONN_TIMED_OUT : RCONN_NOT_CONNECTED;
        answers[i] =
            (struct party_answer){ orders[i].member, orders[i].reply,
                                   orders[i].state == ORDER_ANSWERED ? orders[i].why : late };
    }
    p->done(answers, count, p->arg);
    free_orders(orders, count);
}

static struct order order_of(const struct party_order *order)
{
    struct order o = { .member = order->member, .count = order->count };
    for (size_t i = 0; i < order->count; i++) {
        o.words[i] = xstrdup(order->words[i]);
    }
    return o;
}

void redis_party_round(struct redis_party *p, const struct party_order *orders, size_t count,
                       mono_ms deadline, party_done_fn *done, void *arg)
{
    XP_ON_LOOP();
    xp_check(!p->orders && !loop_timer_is_running(&p->timer) && done);
    xp_check(count <= PARTY_ORDERS_MAX);
    for (size_t i = 0; i < count; i++) {
        xp_check(orders[i].member < p->member_count && orders[i].count > 0 &&
                 orders[i].count <= WORDS_MAX);
        struct member *m = &p->members[orders[i].member];
        if (m->has_failed && rconn_state(m->conn) == RCONN_WAITING) {
            m->has_failed = false; /* one more try a round, without back-off */
            rconn_reconnect(m->conn);
        }
    }
    p->round++;
    p->started = loop_now(p->loop);
    p->deadline = deadline;
    p->leader = p->member_count;
    p->done = done;
    p->arg = arg;
    p->order_count = count;
    p->answered_count = 0;
    p->orders = xcalloc(count + 1, sizeof(struct order));
    for (size_t i = 0; i < count; i++) {
        p->orders[i] = order_of(&orders[i]);
    }
    int64_t left = deadline - p->started;
    loop_timer_start(&p->timer, count > 0 && left > 0 ? left : 0);
    for (size_t i = 0; i < count; i++) {
        send_waiting(p, orders[i].member);
    }
}

bool redis_party_is_of(const struct redis_party *p, const struct addr *addrs, size_t count)
{
    bool is_same = p->member_count == count;
    for (size_t i = 0; is_same && i < count; i++) {
        is_same = addr_eq(&p->members[i].addr, &addrs[i]);
    }
    return is_same;
}

bool redis_party_is_idle(const struct redis_party *p)
{
    return !p->orders && !loop_timer_is_running(&p->timer);
}

void redis_party_follow(struct redis_party *p, size_t member)
{
    xp_check(p->orders && member < p->member_count);
    p->leader = member;
}

const char *redis_party_error(const struct redis_party *p, size_t member)
{
    return rconn_last_error(p->members[member].conn);
}

/* ---- life ---- */

struct redis_party *redis_party_new(const struct redis_party_options *options)
{
    XP_ON_LOOP();
    xp_check(options->count <= PARTY_MAX && options->connect_timeout_ms > 0);
    struct redis_party *p = xcalloc(1, sizeof(*p));
    p->loop = options->loop;
    p->client_name = xstrdup(options->client_name);
    p->members = xcalloc(options->count + 1, sizeof(struct member));
    p->member_count = options->count;
    loop_timer_init(&p->timer, p->loop, timer_fired);
    for (size_t i = 0; i < options->count; i++) {
        struct rconn_options conn = {
            .addr = options->addrs[i],
            .user = options->user,
            .password = options->password,
            .connect_timeout_ms = options->connect_timeout_ms,
        };
        p->members[i].party = p;
        p->members[i].addr = options->addrs[i];
        p->members[i].conn = rconn_new(p->loop, &conn, state_changed, &p->members[i]);
    }
    return p;
}

void redis_party_free(struct redis_party *p)
{
    if (!p) {
        return;
    }
    XP_ON_LOOP();
    p->is_dead = true;
    loop_timer_stop(&p->timer);
    for (size_t i = 0; i < p->member_count; i++) {
        rconn_free(p->members[i].conn);
    }
    if (p->orders) {
        free_orders(p->orders, p->order_count);
    }
    free(p->members);
    free(p->client_name);
    free(p);
}
