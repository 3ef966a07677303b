/* bi_links.h - how the DCs that stay are connected when others are taken out of client routing (dr-switchover.md 8.1): pure, over what the metaservers
 * tell of their peers. It warns and never refuses: a DC is taken out because something is broken, and what cannot be asked must not stop it.
 *
 *   L10  the metaserver of a DC that stays does not answer         L14  a DC that stays does not receive from one that goes: writes of before may be missing there
 *   L12  a DC that stays does not receive from another that stays  L16  a DC that stays has no master of a shard
 * Thread: any. */
#ifndef CONSOLE_MIGRATION_BI_LINKS_H
#define CONSOLE_MIGRATION_BI_LINKS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/err.h"

struct bi_peer { /* what a DC receives of another one; the row of the peers endpoint */
    char *dc;    /* NULL: of no DC of the cluster */
    struct bi_peer_actual {
        char *status; /* "up"; NULL: no such peer */
        int64_t last_io_s;
        int64_t offset; /* what has arrived; -1 none */
    } actual;
};
struct bi_told { /* the answer of v2/peers of one shard */
    struct bi_told_master {
        char *ip; /* NULL: none is known */
    } master;
    int64_t offset; /* of its own stream to the others; -1 unknown */
    struct bi_peers {
        struct bi_peer *items;
        size_t count;
    } peers;
};
/* Unknown members are ignored. XP_INVALID. */
int bi_told_from_json(const json_t *, struct bi_told *ret, struct xp_err *) XP_MUST_CHECK;
void bi_told_done(struct bi_told *);

struct bi_dc {
    const char *name;
    bool is_excluded;
};
struct bi_seen {                /* of one DC and one shard */
    const struct bi_told *told; /* NULL: no answer */
    const char *why;
};
struct bi_links_facts {
    const struct bi_dc *dcs;
    size_t dc_count;
    const char *const *shards;
    size_t shard_count;
    const struct bi_seen *seen; /* [shard * dc_count + dc] */
};
/* {"links":[{"dc","peer","excluded","status":"up|down|unknown","shards","down","unknown","lagBytes","lastIoSecondsAgo"}],"warnings":[{"code","dc","count","text"}]}:
 * one link for each DC that stays and each other one, the worst of its shards; lagBytes null: not known of every shard. Returned owned. */
json_t *bi_links_decide(const struct bi_links_facts *);

#endif
