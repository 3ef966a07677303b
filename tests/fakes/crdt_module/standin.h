/* standin.h - what the files of the CRDT stand-in share: settings, the one state, small helpers.
 *
 * The stand-in is a module for stock Redis 7 that behaves like CRDT Redis as far as a control
 * plane can see (contract: reference/crdt-redis.md, chapter 12). It is not a CRDT database:
 * string keys travel between masters as last-writer-wins registers (feed.h), nothing else does.
 * Threads: the server's main thread, and one link thread per configured gid. The server's global
 * lock is the only lock: every field below is read and written with it held. */
#ifndef TESTS_FAKES_CRDT_MODULE_STANDIN_H
#define TESTS_FAKES_CRDT_MODULE_STANDIN_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/fakes/redis_module/module_util.h"

enum { GID_MAX = 15, REPLID_LEN = 40, TEXT_MAX = 256 };

struct version {
    int major, minor, patch;
};

struct settings {
    int gid;
    char ns[64];
    char version_text[32]; /* "absent" hides the line of INFO */
    struct version version;
    int64_t tick_ms;       /* how often a link thread tries to connect */
    int64_t sync_delay_ms; /* wait before a full sync is served to another DC */
    int64_t lazy_ms;       /* wait after a restart before peers are connected */
    int64_t ping_ms;       /* idle traffic to pullers */
    int64_t timeout_ms;    /* repl-timeout between DCs */
    char state_file[1024]; /* empty: nothing is kept, as a server without config file */
    bool crash_aborts;     /* false: a deadly input is answered with an error and counted */
};

/* Faults played on request of a test (standin_control.c). */
struct faults {
    enum { FAIL_NOTHING, FAIL_TEXT, FAIL_HANG, FAIL_CLOSE } peerof;
    char peerof_text[TEXT_MAX];
    bool rewrite_fails;
    bool loading; /* forced -LOADING */
    int64_t would_have_crashed_count;
    char would_have_crashed[TEXT_MAX]; /* the last such input */
};

struct standin {
    struct settings set;
    struct faults faults;
    struct rm_ctx *thread_ctx; /* of the link threads; used under the lock only */
    bool is_master;
    int listening_port;
    char announce_ip[64];
    char run_replid[REPLID_LEN + 1];  /* master_replid of INFO replication */
    char run_replid2[REPLID_LEN + 1]; /* of its earlier history, zeros if none */
    int64_t second_offset;
};

extern struct standin standin;

bool version_parse(const char *text, struct version *ret);
bool version_is_at_least(int major, int minor, int patch);

/* Data commands are refused with -LOADING (by order, or because data is still owed by a peer). */
bool standin_is_loading(void);
/* Reads role, ports and replication ids from the server. Main thread or under the lock. */
void standin_refresh(struct rm_ctx *ctx);

#endif
