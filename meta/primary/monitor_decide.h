/* monitor_decide.h - whether a sentinel watches the right master of a shard: a pure decision (metaserver.md 7.2 step 5, 7.4 step 7).
 *
 * Primary DC, a single master observed: a sentinel that does not know the monitor gets SENTINEL MONITOR name ip port quorum; one that
 * watches another address gets REMOVE and MONITOR, when it has been so for 'differs_ms' (sentinels promote on their own: they
 * are given the time to say so, and the metaserver to see it), and no failover is under way there; one that lasts ten times as long
 * is stuck and does not count. Primary DC without a single
 * master, or a cluster that migrates: nothing. Backup DC: a monitor of that name is removed, or it would promote there. The same while a
 * switchover fences the shard. Thread: any. */
#ifndef META_PRIMARY_MONITOR_DECIDE_H
#define META_PRIMARY_MONITOR_DECIDE_H

#include <stdbool.h>

#include "meta/keepers/tree_facts.h"

enum monitor_seen {
    MONITOR_UNKNOWN, /* no answer, or another error */
    MONITOR_ABSENT,  /* "-ERR No such master with that name" */
    MONITOR_PRESENT, /* 'watched' is what it watches */
};

struct monitor_facts {
    mono_ms now;
    enum tree_place place;
    bool is_migrating;
    /* by a switchover: no sentinel may promote here, and the new primary DC has its own */
    bool is_fenced;
    /* by a switchover: the monitors may come although the cluster still migrates */
    bool is_promoted;
    /* who ordered the switchover to here adds the monitors itself (addSentinel false), for a while */
    bool is_left;
    bool is_single_master; /* exactly one, observed now */
    struct addr master;
    enum monitor_seen seen;
    struct addr watched;   /* of PRESENT */
    bool is_failing_over;  /* flags of SENTINEL MASTER hold "failover" or "s_down" or "o_down" */
    mono_ms differs_since; /* MONO_NEVER: it does not */
    int64_t differs_ms;
};

enum monitor_action { MONITOR_NOTHING, MONITOR_ADD, MONITOR_REMOVE, MONITOR_REPLACE };

struct monitor_plan {
    enum monitor_action action;
    const char *rule; /* "M10"... */
};

void monitor_decide(const struct monitor_facts *facts, struct monitor_plan *ret_plan);
const char *monitor_action_text(enum monitor_action action);

#endif
