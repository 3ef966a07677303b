/* promote.h - the destination's half of a switchover for one shard: is it fit (check), have the data arrived (drain), promote
 * (dr-switchover.md 3.2, 3.4, 9.2 (6), (7); metaserver.md 7.1, 7.4).
 *
 *   check    ROLE, INFO replication, CONFIG GET slave-read-only, min-slaves-to-write of every Redis of the shard in this DC.
 *   drain    chooses the candidate and waits until its offset reaches the order's, at most drain_ms, polling every 1 ms doubling to 50.
 *   promote  drain, then XSLAVEOF (else SLAVEOF) NO ONE on the candidate, ROLE until it is master, CONFIG REWRITE (a failure is a warning).
 * The candidate: the most advanced replica with the order's replication id (its own, or of the upstream it followed), priority 0 last
 * resort never, ties by the order of the document. One master already: it is the answer (a repeat); several: a failure that
 * names them. Planned: a candidate of another replication id, or not drained, is a failure and nothing is changed. Disaster: the most advanced one of any
 * id, the gap is told; without masterInfo (nobody could read it) the gap is unknown.
 * A promotion that timed out is unknown: ROLE decides. Whom it was sent to is told (maybe), and is to be said to the next run: while that one is
 * silent, nobody else is promoted (planned), or the log says so (disaster).
 * promote_decide is pure; promote_run carries out, and asks may_command before the promotion. Thread: promote_decide any; the rest loop. */
#ifndef SHARED_SWITCH_PROMOTE_H
#define SHARED_SWITCH_PROMOTE_H

#include "shared/net/redis_role.h"
#include "shared/switch/switch_run.h"

enum promote_goal { PROMOTE_GOAL_CHECK, PROMOTE_GOAL_DRAIN, PROMOTE_GOAL_PROMOTE };

enum promote_order_kind {
    PROMOTE_ORDER_LOOK,   /* ROLE, INFO replication, and with the first round CONFIG GET */
    PROMOTE_ORDER_OFFSET, /* INFO replication */
    PROMOTE_ORDER_PROMOTE,
    PROMOTE_ORDER_ROLE,
    PROMOTE_ORDER_REWRITE,
};

struct promote_node {
    struct addr addr;
    bool was_asked;
    bool is_silent;
    enum rconn_why why;
    struct redis_role role;
    char repl_id[REPL_ID_SIZE];
    char repl_id2[REPL_ID_SIZE];
    int64_t offset;        /* slave_repl_offset, of a master master_repl_offset; -1 unknown */
    int64_t second_offset; /* second_repl_offset: the first byte that is not of repl_id2; -1 none */
    int64_t priority;      /* -1 unknown */
    bool is_read_only;
    int64_t min_slaves; /* -1 unknown */
    /* for the check only */
    int64_t max_lag_s;     /* -1 unknown */
    int64_t backlog_bytes; /* 0: none yet; -1 unknown */
    bool has_no_file;      /* no config file */
    char error[128];       /* of the last command that was refused; "" */
    int tries; /* orders of the same kind in a row, counted anew when its silence begins or ends */
};

struct promote_facts {
    mono_ms now;
    mono_ms deadline;
    mono_ms drain_until;
    enum promote_goal goal;
    const struct switch_order *order;
    const struct promote_node *nodes; /* in the order of the document */
    size_t count;
    int candidate;     /* chosen earlier in this run; -1 */
    bool was_sent;     /* the promotion was sent to it */
    bool was_lost;     /* and an answer to it never came: until it is master, it is unknown */
    struct addr maybe; /* an earlier run left it unknown; none */
};

enum promote_outcome {
    PROMOTE_OK,
    PROMOTE_NOBODY,
    PROMOTE_SEVERAL,
    PROMOTE_STRANGER, /* other replication id */
    PROMOTE_NOT_DRAINED,
    PROMOTE_REFUSED,
    PROMOTE_UNKNOWN
};
const char *promote_outcome_text(enum promote_outcome outcome);

struct promote_plan {
    bool is_over;
    enum promote_outcome outcome;
    int candidate; /* -1 none */
    bool is_drained;
    int64_t gap;      /* -1 unknown */
    const char *rule; /* "P10"..., table in promote_decide.c */
    const char *why;
    int64_t pause_ms;
    struct {
        size_t node;
        enum promote_order_kind kind;
    } orders[SWITCH_REDIS_MAX];
    size_t order_count; /* with is_over: sent behind the answer, nobody waits */
};
void promote_decide(const struct promote_facts *, struct promote_plan *ret_plan);

struct promote_result {
    enum promote_outcome outcome;
    struct addr maybe;                /* UNKNOWN: who may be a master now; none */
    struct switch_change change;      /* owned by the run, borrowed; epoch and is_stale not set */
    const struct promote_node *nodes; /* for the check; borrowed */
    size_t count;
    int64_t look_us; /* of the first round, with its connects; -1 none */
};
struct promote_options {
    struct switch_run_options run;
    enum promote_goal goal;
    struct switch_order order; /* copied */
    struct addr maybe;         /* of an earlier run whose outcome was unknown; none */
    void (*on_done)(const struct promote_result *, void *arg);
};
struct promote_run;
/* on_done once, not inside this call; it may free the run. */
struct promote_run *promote_run_start(const struct promote_options *);
void promote_run_free(struct promote_run *); /* NULL is fine */

#endif
