/* migration_states.h - the words of a migration: statuses, steps, modes, policies, as x-pipe writes them (dr-switchover.md 2.1, 3.1), and
 * what each status means. A table, nothing else. Thread: any. */
#ifndef CONSOLE_MIGRATION_MIGRATION_STATES_H
#define CONSOLE_MIGRATION_MIGRATION_STATES_H

#include <stdbool.h>

enum migration_status {
    MIG_INITIATED,
    MIG_CHECKING,
    MIG_CHECKING_FAIL,
    MIG_PRE_MIGRATING,
    MIG_MIGRATING,
    MIG_PARTIAL_SUCCESS,
    MIG_PARTIAL_RETRY_FAIL,
    MIG_PUBLISH,
    MIG_PUBLISH_FAIL,
    MIG_ROLL_BACK,
    MIG_ROLL_BACK_FAIL,
    MIG_ABORTED,
    MIG_SUCCESS,
    MIG_FORCE_END,
    MIG_STATUSES,
};

struct migration_status_info {
    const char *text;           /* "PartialRetryFail": in the database and on pages */
    const char *cluster_status; /* "Lock", "Migrating", "Rollback", "Normal" */
    const char *type;           /* "Init", "Processing", "Success", "Fail" */
    /* of checkstatus: "INITED", "MIGRATING", "FAIL", "ROLLBACK", "ROLLBACKSUCCESS", "SUCCESS" */
    const char *ticket;
    /* why it may not be rolled back; "%lld" stands for the event id; NULL: it may */
    const char *no_rollback;
    int percent;
    bool is_paused; /* waits for an operator */
    bool is_terminal;
    bool may_force_process;
    bool may_force_end;
};
const struct migration_status_info *migration_status_info(enum migration_status status);
bool migration_status_from_text(const char *text, enum migration_status *ret_status);

enum migration_step {
    STEP_CHECK,
    STEP_PRE_MIGRATING,
    STEP_PREVIOUS_PRIMARY, /* MIGRATE_PREVIOUS_PRIMARY_DC: the fence */
    STEP_NEW_PRIMARY,      /* MIGRATE_NEW_PRIMARY_DC: the promotion */
    STEP_OTHER_DC,         /* MIGRATE_OTHER_DC */
    STEP_MIGRATE,
    MIGRATION_STEPS,
};
const char *migration_step_key(enum migration_step step);

enum migration_mode { MODE_AUTO, MODE_PLANNED, MODE_DISASTER };
const char *migration_mode_text(enum migration_mode mode); /* "auto", "planned", "disaster" */
bool migration_mode_from_text(const char *text, enum migration_mode *ret_mode);
enum migration_policy { POLICY_CANARY, POLICY_ALL };
const char *migration_policy_text(enum migration_policy policy); /* "canary", "all" */
bool migration_policy_from_text(const char *text, enum migration_policy *ret_policy);

#endif
