/* system_faults_internal.h - what the kinds of faults share, for system_faults*.c only. Thread: one; between steps only. */
#ifndef TESTS_SIM_SYSTEM_FAULTS_INTERNAL_H
#define TESTS_SIM_SYSTEM_FAULTS_INTERNAL_H

#include <stdarg.h>
#include <stdio.h>

#include "tests/sim/system_tree.h"

struct trouble;

struct fault {
    const char *name;
    int weight;
    bool (*apply)(struct system *, struct trouble *); /* false: it made no sense now */
    void (*heal)(struct system *, struct trouble *);  /* NULL: nothing lasts */
};

struct trouble { /* one fault at work */
    const struct fault *fault;
    int64_t ms; /* how long */
    mono_ms until;
    char what[160];
    struct system_member *member;
    struct system_member *other;
    struct system_redis *redis;
    struct system_keeper *keeper;
    int place;
    int dc;
    int way;
};

/* The rows of each kind, the last one without a name. */
extern const struct fault faults_of_processes[];
extern const struct fault faults_of_console[];
extern const struct fault faults_of_redis[];
extern const struct fault faults_of_trees[];

/* Every master of bi-direction clusters in that DC gets a wrong peer. */
void faults_break_peers_of(struct system *, int dc);

/* enum fake_redis_mode in words. */
extern const char *const fault_modes[];

/* What is wrong, for the log. */
__attribute__((format(printf, 2, 3))) static inline void say(struct trouble *t, const char *fmt,
                                                             ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(t->what, sizeof(t->what), fmt, args);
    va_end(args);
}

/* ---- who ---- */

static inline struct system_member *any_member(struct system *s, int dc)
{
    dc = dc < 0 ? (int)dice_roll(&s->dice, SYSTEM_DCS) : dc;
    return &s->members[dc][dice_roll(&s->dice, (uint64_t)s->config.members[dc])];
}

static inline struct system_member *running_member(struct system *s)
{
    struct system_member *m = any_member(s, -1);
    return m->daemon && !m->is_terminating ? m : NULL;
}

static inline struct system_redis *any_redis(struct system *s)
{
    struct dice *d = &s->dice;
    return &s->redis[dice_roll(d, SYSTEM_PLACES)][dice_roll(d, SYSTEM_DCS)]
                    [dice_roll(d, SYSTEM_SHARDS)][dice_roll(d, SYSTEM_REDISES)];
}

static inline struct system_redis *listed_redis(struct system *s)
{
    for (int i = 0; i < 8; i++) {
        struct system_redis *r = any_redis(s);
        if (system_is_listed(s, r)) {
            return r;
        }
    }
    return NULL;
}

static inline struct system_redis *any_master(struct system *s)
{
    const struct system_redis *r = listed_redis(s);
    return r ? system_master(s, r->place, r->dc, r->shard) : NULL;
}

static inline struct console_cluster *any_cluster(struct system *s)
{
    return system_cluster(s, (int)dice_roll(&s->dice, SYSTEM_KEEPER_PLACE)); /* bi-direction */
}

/* Short, longer than a session, longer than its lease... */
static inline int64_t any_ms(struct system *s)
{
    static const int64_t most[] = { 300, 2000, 4500, 9000, 16000 };
    return dice_between(&s->dice, 50, most[dice_roll(&s->dice, ARRAY_LEN(most))]);
}

#define MEMBER_FMT    "%s.%d"
#define MEMBER_ARG(m) system_dcs[(m)->dc], (m)->index

#endif
