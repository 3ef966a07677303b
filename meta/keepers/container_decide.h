/* container_decide.h - which keepers have to be started or removed on their containers: a pure decision (metaserver.md 6.3.1, 5.4).
 *
 * dead = keepers of the document that do not live; extra = living ones that are not in the document. Dead ones are added
 * (add starts a stopped one, and says so when it runs already); extra ones are removed only when none is dead, and every
 * keeper of the document has lived for 'settle_ms'. An election that is not known yet decides nothing. A keeper that was tried
 * waits: 'retry_first_ms' doubling to 'retry_max_ms'. Thread: any. */
#ifndef META_KEEPERS_CONTAINER_DECIDE_H
#define META_KEEPERS_CONTAINER_DECIDE_H

#include "meta/keepers/keeper_elect.h"
#include "shared/base/clock.h"
#include "shared/base/str.h"

struct container_try { /* what was done about one keeper, kept by the driver by address */
    struct addr addr;
    int tries;        /* since it last lived (or was last seen gone) */
    mono_ms tried_at; /* MONO_NEVER */
    bool is_running;  /* a call is under way */
};

struct container_facts {
    mono_ms now;
    const struct shard_meta *shard;
    bool is_election_known;
    const struct keeper_election *election;
    mono_ms whole_since; /* every keeper of the document lives since then; MONO_NEVER: not so */
    /* The shard is ours, or a keeper is missing, since then (the later one): dead ones are started after grace_ms. */
    mono_ms owned_since;
    const struct container_try *tries;
    size_t try_count;
    int64_t grace_ms;
    int64_t settle_ms;
    int64_t retry_first_ms;
    int64_t retry_max_ms;
};

enum container_action_kind { CONTAINER_ADD, CONTAINER_REMOVE };

struct container_action {
    enum container_action_kind kind;
    const char *rule; /* "C10"... */
    struct addr keeper;
    /* of the document; an extra keeper: 0, the driver finds its container by the host */
    int64_t container_id;
};

struct container_plan {
    size_t action_count;
    struct container_action actions[SHARD_KEEPERS_MAX];
    int dead;
    int extra;
};

void container_decide(const struct container_facts *facts, struct container_plan *ret_plan);
void container_plan_print(const struct container_plan *plan, struct str *out);

#endif
