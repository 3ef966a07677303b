/* tree_facts.h - everything known about one shard of a one-way cluster in this DC, as plain values: the input of source_choose,
 * relay_choose, priority_decide, tree_decide and container_decide. Filled by tree_duty.c, borrowed pointers, one 'now'. */
#ifndef META_KEEPERS_TREE_FACTS_H
#define META_KEEPERS_TREE_FACTS_H

#include "meta/keepers/keeper_elect.h"
#include "shared/base/clock.h"
#include "shared/net/redis_role.h"
#include "shared/proxy/route.h"

#define TREE_REDIS_MAX 64
#define TREE_NODES_MAX (TREE_REDIS_MAX + SHARD_KEEPERS_MAX)
/* Of tree_node.priority. */
#define PRIORITY_UNKNOWN (-1) /* not read yet */
#define PRIORITY_REFUSED (-2) /* it tells none, or takes no other: left alone for a while */

enum tree_place {
    TREE_OUTSIDE, /* neither: do nothing */
    TREE_PRIMARY, /* this DC is activeDc */
    TREE_BACKUP,  /* this DC is among backupDcs */
};
const char *tree_place_text(enum tree_place place);

/* KEEPER GETSTATE, in the keeper's words (proxy-and-keeper.md 4.1). */
enum keeper_state {
    KEEPER_UNSEEN, /* no answer, or a word that we do not know */
    KEEPER_UNKNOWN,
    KEEPER_ACTIVE,
    KEEPER_BACKUP,
    KEEPER_PRE_ACTIVE,
    KEEPER_PRE_BACKUP,
};
const char *keeper_state_text(enum keeper_state state);
enum keeper_state keeper_state_from_text(const char *text); /* UNSEEN for other words */

/* A link that is down changes its word with every attempt to connect: only these three count. */
enum tree_link { TREE_LINK_DOWN, TREE_LINK_SYNCING, TREE_LINK_UP };
enum tree_link tree_link_of(const struct redis_role *role);

struct tree_node { /* one Redis, or one keeper */
    struct addr addr;
    bool is_keeper;
    bool was_tried;  /* an outcome of any kind since we look */
    mono_ms role_at; /* of the last answer to ROLE; MONO_NEVER: none since the last silence */
    struct redis_role role; /* valid while fresh */
    mono_ms link_since;     /* tree_link_of(role) and role.master are what they are since then */
    int64_t last_offset;    /* the last one it told (ROLE forgets it with the link); 0: none yet */
    mono_ms silent_since;   /* MONO_NEVER while it answers */
    /* Redis only: replica-priority, 0 or more, or PRIORITY_... */
    int priority;
    /* keepers only */
    enum keeper_state state;
    /* Route words last accepted by this very process ("" direct); NULL: not known. INFO and ROLE do not show it. */
    const char *route_sent;
};

struct tree_facts {
    mono_ms now;
    int64_t fresh_ms; /* an older answer counts as silence */
    enum tree_place place;
    /* the Redis in the order of the document, then the keepers that live, in the order of the election; a keeper of the
     * document that does not live is not a node */
    const struct tree_node *nodes;
    size_t redis_count;
    size_t node_count;
    bool is_election_known; /* false: ZooKeeper was not read yet; 'keepers' says nothing */
    const struct keeper_election *election;
    const struct shard_meta *shard; /* the document's */
    struct addr source;             /* as accepted so far; none: unknown */
    struct addr told;               /* backup DC: last told by the primary DC; none: nothing */
    int64_t told_offset;            /* of it, when it was told; -1 unknown */
    struct addr appointed;          /* primary DC: promoted here by a switchover; none: nobody */
    struct addr relay;              /* the Redis that was relay last; none: not known */
    /* from this DC to the primary DC */
    enum route_choice_kind route_kind;
    /* the hops joined by blanks, as route_text gives them, when ROUTE_CHOSEN; "" else */
    const char *route_words;
    /* settings */
    int64_t sync_patience_ms; /* a full synchronisation is left alone so long */
    int64_t relay_silent_ms;  /* a relay that does not answer so long is replaced */
    int64_t relay_link_ms;    /* ... or whose link is down so long */
    int64_t relay_lag_bytes;  /* ... or that is so far behind what was told; 0: not looked at */
    int replica_priority; /* what is given back in the primary DC; 0: priorities are left alone */
};

/* It answered so: role, role_at, link_since, last_offset, was_tried, silent_since. */
void tree_node_note_role(struct tree_node *node, const struct redis_role *role, mono_ms now);
/* It answered ROLE lately, with something that we can read. */
bool tree_node_is_fresh(const struct tree_facts *facts, const struct tree_node *node);
/* The document names it for this shard in this DC, or it is a keeper of it that lives. */
bool tree_is_ours(const struct tree_facts *facts, const struct addr *addr);
/* 'source' is known and can be one: in the primary DC a Redis of the shard, in a backup DC none of its instances. What was
 * right before the DC changed its place is not. */
bool tree_has_source(const struct tree_facts *facts);

#endif
