/* bare_poll.c - the yardstick of bench-poll: hiredis' own asynchronous contexts on libev and nothing else.
 *
 * Usage: bare_poll NET PORT COUNT PERIOD_MS. One connection to each instance of the farm; ROLE and CRDT.INFO
 * replication pipelined every period, first ones spread over it; a reply is walked line by line, as whoever wants to
 * know anything of it must. No time limits, no reconnects, nothing kept: what a metaserver adds costs extra. Runs until
 * it is killed; says "ready" when every instance answered once. */
#include <ev.h>
#include <hiredis/adapters/libev.h>
#include <stdio.h>
#include <string.h>

#include "bench/farm_redis.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

struct bare;

struct poller {
    struct bare *bare;
    size_t number;
    redisAsyncContext *redis;
    struct ev_timer timer;
    bool was_answered;
};

struct bare {
    struct ev_loop *ev;
    int net;
    int port;
    double period_s;
    size_t count;
    size_t answered;
    uint64_t masters;
    uint64_t lines;
    uint64_t links_up;
    struct poller *pollers;
};

static void give_up(const char *what, const char *why)
{
    (void)fprintf(stderr, "bare_poll: %s: %s\n", what, why);
    exit(1);
}

static void role_cb(redisAsyncContext *redis, void *answer, void *arg)
{
    const redisReply *reply = answer;
    struct poller *p = arg;
    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements == 0) {
        give_up("ROLE", redis->errstr ? redis->errstr : "odd answer");
        return;
    }
    p->bare->masters += strcmp(reply->element[0]->str, "master") == 0;
}

static void walk_lines(struct bare *b, const char *at, const char *end)
{
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        const char *colon = memchr(at, ':', (size_t)(stop - at));
        if (colon) {
            b->lines++;
            b->links_up += stop - colon > 3 && memcmp(colon + 1, "up", 2) == 0;
        }
        at = stop + 1;
    }
}

static void info_cb(redisAsyncContext *redis, void *answer, void *arg)
{
    const redisReply *reply = answer;
    struct poller *p = arg;
    if (!reply || reply->type != REDIS_REPLY_STRING) {
        give_up("CRDT.INFO", redis->errstr ? redis->errstr : "odd answer");
        return;
    }
    walk_lines(p->bare, reply->str, reply->str + reply->len);
    if (!p->was_answered) {
        p->was_answered = true;
        if (++p->bare->answered == p->bare->count) {
            (void)puts("ready");
            (void)fflush(stdout);
        }
    }
}

static void poll_cb(struct ev_loop *ev, struct ev_timer *timer, int events)
{
    (void)ev;
    (void)events;
    static const char *role[] = { "ROLE" };
    static const char *info[] = { "CRDT.INFO", "replication" };
    struct poller *p = timer->data;
    if (!p->redis) {
        char host[INET_ADDRSTRLEN];
        farm_host(p->bare->net, p->number, host, sizeof(host));
        p->redis = redisAsyncConnect(host, p->bare->port);
        if (!p->redis || p->redis->err || redisLibevAttach(p->bare->ev, p->redis) != REDIS_OK) {
            give_up(host, p->redis ? p->redis->errstr : "no memory");
        }
    }
    (void)redisAsyncCommandArgv(p->redis, role_cb, p, 1, role, NULL);
    (void)redisAsyncCommandArgv(p->redis, info_cb, p, 2, info, NULL);
}

static void start_pollers(struct bare *b)
{
    b->pollers = xcalloc(b->count, sizeof(*b->pollers));
    for (size_t i = 0; i < b->count; i++) {
        struct poller *p = &b->pollers[i];
        *p = (struct poller){ .bare = b, .number = i };
        double first_s = b->period_s * (double)i / (double)b->count;
        ev_timer_init(&p->timer, poll_cb, first_s, b->period_s);
        p->timer.data = p;
        ev_timer_start(b->ev, &p->timer);
    }
}

static int64_t number(const char *text, int64_t min, int64_t max)
{
    int64_t value = 0;
    if (!text_to_i64(text, strlen(text), min, max, &value)) {
        give_up(text, "not a number in range");
    }
    return value;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        give_up("usage", "bare_poll NET PORT COUNT PERIOD_MS");
    }
    struct bare b = { .ev = ev_loop_new(EVBACKEND_EPOLL),
                      .net = (int)number(argv[1], 1, 255),
                      .port = (int)number(argv[2], 1, 65535),
                      .count = (size_t)number(argv[3], 1, 50000),
                      .period_s = (double)number(argv[4], 10, 60000) / 1000.0 };
    start_pollers(&b);
    (void)ev_run(b.ev, 0);
    return 0;
}
