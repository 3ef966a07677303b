/* migration_rows_internal.h - between migration_rows.c and shard_row_json.c only: the two JSON columns of a shard. Thread: any. */
#ifndef CONSOLE_MIGRATION_MIGRATION_ROWS_INTERNAL_H
#define CONSOLE_MIGRATION_MIGRATION_ROWS_INTERNAL_H

#include "console/migration/migration_rows.h"

/* Everything that the log does not hold. Returned owned. */
char *shard_row_state_text(const struct migration_shard_row *);
/* Fill a zeroed row; XP_INTERNAL: the column holds something else. */
int shard_row_from_state(const char *text, struct migration_shard_row *row,
                         struct xp_err *) XP_MUST_CHECK;
int shard_row_from_log(const char *text, struct migration_shard_row *row,
                       struct xp_err *) XP_MUST_CHECK;

bool migration_call_from_text(const char *text, enum migration_call *ret_call);
bool call_outcome_from_text(const char *text, enum call_outcome *ret_outcome);

#endif
