/* switch_words.h - what a console and a metaserver say to each other about the change of a primary DC: the JSON bodies of endpoints 5
 * to 7 (metaserver.md 4.5, dr-switchover.md 3), with the fields that ours add. Java ignores those, and does not send them.
 *
 *   GET  /api/meta/changeprimarydc/check/{cluster}/{shard}/{dc}                         -> struct switch_check
 *   PUT  /api/meta/masterreadonly/{cluster}/{shard}/true?epoch=&phase=hold|freeze&deadline_ms=   -> struct switch_fence
 *   PUT  /api/meta/masterreadonly/{cluster}/{shard}/false?epoch=&deadline_ms=           -> struct switch_fence
 *   PUT  /api/meta/changeprimarydc/{cluster}/{shard}/{dc}?epoch=    struct switch_order -> struct switch_change
 *   POST /api/meta/v2/drain/{cluster}/{shard}                       struct switch_order -> struct switch_change   (ours only)
 *   PUT  /api/meta/v2/fence/{cluster}/{shard}      struct switch_fence_order            -> struct switch_fence    (ours only: on
 *        the Redis of another DC whose metaserver does not answer)
 * Without 'phase' masterreadonly/true is x-pipe's whole fence. Without 'epoch' (Java, epoch 0) no older one is refused.
 * Texts are owned where they are 'char *'. _to_json always writes our fields; _from_json leaves *ret alone on failure (XP_INVALID, with
 * the field's name) and wants a real object: an empty body, which Java sends where it has nothing to say, is the caller's. Thread: any. */
#ifndef SHARED_SWITCH_SWITCH_WORDS_H
#define SHARED_SWITCH_SWITCH_WORDS_H

#include <jansson.h>

#include "shared/base/addr.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/net/repl_history.h"

/* /api/meta/<word>/{cluster}/{shard}... */
#define SWITCH_WORD_CHECK  "changeprimarydc/check"
#define SWITCH_WORD_CHANGE "changeprimarydc"
#define SWITCH_WORD_FENCE  "masterreadonly"
#define SWITCH_WORD_DRAIN  "v2/drain"
#define SWITCH_REDIS_MAX   64
#define SWITCH_BODY_MAX    (256U * 1024)
#define SWITCH_LOG_MAX     (16U * 1024) /* of an execution log; head and tail are kept */

/* ---- the settings that a fence overwrites ---- */
struct fence_saved {
    bool is_known;
    int64_t min_slaves;        /* min-slaves-to-write as it was */
    int64_t max_lag_s;         /* min-slaves-max-lag as it was */
    bool was_writable_replica; /* slave-read-only was "no" */
};

/* ---- masterreadonly ---- */
enum fence_state {
    FENCE_NONE, /* not fenced: nothing was done, or it failed */
    FENCE_HELD, /* writes are refused by min-slaves, replication goes on; proved by a refused write */
    FENCE_FROZEN,      /* follower of nobody; offset is final; proved */
    FENCE_RELEASED,    /* a write was accepted */
    FENCE_UNREACHABLE, /* no Redis of the shard here answers */
};
const char *fence_state_text(enum fence_state state); /* "none", "held", ... */

struct switch_fence {
    struct addr master; /* masterAddr; none: unknown */
    bool has_info;      /* masterInfo is not null */
    char repl_id[REPL_ID_SIZE];
    int64_t offset;
    char *log; /* message: the execution log */
    /* ours; is_ours false: a Java answer, the rest says nothing */
    bool is_ours;
    enum fence_state state;
    bool drain_pending; /* the whole fence only: held, not frozen, replicas have not caught up */
    struct fence_saved saved;
    int64_t epoch;
};
void switch_fence_done(struct switch_fence *);
json_t *switch_fence_to_json(const struct switch_fence *);
int switch_fence_from_json(const json_t *, struct switch_fence *ret,
                           struct xp_err *err) XP_MUST_CHECK;

struct switch_fence_order { /* body of v2/fence */
    int64_t epoch;
    char phase[8]; /* "hold", "freeze", "release" */
    struct addr redis[SWITCH_REDIS_MAX];
    size_t redis_count;
    struct fence_saved saved; /* for release */
    int64_t deadline_ms;
};
json_t *switch_fence_order_to_json(const struct switch_fence_order *);
int switch_fence_order_from_json(const json_t *, struct switch_fence_order *ret,
                                 struct xp_err *err) XP_MUST_CHECK;

/* ---- changeprimarydc, v2/drain ---- */
struct switch_order {
    bool has_info; /* masterInfo: what must have arrived before a promotion */
    char repl_id[REPL_ID_SIZE];
    int64_t offset;
    bool add_sentinel; /* absent: true */
    int64_t epoch;     /* 0: none (Java) */
    /* "mode":"disaster": promote also without the data; else "planned". Absent (Java): disaster */
    bool is_disaster;
    bool has_mode;
    int64_t drain_ms;    /* how long to wait for the data; 0: x-pipe's 2,000 */
    int64_t deadline_ms; /* of the whole call; 0: x-pipe's */
};
json_t *switch_order_to_json(const struct switch_order *);
/* NULL or JSON null: no body, all absent. */
int switch_order_from_json(const json_t *, struct switch_order *ret,
                           struct xp_err *err) XP_MUST_CHECK;

struct switch_change {
    bool is_success;        /* errorType SUCCESS */
    char *log;              /* errorMessage */
    struct addr new_master; /* none: not told */
    /* ours */
    bool is_ours;
    bool is_drained; /* everything that the order asked for has arrived */
    int64_t offset;  /* of the new master (the candidate, for drain) at that moment; -1 unknown */
    int64_t offset_gap;         /* bytes that did not arrive; 0 none; -1 unknown */
    char repl_id[REPL_ID_SIZE]; /* of the candidate before */
    bool is_promoted;           /* a master is there, by this call or an earlier one */
    bool is_stale;              /* a higher epoch is known: nothing was done */
    int64_t epoch;              /* the highest that is known */
};
void switch_change_done(struct switch_change *);
json_t *switch_change_to_json(const struct switch_change *);
int switch_change_from_json(const json_t *, struct switch_change *ret,
                            struct xp_err *err) XP_MUST_CHECK;

/* ---- check ---- */
enum check_type { CHECK_SUCCESS, CHECK_ALREADY_NEW, CHECK_FAIL };

struct check_redis { /* one Redis of the shard in the DC that answers */
    struct addr addr;
    bool is_alive;
    bool is_master;
    bool is_link_up;     /* replicas */
    bool is_read_only;   /* slave-read-only, as configured */
    struct addr follows; /* replicas */
    char repl_id[REPL_ID_SIZE];
    int64_t offset;        /* -1 unknown */
    int64_t priority;      /* -1 unknown */
    int64_t min_slaves;    /* -1 unknown */
    int64_t max_lag_s;     /* min-slaves-max-lag; -1 unknown */
    int64_t backlog_bytes; /* for partial synchronizations; 0: it has none yet; -1 unknown */
    bool is_syncing;       /* a replica in a full synchronization */
    bool has_no_file;      /* no config file: a restart forgets what it was told */
};
struct switch_check {
    enum check_type type;
    char *message; /* errorMessage; NULL */
    /* ours */
    bool is_ours;
    char dc[129];
    struct check_redis redis[SWITCH_REDIS_MAX];
    size_t redis_count;
    int keepers; /* configured */
    int keepers_living;
    bool has_active_keeper;
    bool is_active_keeper_linked; /* its master link is up */
    int64_t active_keeper_offset; /* -1 unknown */
    struct addr active_keeper;    /* none: not told */
    int64_t look_us;        /* how long its Redis took to connect and to be looked at; -1 unknown */
    int64_t epoch;          /* highest known for the shard; 0 none */
    enum fence_state fence; /* in force here */
};
void switch_check_done(struct switch_check *);
json_t *switch_check_to_json(const struct switch_check *);
int switch_check_from_json(const json_t *, struct switch_check *ret,
                           struct xp_err *err) XP_MUST_CHECK;

/* ---- callbacks of JF_CUSTOM rows (json_decode.h), for records of a switch, too ---- */

/* struct addr: {"host","port"}, or "host:port"; "" and port 0 are none. */
int switch_words_decode_addr(const json_t *value, void *field, struct xp_err *err);
/* char[REPL_ID_SIZE]: 0 to 40 letters, digits or '?'. */
int switch_words_decode_repl_id(const json_t *value, void *field, struct xp_err *err);

#endif
