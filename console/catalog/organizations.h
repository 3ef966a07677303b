/* organizations.h - organizations: 'id' is ours (stored and published), 'org_id' is what DBA tools send
 * (console-api.md 3.2). The default row (org_id 0, name "") always exists. See catalog.h. */
#ifndef CONSOLE_CATALOG_ORGANIZATIONS_H
#define CONSOLE_CATALOG_ORGANIZATIONS_H

#include "console/catalog/catalog.h"

struct organization_row {
    int64_t id;
    int64_t org_id;
    char *name;
    wall_ms updated_ms;
};
struct organization_rows {
    struct organization_row *items;
    size_t count;
};
struct organization_edit {
    int64_t org_id; /* > 0: external number; identifies the row in an update */
    const char *name;
};

int organizations_create(struct catalog *, const struct change_ctx *,
                         const struct organization_edit *, struct catalog_result *ret_result,
                         struct xp_err *) XP_MUST_CHECK;
int organizations_update(struct catalog *, const struct change_ctx *,
                         const struct organization_edit *, struct catalog_result *ret_result,
                         struct xp_err *) XP_MUST_CHECK; /* the name */
int organizations_list(struct catalog *, struct organization_rows *ret_rows,
                       struct xp_err *) XP_MUST_CHECK; /* by id, without the default row */
void organizations_done(struct organization_rows *);

#endif
