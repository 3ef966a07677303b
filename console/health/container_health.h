/* container_health.h - do keeper containers answer? GET http://{container}/health must be answered with JSON true.
 *
 * Two uses: one question at once, before a container is added; and a background round over all active containers, so that the
 * automatic choice of keepers skips those that are known to be unhealthy. One failed look is enough for that: where a keeper
 * goes can be chosen anew, a keeper on a dead host cannot. What was not looked at yet counts as healthy. In memory only.
 * Bounded: 'parallel' questions at a time on a client of its own, one round at a time.
 * Owner: loop, but container_health_ask: workers, and container_health_is_unhealthy: any thread. */
#ifndef CONSOLE_HEALTH_CONTAINER_HEALTH_H
#define CONSOLE_HEALTH_CONTAINER_HEALTH_H

#include "console/catalog/catalog.h"
#include "shared/base/addr.h"
#include "shared/net/http_client.h"
#include "shared/net/loop.h"
#include "shared/net/worker.h"

struct container_health;

struct container_health_options { /* all borrowed until container_health_free */
    struct loop *loop;
    struct worker_pool *pool;   /* to read the list */
    struct http_client *client; /* 'parallel' threads, for nothing else: dead hosts hold them */
    struct catalog *catalog;
    int parallel;
};

struct container_health_settings { /* may change at run time */
    int64_t period_ms;             /* from the end of a round to the next */
    int64_t connect_timeout_ms;
    int64_t timeout_ms; /* of one question */
};

/* The first round begins with the loop. */
struct container_health *container_health_new(const struct container_health_options *,
                                              const struct container_health_settings *);
/* For the questions from now on; another period also for the wait that runs. */
void container_health_configure(struct container_health *,
                                const struct container_health_settings *);
void container_health_stop(struct container_health *); /* nothing further is asked */
void container_health_free(struct container_health *); /* after pool and client; NULL is fine */

/* Known to be unhealthy; for keeper_rules. 'arg' is the struct container_health. */
bool container_health_is_unhealthy(void *arg, int64_t container_id);

/* Blocks for at most timeout_ms. XP_INVALID: `Keeper container with ip:<ip>, port:<n> is unhealthy`. */
int container_health_ask(struct container_health *, const struct addr *,
                         struct xp_err *) XP_MUST_CHECK;

#endif
