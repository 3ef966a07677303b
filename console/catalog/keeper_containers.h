/* keeper_containers.h - the hosts of keepers, as metadata (console-api.md 3.7). See catalog.h. Not here: are they alive
 * (console/health/container_health.h), which one gets a keeper (keeper_choice.h).
 *
 * An address cannot change, nor can the DC. Effect of a change of an active one: the document of the DC. */
#ifndef CONSOLE_CATALOG_KEEPER_CONTAINERS_H
#define CONSOLE_CATALOG_KEEPER_CONTAINERS_H

#include "console/catalog/catalog.h"
#include "shared/base/addr.h"

struct keeper_container_row {
    int64_t id;
    int64_t dc_id;
    char *dc;
    struct addr addr; /* of its REST port */
    bool is_active;
    int64_t org_id; /* the number that DBA tools send */
    char *org_name;
    int64_t az_id; /* 0: none */
    char *az;
    bool is_az_active;
    char *disk_type;
    char *tag;
    wall_ms updated_ms;
    int64_t keeper_count;
};
struct keeper_container_rows {
    struct keeper_container_row *items;
    size_t count;
};
/* By id. dc NULL: of all DCs; an unknown DC has none. */
int keeper_containers_list(struct catalog *, const char *dc, struct keeper_container_rows *ret_rows,
                           struct xp_err *) XP_MUST_CHECK;
void keeper_container_rows_done(struct keeper_container_rows *);

struct keeper_container_edit {
    const char *dc; /* required by create; in an update absent, or the DC it is in */
    const char *ip;
    int64_t port;
    int64_t org_id;        /* the number that DBA tools send; 0: the default organization */
    const char *tag;       /* NULL: "" */
    enum tri active;       /* absent: no, as in x-pipe, also in an update (with a warning) */
    const char *az;        /* NULL or "": none */
    const char *disk_type; /* NULL: DEFAULT in create, unchanged in an update (x-pipe: NULL) */
};
/* Everything create refuses but the health of the container; nothing is stored. */
int keeper_containers_check_new(struct catalog *, const struct keeper_container_edit *,
                                struct xp_err *) XP_MUST_CHECK;
/* Texts: `Illegal IP Address`, `Illegal Port`, `DC name does not exist`, `Org Id does not exist in database`,
 * `available zone <az> is not exist`, `Keeper Container with IP: <ip> already exists`. */
int keeper_containers_create(struct catalog *, const struct change_ctx *,
                             const struct keeper_container_edit *,
                             struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;
/* Replaces organization, tag, activity and zone; the disk type only when given. `<ip>:<port> keeper container not found`. */
int keeper_containers_update(struct catalog *, const struct change_ctx *,
                             const struct keeper_container_edit *,
                             struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;
/* `Cannot find keepercontainer`, `This keepercontainer <ip>:<port> is not empty, unable to delete!` (any keeper or redis at
 * its IP). */
int keeper_containers_delete(struct catalog *, const struct change_ctx *, const struct addr *,
                             struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;

/* For changes: the rows of a DC (0: all) as this transaction sees them. */
int keeper_containers_load(struct db *, int64_t dc_id, struct keeper_container_rows *rows,
                           struct xp_err *) XP_MUST_CHECK;

#endif
