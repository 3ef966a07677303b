/* azs.h - availability zones of a DC (console-api.md 3.1). See catalog.h. A name is unique over all DCs and cannot change,
 * nor can the DC. Effect of a change: the document of the DC. */
#ifndef CONSOLE_CATALOG_AZS_H
#define CONSOLE_CATALOG_AZS_H

#include "console/catalog/catalog.h"

struct az_row {
    int64_t id;
    int64_t dc_id;
    char *dc;
    char *name;
    bool is_active;
    char *description;
};
struct az_rows {
    struct az_row *items;
    size_t count;
};
struct az_edit {
    const char *dc;
    const char *name;
    enum tri active;         /* absent in create: yes */
    const char *description; /* NULL: unchanged */
};

/* Texts: `dcName empty`, `azName empty`, `DC name <dc> does not exist`, `available zone : <az> already exists`,
 * `availablezone <az> not found`, `This az <az> is not empty, can not be deleted` (keeper containers or redises left). */
int azs_create(struct catalog *, const struct change_ctx *, const struct az_edit *,
               struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;
int azs_update(struct catalog *, const struct change_ctx *, const struct az_edit *,
               struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;
int azs_delete(struct catalog *, const struct change_ctx *, const char *name,
               struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;
/* By id. dc NULL: of all DCs; an unknown DC has none. */
int azs_list(struct catalog *, const char *dc, struct az_rows *ret_rows,
             struct xp_err *) XP_MUST_CHECK;
void az_rows_done(struct az_rows *);

#endif
