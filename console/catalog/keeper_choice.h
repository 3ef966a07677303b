/* keeper_choice.h - which keeper containers of a DC get the keepers of a shard, and on which ports (console-api.md 3.7).
 *
 * Pure: facts in, choice out. Who reads the facts and stores the result is keepers.c. The steps, in this order:
 *   1 active containers of the DC
 *   2 those of the cluster's organization; only when there is none, those of organization 0 (never mixed)
 *     and of these the ones not known to be unhealthy: an outage does not move a shard to another organization
 *   3 those with the cluster's tag; when there is none, tags do not matter
 *   4 fewest keepers first, then lowest id
 *   5 of the wanted disk medium
 *   6 where the DC has more than one active availability zone: at most one a zone, containers without an active zone are
 *     skipped; when none has a zone the rule is dropped
 *   7 the first two
 *   8 port: the first free one from KEEPER_PORT_FIRST on
 * Thread: any. */
#ifndef CONSOLE_CATALOG_KEEPER_CHOICE_H
#define CONSOLE_CATALOG_KEEPER_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEEPERS_PER_SHARD = 2, KEEPER_PORT_FIRST = 6380, KEEPER_PORT_LAST = 65535 };

/* A disk type is TFS (in any case) or else of the machine itself. */
enum keeper_medium { KEEPER_MEDIUM_BM, KEEPER_MEDIUM_TFS, KEEPER_MEDIUM_ANY };
/* "BM", "TFS" or "ANY" in any case; false for anything else. */
bool keeper_medium_from_text(const char *text, enum keeper_medium *ret_medium);
enum keeper_medium keeper_medium_of(const char *disk_type); /* BM or TFS */

struct keeper_candidate { /* a keeper container of the DC; texts are borrowed */
    int64_t id;
    int64_t org_id; /* the number that DBA tools send */
    const char *tag;
    const char *disk_type;
    int64_t az_id; /* 0: none, or not an active one of the DC */
    int64_t keeper_count;
    bool is_active;
    bool is_unhealthy; /* unknown counts as healthy */
};
struct keeper_facts {
    const struct keeper_candidate *items;
    size_t count;
    int64_t org_id; /* of the cluster */
    const char *tag;
    enum keeper_medium medium;
    int64_t active_az_count; /* of the DC */
};

/* What became of a candidate: the first reason against it. */
#define KEEPER_VERDICTS(X)                                                                         \
    X(KEEPER_USABLE, "usable")                                                                     \
    X(KEEPER_INACTIVE, "inactive")                                                                 \
    X(KEEPER_OTHER_ORG, "other organization")                                                      \
    X(KEEPER_UNHEALTHY, "unhealthy")                                                               \
    X(KEEPER_OTHER_TAG, "other tag")                                                               \
    X(KEEPER_OTHER_MEDIUM, "other medium")                                                         \
    X(KEEPER_NO_AZ, "no zone")                                                                     \
    X(KEEPER_SAME_AZ, "zone taken")
enum keeper_verdict {
#define X(id, text) id,
    KEEPER_VERDICTS(X)
#undef X
};
const char *keeper_verdict_text(enum keeper_verdict);

struct keeper_choice {
    size_t *order;                 /* indexes of all candidates, fewest keepers first */
    enum keeper_verdict *verdicts; /* by candidate */
    size_t usable_count;
    size_t taken[KEEPERS_PER_SHARD]; /* indexes; as many as usable_count allows */
};
void keeper_choose(const struct keeper_facts *, struct keeper_choice *ret_choice);
void keeper_choice_done(struct keeper_choice *);

/* Step 8: the first one from 'from' on that is not among the ports in use at the container's address, ascending. 0: none is free. */
int keeper_free_port(int from, const int *used, size_t count);

#endif
