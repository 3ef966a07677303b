/* tree_situation.h - one shard of a one-way cluster in a DC, from JSON: the input of the golden tests of source_choose,
 * relay_choose and tree_decide.
 *
 * {"why", "place": "PRIMARY", "BACKUP" or "OUTSIDE", "source", "told", "told_offset", "relay", "route": text, "route_unusable",
 * "election_unknown", "relay_lag_bytes",
 * "replica_priority" (100), "redis": [node], "keepers": [node]}; other members are an error. A node is words with blanks:
 *
 *   10.2.0.1:6379 master 100          role, then its offset
 *   10.2.0.2:6379 slave 10.2.0.1:6379 connected 100     ("nobody": port 0)
 *   10.2.0.5:6380 keeper 10.1.0.5:6380 connected 100 state=ACTIVE route=direct
 *   10.2.0.3:6379 silent=4000         for so long; "untried": not asked yet
 *
 * More: link=MS (how long the link is so; 60000), age=MS (of the answer; 0), offset=N (the last one told, when the answer has
 * none), prio=N (of a Redis its replica-priority; -1 not read yet; absent: it does not tell), container=N, extra (a keeper that lives and is not in the document), dead (only in the document),
 * route=direct|same|other (absent: not known). The election is made by keeper_elect from the order of the list. */
#ifndef TESTS_GOLDEN_TREE_SITUATION_H
#define TESTS_GOLDEN_TREE_SITUATION_H

#include <jansson.h>

#include "meta/keepers/tree_facts.h"

#define SITUATION_NOW_MS 10000000

struct tree_situation { /* 'facts' points into the others: not to be copied */
    struct tree_node nodes[TREE_NODES_MAX];
    struct redis_meta redises[TREE_REDIS_MAX];
    struct keeper_meta keepers[SHARD_KEEPERS_MAX];
    struct shard_meta shard;
    struct keeper_election election;
    struct tree_facts facts;
};

/* Borrows 'json' as long as the situation is used. */
int tree_situation_read(const json_t *json, struct tree_situation *ret_situation,
                        struct xp_err *err) XP_MUST_CHECK;
/* A whole golden function: text in, 'print' over the situation. */
int tree_situation_run(const char *input, size_t length, struct str *out, struct xp_err *err,
                       void (*print)(const struct tree_situation *, struct str *out));

#endif
