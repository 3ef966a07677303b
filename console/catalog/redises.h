/* redises.h - redises (and reading keepers) of a shard in a DC (console-api.md 3.6). See catalog.h.
 * An address is unique over all live redises and keepers: one address, one process. */
#ifndef CONSOLE_CATALOG_REDISES_H
#define CONSOLE_CATALOG_REDISES_H

#include "console/catalog/catalog.h"
#include "shared/base/addr.h"

struct instance_spec {
    const char *addr; /* "ip:port" */
    const char *az;   /* NULL: none */
    bool is_master;
};
struct shard_place {
    const char *cluster;
    const char *dc;
    const char *shard;
};

struct redis_row {
    int64_t id;
    char *run_id;
    struct addr addr;
    bool is_keeper;
    bool is_master;       /* redis */
    bool is_active;       /* keeper */
    int64_t container_id; /* keeper; 0 for a redis */
    int64_t priority;     /* keeper */
    int64_t az_id;        /* 0: none */
    wall_ms created_ms;
};
struct redis_rows {
    struct redis_row *items;
    size_t count;
};
/* Unknown DC, cluster or shard: an empty list. By id. */
int redises_list(struct catalog *, const struct shard_place *, struct redis_rows *ret_rows,
                 struct xp_err *) XP_MUST_CHECK;
int keepers_list(struct catalog *, const struct shard_place *, struct redis_rows *ret_rows,
                 struct xp_err *) XP_MUST_CHECK;
void redis_rows_done(struct redis_rows *);

struct redises_edit {
    struct shard_place place;
    const struct instance_spec *items; /* at most 1,000 */
    size_t count;
};
/* Already in this shard and DC: ignored (its master flag is raised when asked for). Texts: `not found: dc:<dc>,
 * cluster:<c>, shard:<s>`, `invalid socket address:<x>`, `Redis already exists, ip:port`.
 * Effect: changed; the DC for one-way types, all DCs for multi-active ones. */
int redises_add(struct catalog *, const struct change_ctx *, const struct redises_edit *,
                struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;
/* Unknown addresses are ignored; keepers are not touched. */
int redises_remove(struct catalog *, const struct change_ctx *, const struct redises_edit *,
                   struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;
/* Sets the master flag of the addresses given (is_master of each item). A new master takes the flag from every other
 * redis of the shard: in all DCs when it stands in the active DC, else in its own DC only. Unknown addresses of this shard
 * and DC: XP_NOT_FOUND. */
int redises_set_master(struct catalog *, const struct change_ctx *, const struct redises_edit *,
                       struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;

struct redis_az {
    const char *dc;
    const char *addr; /* "ip:port" */
    const char *az;   /* NULL or "": none */
};
struct redises_az_edit {
    const char *cluster;
    const char *shard;
    const struct redis_az *items; /* 1 to 1,000 */
    size_t count;
};
/* All or nothing; changed_count: those that got another zone. `request body is empty`, `available zone <az> is not exist`, and as
 * redises_set_master. Effect: changed; the DCs of these redises, all DCs for multi-active types. */
int redises_set_az(struct catalog *, const struct change_ctx *, const struct redises_az_edit *,
                   struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;

struct redis_location { /* names as stored */
    char *dc;
    char *cluster;
    char *shard;
    bool is_keeper;
};
int redises_locate(struct catalog *, const struct addr *, struct redis_location *ret_location,
                   struct xp_err *) XP_MUST_CHECK; /* XP_NOT_FOUND */
void redis_location_done(struct redis_location *);

#endif
