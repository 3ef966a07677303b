/* catalog.h - what every service of console/catalog shares: the wiring, the result of a change, whom it concerns.
 *
 * The services hold the rules of the domain over the store; they know no HTTP, no JSON envelope and no metaserver.
 * Conventions of all of them:
 *   reads      zones_list(cat, ..., ret, err): owned structs, freed with the _done of the same header;
 *   mutations  clusters_create(cat, ctx, args, ret_result, err): one transaction with its change_log row and its outbox
 *              rows; *ret_result is set on success only (catalog_result_done); on failure nothing has changed;
 *   errors     XP_INVALID (a field), XP_NOT_FOUND, XP_CONFLICT; xp_err.msg is literally the text of console-api.md 3, so
 *              compatible endpoints pass it on as it is. XP_UNAVAILABLE and XP_INTERNAL come from the store.
 * Names of DCs are accepted as inner or outer name in any case; names of clusters and shards in any case; what comes
 * back is the stored (inner) spelling (D13). Texts in arguments are borrowed for the call; NULL is "absent".
 * Thread: workers. */
#ifndef CONSOLE_CATALOG_CATALOG_H
#define CONSOLE_CATALOG_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "console/catalog/dc_alias.h"
#include "console/catalog/dc_relations.h"
#include "console/catalog/keeper_choice.h"
#include "console/store/store.h"
#include "shared/model/cluster_type.h"
#include "shared/model/dc_meta.h" /* struct names */

/* What the automatic choice of keepers (keepers.h) needs to know beyond the database. Zeroed: disks of the machine, and every
 * container counts as healthy. */
struct keeper_rules {
    enum keeper_medium medium;
    bool (*is_unhealthy)(void *arg, int64_t container_id); /* NULL: none; any thread, at once */
    void *arg;
};

struct catalog { /* wiring: filled once at start, then immutable; borrowed by every call */
    struct store *store;
    const struct dc_alias *alias;         /* NULL: none */
    const struct dc_relations *relations; /* NULL: none; all DCs are alike */
    /* x-pipe's historical rule: monitor names unique over all clusters */
    bool has_global_monitor_names;
    struct keeper_rules keeper_rules;
};

/* "Absent" is told from "false" in partial updates. */
enum tri { TRI_ABSENT, TRI_NO, TRI_YES };
static inline enum tri tri_of(bool value)
{
    return value ? TRI_YES : TRI_NO;
}

/* Cluster types as a set of bits; 0 means all. */
#define TYPE_BIT(cluster_type) (1u << (unsigned)(cluster_type))
/* "one_way,bi_direction" in any case; NULL or "" gives 0. XP_INVALID: `unknown cluster type <t>`. */
int type_set_parse(const char *comma_list, unsigned *ret_types, struct xp_err *) XP_MUST_CHECK;

enum effect_kind {
    EFFECT_CHANGED, /* push the cluster to the metaservers of these DCs */
    EFFECT_DELETED, /* tell these DCs that the cluster is gone */
    EFFECT_DC_DOCUMENT, /* something outside clusters (routes, proxies): the whole document of these DCs changed */
};
struct catalog_effect {
    enum effect_kind kind;
    char *cluster;      /* stored spelling; "" for EFFECT_DC_DOCUMENT */
    char *cluster_type; /* upper case; "" for EFFECT_DC_DOCUMENT */
    struct names dcs;   /* stored spelling */
};

/* What a change of proxies or routes does to running links (proxy-and-keeper.md 3.7 R6, R8). */
struct route_impact {
    int64_t reconnect_clusters; /* another route than before: their links are rebuilt */
    int64_t reconnect_shards;
    int64_t stranded_clusters; /* had a usable route, would have none */
    char example[129];         /* one of the stranded, else of the reconnecting */
};

struct catalog_result {
    int64_t idx;                /* the version after the change */
    bool is_noop;               /* nothing had to change: no effects */
    int64_t object_id;          /* of what was created; 0 else */
    int64_t changed_count;      /* rows added, changed or removed, where a number makes sense */
    struct route_impact impact; /* changes of proxies and routes only */
    char warning[240];          /* accepted, but worth a word (R7); "" none */
    struct {
        struct catalog_effect *items;
        size_t count;
    } effects; /* already in the outbox; listed for whoever wants to push at once */
};
void catalog_result_done(struct catalog_result *);

#endif
