/* keeper_process.h - one keeper as a child process: redis-server with keeper_module.so, in a folder of its own.
 *
 * The child dies with the thread that started it (PR_SET_PDEATHSIG), so kill -9 of the container takes its keepers along.
 * Its data and log are in the folder; redis.conf is written anew at each start.
 * Limits: a start that does not answer PING in START_LIMIT_MS fails; a stop that takes longer than STOP_LIMIT_MS becomes SIGKILL.
 * Thread: the one worker of the container. */
#ifndef TESTS_FAKES_KEEPER_CONTAINER_KEEPER_PROCESS_H
#define TESTS_FAKES_KEEPER_CONTAINER_KEEPER_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "shared/base/addr.h"
#include "shared/base/err.h"

enum { RUN_ID_LEN = 40 };

struct keeper_launch {
    const char *redis_server; /* program */
    const char *module;       /* absolute path of keeper_module.so */
    const char *dir;          /* absolute; made when it is missing */
    struct addr addr;
    const char *run_id; /* 40 hex; anything else: the one of the folder, or a new one */
    const char *zk_hosts;
    const char *zk_path;
    int64_t zk_session_ms;
};

/* Starts it and waits until it answers. XP_CONFLICT: somebody listens on its address. The error names the log. */
int keeper_process_start(const struct keeper_launch *, pid_t *ret_pid,
                         struct xp_err *) XP_MUST_CHECK;
/* False when it has ended; it is then reaped, and *pid is 0. */
bool keeper_process_is_running(pid_t *pid);
/* SIGTERM now; with keeper_process_wait_end in two steps, so that many end at once. */
void keeper_process_ask_end(pid_t pid);
void keeper_process_wait_end(pid_t *pid);

#endif
