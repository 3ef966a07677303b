/* dcs.h - data centres (console-api.md 3.1). See catalog.h. A name cannot change; spelling is kept as created. */
#ifndef CONSOLE_CATALOG_DCS_H
#define CONSOLE_CATALOG_DCS_H

#include "console/catalog/catalog.h"

struct dc_row {
    int64_t id;
    int64_t zone_id;
    char *zone_name;
    char *name; /* inner, as stored */
    char *description;
    bool is_active;
    char *last_modified; /* yyyyMMddHHmmssSSS, UTC */
    wall_ms updated_ms;
    int64_t version; /* idx of the last change that touched this DC's document */
};
struct dc_rows {
    struct dc_row *items;
    size_t count;
};
struct dc_edit { /* for create and update */
    const char *name;
    int64_t zone_id; /* 0: absent; required by create */
    const char *description;
    enum tri active;
};

int dcs_create(struct catalog *, const struct change_ctx *, const struct dc_edit *,
               struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;
int dcs_update(struct catalog *, const struct change_ctx *, const struct dc_edit *,
               struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;
/* Refused while clusters, keeper containers, proxies, routes or sentinels refer to it. */
int dcs_delete(struct catalog *, const struct change_ctx *, const char *name,
               struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;
int dcs_list(struct catalog *, struct dc_rows *ret_rows, struct xp_err *) XP_MUST_CHECK; /* by id */
int dcs_get(struct catalog *, const char *name, struct dc_row *ret_row,
            struct xp_err *) XP_MUST_CHECK;
void dc_row_done(struct dc_row *);
void dcs_done(struct dc_rows *);

#endif
