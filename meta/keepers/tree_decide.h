/* tree_decide.h - what is wrong in the replication tree of one shard in this DC, and what to do: a pure decision (metaserver.md
 * 6.3.2, 6.3.3, 6.3.5, 8.3; proxy-and-keeper.md 4.2, 4.5; design D9, D11).
 *
 * Wanted: the head pulls from the source, everything else of the DC from the head.
 *   primary DC, keepers: the active keeper is the head; backup keepers follow it; Redis are left alone (sentinels, failover).
 *   primary DC, no keepers: nothing. With and without: the replicas of a Redis that a switchover promoted here, as long as it is
 *     the only master, follow it.
 *   backup DC, keepers: the active keeper is the head; backup keepers and every Redis follow it.
 *   backup DC, no keepers: the relay is the head; the other Redis follow it. A Redis cannot use proxies: when a route applies, the
 *     relay is left as it is (TREE_ROUTE_NEEDS_KEEPER), never sent direct (D9).
 *   outside: nothing.
 * Keepers "there" means in the document, living or not: a backup DC whose keepers are all dead waits for them.
 *
 * Only fresh answers count; a silent node is left alone (D8). A Redis in a full synchronisation is left alone for
 * sync_patience_ms. Nothing is pointed at a head that is not known to pull from outside this shard's DC or to be a master: no loop is
 * ever built, and one that is seen is cut at its head. What sentinels may promote: priority_decide.h; a Redis whose priority is to be
 * changed is made relay only after that. Stages: those of stage 1 are sent only when every action of
 * stage 0 in the same plan was accepted. Whether the plan may be carried out (ownership, lease, budget, back-off, migration)
 * is the driver's question. Facts in, plan out. Thread: any. */
#ifndef META_KEEPERS_TREE_DECIDE_H
#define META_KEEPERS_TREE_DECIDE_H

#include "meta/keepers/relay_choose.h"
#include "shared/base/str.h"

enum tree_verdict {
    TREE_OK,
    TREE_WRONG,              /* an action is in the plan */
    TREE_LEFT_ALONE,         /* not ours to correct: Redis of the primary DC */
    TREE_SILENT,             /* no fresh answer */
    TREE_SYNCING,            /* in a full synchronisation: left alone */
    TREE_NO_SOURCE,          /* what the head should pull from is not known */
    TREE_NO_HEAD,            /* no active keeper lives, or no relay answers */
    TREE_HEAD_NOT_READY,     /* wrong, and the head itself is not right yet: later */
    TREE_BAD_ROUTE,          /* routes apply, none is usable: never direct */
    TREE_ROUTE_NEEDS_KEEPER, /* a route applies, and a Redis cannot use it */
    TREE_LOOP,               /* its wanted upstream follows it */
    TREE_VERDICTS,
};
const char *tree_verdict_text(enum tree_verdict verdict);

enum tree_action_kind {
    TREE_ACT_SET_ACTIVE,   /* KEEPER SETSTATE ACTIVE target [PROXY ROUTE ... TCP] */
    TREE_ACT_SET_BACKUP,   /* KEEPER SETSTATE BACKUP target */
    TREE_ACT_FOLLOW,       /* SLAVEOF target, CONFIG REWRITE */
    TREE_ACT_SET_PRIORITY, /* CONFIG SET slave-priority, CONFIG REWRITE; no target */
};

struct tree_action {
    enum tree_action_kind kind;
    const char *rule; /* "T10"..., table in tree_decide.c */
    const char *why;  /* static text */
    size_t node;      /* whom it is sent to */
    struct addr target;
    int priority;     /* SET_PRIORITY */
    bool with_route;  /* SET_ACTIVE: with facts->route_words */
    int stage;        /* 0: the head; 1: what follows it */
    bool breaks_link; /* the node's link is connected and will be cut */
    /* who follows whom is not wrong: only the route that is used is not known, or a priority is another one. Lowest in order */
    bool is_refresh;
};

struct tree_row { /* one node, for people */
    enum tree_verdict verdict;
    struct addr wanted; /* whom it should follow; none: nobody, or not known */
    char note[96];      /* "" or why */
};

struct tree_plan {
    struct tree_row rows[TREE_NODES_MAX]; /* facts->node_count of them, same order */
    int head;                             /* index of the head; -1: none */
    struct relay_choice relay;            /* when the relay is the head */
    size_t action_count;
    struct tree_action actions[TREE_NODES_MAX];
};

/* 'plan' is big: the caller provides it, typically one scratch plan per loop. */
void tree_decide(const struct tree_facts *facts, struct tree_plan *ret_plan);
/* Rows and actions as text, a line each: golden files, dry runs. */
void tree_plan_print(const struct tree_facts *facts, const struct tree_plan *plan, struct str *out);

#endif
