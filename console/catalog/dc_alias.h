/* dc_alias.h - outer and inner names of DCs (console-api.md 1.4).
 *
 * Inner: dc_tbl.dc_name. Outer: what DBA tools say. Configuration is JSON {"<inner>":"<outer>"}, such as
 * {"FRA":"FRA-AWS"}. Names compare without regard to ASCII case; unknown names pass unchanged. On input both names are
 * accepted everywhere (console/catalog does it itself); which name an answer shows is the endpoint's business.
 * Immutable after parsing. Thread: any. */
#ifndef CONSOLE_CATALOG_DC_ALIAS_H
#define CONSOLE_CATALOG_DC_ALIAS_H

#include "shared/base/err.h"

struct dc_alias;

/* NULL or blank text: no aliases. Refuses: not an object of texts, one outer name for two DCs, an outer name that is the
 * inner name of another entry. Returns owned (dc_alias_free). */
int dc_alias_parse(const char *json_text, struct dc_alias **ret_alias,
                   struct xp_err *) XP_MUST_CHECK;
void dc_alias_free(struct dc_alias *);
/* Both return a borrowed text: the mapped one (valid as long as the alias), or 'name' itself. 'alias' may be NULL. */
const char *dc_alias_inner(const struct dc_alias *alias, const char *name);
const char *dc_alias_outer(const struct dc_alias *alias, const char *name);

#endif
