/* execution_log.h - what a step did, for people, in x-pipe's lines (metaserver.md 4.5):
 *   [info][2024-01-31T23:59:59.123]text\n
 * Bounded at SWITCH_LOG_MAX: the head and the tail stay, what is left out in between is said. Thread: its owner's. */
#ifndef SHARED_SWITCH_EXECUTION_LOG_H
#define SHARED_SWITCH_EXECUTION_LOG_H

#include "shared/base/err.h"
#include "shared/base/str.h"

struct execution_log;

/* The first line names who executes: "meta server:{\"ip\":..,\"port\":..}"; NULL: none. */
struct execution_log *execution_log_new(const char *first_line);
void execution_log_free(struct execution_log *); /* NULL is fine */
void execution_log_info(struct execution_log *, const char *fmt, ...) XP_PRINTF(2, 3);
void execution_log_warn(struct execution_log *, const char *fmt, ...) XP_PRINTF(2, 3);
void execution_log_error(struct execution_log *, const char *fmt, ...) XP_PRINTF(2, 3);
/* Owned; the log is empty afterwards. */
char *execution_log_take(struct execution_log *);

#endif
