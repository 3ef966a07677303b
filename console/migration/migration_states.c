/* migration_states.c - see migration_states.h. */
#include "console/migration/migration_states.h"

#include <stddef.h>

#include "shared/base/err.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define PUBLISHED_NO_ROLLBACK                                                                      \
    "[doRollback][xpipe succeed, publish results to redis client fail, can not tryRollback, "      \
    "find DBA to manually solve this problem]eventId:%lld"
#define SWITCHED_NO_ROLLBACK                                                                       \
    "[doRollback][the active dc is switched already, can not tryRollback: publish again "          \
    "(process), "                                                                                  \
    "forceEnd, or migrate back with a new event]eventId:%lld"

/* clang-format off */
static const struct migration_status_info infos[MIG_STATUSES] = {
    [MIG_INITIATED]          = { "Initiated",        "Lock",      "Init",       "INITED",          NULL, 0,   false, false, false, false },
    [MIG_CHECKING]           = { "Checking",         "Lock",      "Processing", "MIGRATING",       NULL, 10,  false, false, false, false },
    [MIG_CHECKING_FAIL]      = { "CheckingFail",     "Lock",      "Processing", "FAIL",            NULL, 10,  true,  false, true,  false },
    [MIG_PRE_MIGRATING]      = { "PreMigrating",     "Lock",      "Processing", "MIGRATING",       NULL, 20,  false, false, false, false },
    [MIG_MIGRATING]          = { "Migrating",        "Migrating", "Processing", "MIGRATING",       NULL, 30,  false, false, false, false },
    [MIG_PARTIAL_SUCCESS]    = { "PartialSuccess",   "Migrating", "Processing", "FAIL",            NULL, 40,  false, false, true,  false },
    [MIG_PARTIAL_RETRY_FAIL] = { "PartialRetryFail", "Migrating", "Processing", "FAIL",            NULL, 40,  true,  false, true,  false },
    [MIG_PUBLISH]            = { "Publish",          "Migrating", "Processing", "MIGRATING",
                                 PUBLISHED_NO_ROLLBACK, 80,  false, false, false, true },
    [MIG_PUBLISH_FAIL]       = { "PublishFail",      "Migrating", "Processing", "FAIL",
                                 SWITCHED_NO_ROLLBACK, 80,  true,  false, false, true },
    [MIG_ROLL_BACK]          = { "RollBack",         "Rollback",  "Processing", "ROLLBACK",
                                 "already rollbacking, can not tryRollback tryRollback", 30,  false, false, false, false },
    [MIG_ROLL_BACK_FAIL]     = { "RollBackFail",     "Rollback",  "Processing", "FAIL",
                                 "already rollbacking, can not tryRollback rollback", 30,  true,  false, false, false },
    [MIG_ABORTED]            = { "Aborted",          "Normal",    "Fail",       "ROLLBACKSUCCESS",
                                 "tryRollback success, can not tryRollback:Aborted", 100, false, true,  false, false },
    [MIG_SUCCESS]            = { "Success",          "Normal",    "Success",    "SUCCESS",
                                 "already success, can not tryRollback", 100, false, true,  false, false },
    [MIG_FORCE_END]          = { "ForceEnd",         "Normal",    "Fail",       "SUCCESS",
                                 "already force end, can not tryRollback:ForceEnd", 100, false, true,  false, false },
};
/* clang-format on */

const struct migration_status_info *migration_status_info(enum migration_status status)
{
    xp_check((unsigned)status < MIG_STATUSES);
    return &infos[status];
}

bool migration_status_from_text(const char *text, enum migration_status *ret_status)
{
    for (int i = 0; i < MIG_STATUSES; i++) {
        if (text_eq_nocase(text, infos[i].text)) {
            *ret_status = (enum migration_status)i;
            return true;
        }
    }
    return false;
}

const char *migration_step_key(enum migration_step step)
{
    static const char *const keys[MIGRATION_STEPS] = {
        [STEP_CHECK] = "CHECK",
        [STEP_PRE_MIGRATING] = "PRE_MIGRATING",
        [STEP_PREVIOUS_PRIMARY] = "MIGRATE_PREVIOUS_PRIMARY_DC",
        [STEP_NEW_PRIMARY] = "MIGRATE_NEW_PRIMARY_DC",
        [STEP_OTHER_DC] = "MIGRATE_OTHER_DC",
        [STEP_MIGRATE] = "MIGRATE",
    };
    xp_check((unsigned)step < MIGRATION_STEPS);
    return keys[step];
}

/* The index of 'text' among 'words', in any case. */
static bool word_from_text(const char *text, const char *const *words, size_t count, int *ret_value)
{
    for (size_t i = 0; i < count; i++) {
        if (text_eq_nocase(text, words[i])) {
            *ret_value = (int)i;
            return true;
        }
    }
    return false;
}

static const char *const modes[] = { "auto", "planned", "disaster" };
static const char *const policies[] = { "canary", "all" };

const char *migration_mode_text(enum migration_mode mode)
{
    xp_check((unsigned)mode < ARRAY_LEN(modes));
    return modes[mode];
}

bool migration_mode_from_text(const char *text, enum migration_mode *ret_mode)
{
    int value = 0;
    if (!word_from_text(text, modes, ARRAY_LEN(modes), &value)) {
        return false;
    }
    *ret_mode = (enum migration_mode)value;
    return true;
}

const char *migration_policy_text(enum migration_policy policy)
{
    xp_check((unsigned)policy < ARRAY_LEN(policies));
    return policies[policy];
}

bool migration_policy_from_text(const char *text, enum migration_policy *ret_policy)
{
    int value = 0;
    if (!word_from_text(text, policies, ARRAY_LEN(policies), &value)) {
        return false;
    }
    *ret_policy = (enum migration_policy)value;
    return true;
}
