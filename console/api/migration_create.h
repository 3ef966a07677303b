/* migration_create.h - POST /api/v2/migrations: a migration is made, or only shown (dry run), with its plan.
 *
 *   {"from","to","clusters":[...] or "all":true,"mode","policy","operator","tag","dryRun","planHash"}
 *
 * A dry run answers 200 with the plan of every cluster and one planHash over all of them (switch_plan.h). With planHash the plan is made anew and
 * must have that hash, and the metadata must be those of the plan when the clusters are locked: else 409 with what differs, and nothing is done.
 * Idempotency-Key: idempotency.h. 201 with Location; 409 when none of the clusters can be migrated. Thread: workers; waits on the loop. */
#ifndef CONSOLE_API_MIGRATION_CREATE_H
#define CONSOLE_API_MIGRATION_CREATE_H

#include "shared/net/http_server.h"

http_handler migration_create;

#endif
