/* meta_urls.h - the base address of each DC's metaserver, from the setting 'metaservers': {"jq":"http://host:port"}.
 *
 * Names of DCs in any case, inner or outer. Owned by whoever embeds it. Thread: one at a time. */
#ifndef CONSOLE_NOTIFY_META_URLS_H
#define CONSOLE_NOTIFY_META_URLS_H

#include "console/catalog/dc_alias.h"
#include "shared/base/err.h"
#include "shared/base/map.h"
#include "shared/base/str.h"

struct meta_urls {
    struct map urls; /* by inner DC name; values owned, without a slash at the end */
};
#define META_URLS_INIT                                                                             \
    {                                                                                              \
        .urls = {.kind = MAP_TEXT_NOCASE }                                                         \
    }

/* Replaces all; on failure (XP_INVALID: not an object of texts) nothing changes. 'alias' may be NULL. */
int meta_urls_load(struct meta_urls *, const char *json, const struct dc_alias *alias,
                   struct xp_err *) XP_MUST_CHECK;
void meta_urls_done(struct meta_urls *);
/* Borrowed until the next load; NULL: none is configured. */
const char *meta_urls_get(const struct meta_urls *, const char *inner_dc);

#endif
