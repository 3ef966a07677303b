/* switches.h - what an operator turns on and off at run time: rows of config_tbl (console-api.md 3.12). Thread: workers. */
#ifndef CONSOLE_CATALOG_SWITCHES_H
#define CONSOLE_CATALOG_SWITCHES_H

#include "console/catalog/catalog.h"

#define SWITCH_IGNORE_MIGRATION_SYSTEM "ignore.migration.system.avail" /* off */
#define SWITCH_ALLOW_AUTO_MIGRATION    "allow.migration.auto"          /* on */

/* 'absent' when it was never set. */
int switches_get(const struct catalog *, const char *key, bool absent, bool *ret_value,
                 struct xp_err *) XP_MUST_CHECK;
/* 'user' may be NULL. */
int switches_set(const struct catalog *, const struct change_ctx *, const char *key, bool value,
                 const char *user, struct xp_err *) XP_MUST_CHECK;

#endif
