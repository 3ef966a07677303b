/* zones.h - zones: groups of DCs among which migration is allowed (console-api.md 3.1). See catalog.h. */
#ifndef CONSOLE_CATALOG_ZONES_H
#define CONSOLE_CATALOG_ZONES_H

#include "console/catalog/catalog.h"

struct zone_row {
    int64_t id;
    char *name;
    wall_ms updated_ms;
};
struct zone_rows {
    struct zone_row *items;
    size_t count;
};

int zones_create(struct catalog *, const struct change_ctx *, const char *name,
                 struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;
int zones_list(struct catalog *, struct zone_rows *ret_rows,
               struct xp_err *) XP_MUST_CHECK; /* by id */
int zones_get(struct catalog *, int64_t id, struct zone_row *ret_row,
              struct xp_err *) XP_MUST_CHECK;
void zone_row_done(struct zone_row *);
void zones_done(struct zone_rows *);

#endif
