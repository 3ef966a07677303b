/* beacon_facts.h - a monitor's request as it is decoded, and what beacon_decide.h is to know of the cluster, read in one snapshot.
 * Names of DCs and groups in a request may be stored or outer ones; in the facts they are outer ones. Thread: workers. */
#ifndef CONSOLE_MIGRATION_BEACON_FACTS_H
#define CONSOLE_MIGRATION_BEACON_FACTS_H

#include "console/catalog/catalog.h"
#include "console/migration/beacon_decide.h"
#include "shared/model/json_decode.h"

struct beacon_request {
    char *cluster;
    bool is_forced;
    char *target; /* NULL: none */
    struct beacon_groups groups;
    struct names failover;
    struct names available;
    char *mode; /* beyond x-pipe's: planned, disaster or auto; NULL: as the rules say */
};
extern const struct jfield beacon_request_fields[];
void beacon_request_done(struct beacon_request *);

struct beacon_world { /* what the facts point to */
    struct beacon_facts facts;
    struct beacon_groups own;
    struct beacon_dc dcs[DCS_PER_CLUSTER_MAX];
    char cluster[NAME_MAX_BYTES + 1]; /* as stored, or as asked */
    char active[NAME_MAX_BYTES + 1];
    char *from;
    char *to;
};
void beacon_world_done(struct beacon_world *);
/* 'request' becomes of outer names, and is borrowed as long as the world; 'unhealthy' too. */
int beacon_world_read(const struct catalog *, struct beacon_request *request, bool is_bi,
                      const char *unhealthy, struct beacon_world *ret,
                      struct xp_err *) XP_MUST_CHECK;

#endif
