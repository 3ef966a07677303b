/* priority_decide.h - which replica-priority a Redis of a one-way shard should have: a pure decision.
 *
 * Sentinels of the primary DC see every replica of its master. A relay of a backup DC without keepers is one, and must never be
 * promoted by them: every Redis of such a DC gets priority 0, before it is made the relay. Nobody remembers that we did it: in
 * the primary DC it shows by the master, whose own priority means nothing to anybody and which is 0 only when it came from a
 * backup DC. As long as it is 0, replicas with 0 are given replica_priority back; the master itself last, when all
 * Redis of the document answer and none of its replicas is left with 0. So a restart in between, or a replica that was away, loses
 * nothing; and a 0 that an operator gave a replica of a primary DC stays. Not here: whether it may be sent (tree_run.c).
 * Thread: any. */
#ifndef META_KEEPERS_PRIORITY_DECIDE_H
#define META_KEEPERS_PRIORITY_DECIDE_H

#include "meta/keepers/tree_facts.h"

struct priority_want {
    int value;        /* below 0: it is left as it is, and the others say nothing */
    const char *rule; /* "T50"..., table in priority_decide.c */
    const char *why;  /* static text */
};

/* 'node' is one of facts->nodes. */
struct priority_want priority_decide(const struct tree_facts *facts, const struct tree_node *node);

#endif
