/* container.h - the keeper container stand-in: a process that keeps keepers as child processes and speaks the REST of a real
 * container (contract: reference/proxy-and-keeper.md 4.6).
 *
 * One loop, one HTTP thread, one worker. The worker owns the table of keepers, so calls are served one after the other. */
#ifndef TESTS_FAKES_KEEPER_CONTAINER_CONTAINER_H
#define TESTS_FAKES_KEEPER_CONTAINER_CONTAINER_H

#include "shared/net/http_server.h"
#include "tests/fakes/keeper_container/keeper_table.h"

/* What a test wants to go wrong: PUT /standin/faults {"delay_ms":0,"answer":"garbage"}. Owner: the worker. */
struct container_faults {
    int64_t delay_ms; /* before every answer of /keepers */
    enum { ANSWER_RIGHT, ANSWER_ERROR, ANSWER_GARBAGE } answer;
};

struct container {
    struct loop *loop;
    struct worker_pool *pool;
    struct http_server *http;
    struct keeper_table *table;
    const char *ip;
    const char *dir;
    struct container_faults faults;
    struct job ending;
};

extern const struct http_route container_routes[];
/* Errors that are none of a keeper: 400 or 500 with {"message":..} and no header. */
void container_on_error(const struct http_req *, const struct http_route *, const struct xp_err *,
                        struct http_resp *);

#endif
