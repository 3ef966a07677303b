/* fake_rconn.h - the simulated twin of rconn.h: connections to scripted Redis, driven by the virtual clock.
 *
 * The test gives one handler that is "all Redis": it gets the address and the words, changes the test's model
 * and returns the answer. Every address works until fake_redis_set says otherwise. State, back-off, deadlines,
 * pipelining and the order of callbacks are those of rconn.c, without jitter and without the connect budget.
 * AUTH is accepted and not shown to the handler. Thread: one. */
#ifndef TESTS_SIM_FAKE_RCONN_H
#define TESTS_SIM_FAKE_RCONN_H

#include "shared/net/rconn.h"

/* Returns the answer, owned (rreply_new_...), or NULL for none. Called when the command reaches the Redis. */
typedef struct rreply *fake_redis_fn(const struct addr *, size_t argc, const char *const *argv,
                                     void *arg);

enum fake_redis_mode {
    FAKE_REDIS_UP,
    FAKE_REDIS_REFUSES,      /* process gone: connections are reset, new ones refused */
    FAKE_REDIS_UNREACHABLE,  /* packets vanish: connects time out, nothing is carried out */
    FAKE_REDIS_MUTE,         /* accepts connections, carries nothing out, never answers */
    FAKE_REDIS_REPLY_LOST,   /* carries out, then the connection is reset before the answer */
    FAKE_REDIS_REPLY_SILENT, /* carries out, the answer vanishes: the client sees a time-out */
};

#define FAKE_REDIS_RULES_MAX  4096
#define FAKE_REDIS_LATENCY_MS 2 /* there and back, when nothing else is set */

/* Forgets handler, modes, latencies and counts. No connection may exist. */
void fake_redis_reset(void);
void fake_redis_handle(fake_redis_fn *, void *arg);
/* How 'addr' behaves towards the connections of 'client', NULL: of all loops without a rule of their own. */
void fake_redis_set(const struct loop *client, const struct addr *addr, enum fake_redis_mode mode);
/* How 'client' sees it while the process itself is up; UP forgets it. Counts after the rules above. */
void fake_redis_set_view(const struct loop *client, const struct addr *addr,
                         enum fake_redis_mode mode);
void fake_redis_clear_views(void); /* of all clients */
void fake_redis_set_latency(const struct addr *addr, int64_t round_trip_ms);
int64_t fake_redis_commands_count(void); /* that reached the handler */

/* Commands travel on this loop (that of the world), so that what was sent still arrives when its sender froze, crashed
 * or closed the connection. NULL: on the sender's own loop, and closing stops them. */
void fake_redis_set_network(struct loop *);
/* Called for each command when it is sent. NULL: none. */
typedef void fake_redis_sent_fn(const struct loop *client, const struct addr *, size_t argc,
                                const char *const *argv, void *arg);
void fake_redis_watch(fake_redis_sent_fn *, void *arg);
/* Inside the handler: where this command comes from. 'client' may be dead: compare it only. */
struct fake_redis_origin {
    const struct loop *client;
    mono_ms sent_at;
};
const struct fake_redis_origin *fake_redis_origin(void);

#endif
