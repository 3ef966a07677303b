/* master_choice.h - which Redis of a shard is this DC's CRDT master: a pure decision (metaserver.md 6.4.1).
 *
 * Only what was observed lately counts: a node that did not answer is unknown, not "no master" (D8). Exactly one
 * observed master with a valid gid is accepted; anything else keeps what was known and raises an alert. Nothing
 * is remembered over a restart (D7): without an observation there is no current master. Thread: any. */
#ifndef META_PEERS_MASTER_CHOICE_H
#define META_PEERS_MASTER_CHOICE_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/addr.h"
#include "shared/base/clock.h"

enum node_role { ROLE_UNKNOWN, ROLE_MASTER, ROLE_SLAVE };

struct node_fact {
    struct addr addr;
    enum node_role role; /* as last answered */
    mono_ms role_at;     /* when; MONO_NEVER */
    int own_gid;         /* from CRDT.INFO of a master; 0 not known yet */
    bool is_untried;     /* neither answered nor failed so far, and there is time to wait for it */
};

struct current_master {
    struct addr addr; /* none: unknown */
    int gid;
};

struct master_facts {
    mono_ms now;
    int64_t fresh_ms; /* an older answer counts as unknown */
    const struct node_fact *nodes;
    size_t count;
    struct current_master current;
};

enum master_verdict {
    MASTER_KEEP,    /* the current one is confirmed */
    MASTER_CHANGE,  /* to nodes[index] */
    MASTER_NONE,    /* nobody says master: keep what was known, alert */
    MASTER_SEVERAL, /* two or more: keep, alert, re-point nothing */
    MASTER_BAD_GID, /* the only master's gid is missing or outside 1..15: keep, alert */
    /* the only master's gid is not read yet, or it would be the first known and others are untried */
    MASTER_WAIT,
};

struct master_choice {
    enum master_verdict verdict;
    size_t index; /* of the only master, when there is one */
    int masters;  /* how many were seen */
    int unknown;  /* how many nodes did not answer lately */
};

void master_choose(const struct master_facts *, struct master_choice *ret_choice);
const char *master_verdict_text(enum master_verdict);

#endif
