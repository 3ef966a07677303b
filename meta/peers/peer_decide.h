/* peer_decide.h - what is wrong with the peers of one CRDT master, and what to do: a pure decision
 * (metaserver.md 8.6, 8.7; crdt-redis.md 8.4, 11).
 *
 * Facts in, plan out: no clock, no I/O, no memory. The plan names a rule for every action, so that logs, dry runs
 * and golden files speak the same language. Whether the plan may be carried out at all (ownership, lease, budget,
 * back-off, suspension, migration) is the driver's question, see shard_duty.h. Thread: any. */
#ifndef META_PEERS_PEER_DECIDE_H
#define META_PEERS_PEER_DECIDE_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/clock.h"
#include "shared/base/str.h"
#include "shared/crdt/crdt_info.h"
#include "shared/crdt/peerof.h"
#include "shared/proxy/route.h"

#define PEER_DCS_MAX     16 /* other DCs of one cluster that are looked at */
#define PEER_ACTIONS_MAX 32

struct wanted_peer { /* one other DC of the cluster */
    const char *dc;  /* borrowed, lower case */
    bool is_known;   /* that DC's metaserver told its master at least once */
    int gid;
    struct addr addr;
    bool is_own_replica; /* 'addr' is another Redis of this very shard in our DC */
    enum route_choice_kind choice;
    int64_t route_id;          /* chosen, or the first unusable one */
    bool is_fallback;          /* the first choice is unusable, this is the next */
    const struct route *route; /* borrowed; when ROUTE_CHOSEN */
};

/* evidence gathered over runs that a gid is nobody's; part of the facts, new one in the plan */
struct removal_watch {
    int gid;         /* 0: free */
    int verdicts;    /* how often it was found superfluous, at least 'removal_gap_ms' apart */
    mono_ms last_at; /* of the last counted verdict */
};

struct peer_facts {
    mono_ms now;
    struct addr own_addr;
    struct crdt_version version;
    int64_t uptime_s;             /* -1 unknown */
    const struct crdt_info *info; /* read in this round; borrowed */
    const struct wanted_peer *wanted;
    size_t wanted_count;
    bool is_meta_fresh;     /* the document is younger than two refresh periods */
    bool may_remove;        /* switch meta.cluster.peermaster.delete */
    int removal_verdicts;   /* how many are needed (3) */
    int64_t removal_gap_ms; /* how far apart (60,000) */
    struct removal_watch removal[PEER_DCS_MAX];
    uint32_t kicked_gids; /* bit per gid: PEEROF was repeated since this process of Redis started */
};

enum peer_verdict {
    PEER_OK,
    PEER_CHANGED,
    PEER_MISSING,
    PEER_SUPERFLUOUS,
    PEER_BAD_ROUTE,           /* routes apply, none is usable: left alone */
    PEER_OLD_VERSION,         /* not a CRDT Redis, too old, or too old for the route it needs */
    PEER_BAD_GID,             /* out of range, our own, or claimed by two DCs */
    PEER_BAD_TARGET,          /* the address cannot be sent (a name, a Redis of our own...) */
    PEER_UNKNOWN_PEER_MASTER, /* nobody told yet: what Redis has is kept */
    PEER_UNREADABLE,          /* Redis' own entry is odd or there twice: not touched */
    PEER_VERDICTS,
};
const char *peer_verdict_text(enum peer_verdict);

enum peer_action_kind { PEER_ACT_SET, PEER_ACT_REMOVE, PEER_ACT_KICK };

struct peer_action {
    enum peer_action_kind kind;
    const char *rule; /* "P10"..., see the table in peer_decide.c */
    const char *why;  /* static text */
    int gid;
    size_t wanted_index;   /* SET and KICK */
    bool breaks_link;      /* the link is up and will be cut */
    bool needs_rewrite;    /* CONFIG REWRITE afterwards, Redis does not do it by itself */
    bool rewrite_replicas; /* ... and on every replica of the shard */
};

/* one line of the state shown to people: a wanted DC, or an actual gid that is nobody's */
struct peer_row {
    enum peer_verdict verdict;
    size_t wanted_index;            /* SIZE_MAX: only actual */
    const struct crdt_peer *actual; /* borrowed from facts->info; NULL: not there */
    char note[120];                 /* "" or why */
};

struct peer_plan {
    size_t row_count;
    struct peer_row rows[PEER_DCS_MAX + CRDT_PEERS_MAX];
    size_t action_count;
    struct peer_action actions[PEER_ACTIONS_MAX];
    int held_back; /* link-breaking changes left for the next run */
    struct removal_watch removal[PEER_DCS_MAX];
};

/* 'plan' is big (a few KiB): the caller provides it, typically one scratch plan per loop. */
void peer_decide(const struct peer_facts *facts, struct peer_plan *ret_plan);
/* Rows and actions as text, a line each: golden files, dry runs. */
void peer_plan_print(const struct peer_facts *facts, const struct peer_plan *plan, struct str *out);

#endif
