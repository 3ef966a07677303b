/* redis_answer.h - what a Redis says of itself in its answers to the rounds of a fence or a promotion, as plain values: INFO replication,
 * CONFIG GET *slave*, INFO server, a refusal. ROLE is redis_role.h's.
 *
 * Pure readings of replies of servers of unknown kind: what has another shape, or is an error, is not told. Thread: any. */
#ifndef SHARED_SWITCH_REDIS_ANSWER_H
#define SHARED_SWITCH_REDIS_ANSWER_H

#include "shared/net/rreply.h"
#include "shared/switch/switch_words.h"

struct redis_replication {
    char repl_id[REPL_ID_SIZE]; /* master_replid; "" not told, as the next one */
    char repl_id2[REPL_ID_SIZE];
    /* numbers: -1 not told */
    int64_t own_offset;         /* master_repl_offset */
    int64_t followed_offset;    /* slave_repl_offset */
    int64_t second_offset;      /* second_repl_offset */
    int64_t priority;           /* slave_priority */
    int64_t backlog_active;     /* repl_backlog_active: 0 or 1 */
    int64_t backlog_bytes;      /* repl_backlog_size */
    int64_t min_replica_offset; /* lowest acknowledged of the online replicas; -1 none */
    int replicas;               /* online */
};
void redis_answer_replication(const struct rreply *, struct redis_replication *ret);

/* The old names: Redis 4 knows no other, later ones know both. */
#define SETTING_MIN_SLAVES "min-slaves-to-write"
#define SETTING_MAX_LAG    "min-slaves-max-lag"
#define SETTING_READ_ONLY  "slave-read-only"

struct redis_settings {
    int64_t min_slaves; /* -1 not told */
    int64_t max_lag_s;  /* -1 not told */
    bool has_read_only; /* it is told */
    bool is_read_only;  /* all but "no" */
};
void redis_answer_settings(const struct rreply *, struct redis_settings *ret);

/* INFO server names no config file: a restart brings it back as it was before. */
bool redis_answer_has_no_file(const struct rreply *);
/* One line, cut to 'size'. */
void redis_answer_error(const struct rreply *, char *ret_text, size_t size);

#endif
