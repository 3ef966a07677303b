/* proxies.h - proxy records (console-api.md 3.8.1, proxy-and-keeper.md 3.1 and 3.7 R1, R3). See catalog.h.
 * Effects of a change: the documents of the source DCs of all routes through it. */
#ifndef CONSOLE_CATALOG_PROXIES_H
#define CONSOLE_CATALOG_PROXIES_H

#include "console/catalog/catalog.h"

struct proxy_row {
    int64_t id;
    char *uri; /* PROXYTCP://host:port or PROXYTLS://host:port */
    char *dc;
    bool is_active;
    bool is_monitor_active;
};
struct proxy_rows {
    struct proxy_row *items;
    size_t count;
};
struct proxy_filter {
    bool active_only;
    bool monitor_active_only;
    const char *dc; /* NULL: all */
};
int proxies_list(struct catalog *, const struct proxy_filter *, struct proxy_rows *ret_rows,
                 struct xp_err *) XP_MUST_CHECK; /* by id */
void proxy_rows_done(struct proxy_rows *);

struct proxy_edit {
    int64_t id;      /* update and delete */
    const char *uri; /* required by create; absent in an update: unchanged */
    const char *dc;
    enum tri active; /* absent in create: NO (as x-pipe) */
    enum tri monitor_active;
    bool force; /* R3, R6: allow a change that makes a route unusable or strands clusters */
};
int proxies_create(struct catalog *, const struct change_ctx *, const struct proxy_edit *,
                   struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;
int proxies_update(struct catalog *, const struct change_ctx *, const struct proxy_edit *,
                   struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;
/* Refused while a live route uses it, also with force. */
int proxies_delete(struct catalog *, const struct change_ctx *, const struct proxy_edit *,
                   struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;

#endif
