/* fake_duty_world.h - what the worlds of one shard (fake_shard_world.h, fake_tree_world.h) have in common: what every duty is given,
 * permission, the document, time. Thread: one. */
#ifndef TESTS_SIM_FAKE_DUTY_WORLD_H
#define TESTS_SIM_FAKE_DUTY_WORLD_H

#include "meta/shards/shard_set.h"
#include "tests/sim/fake_loop.h"

/* Whether a duty may command, as the test says. */
struct fake_permission {
    bool is_given;
    mono_ms refused_since;
    int left; /* this many questions are answered with yes, then no; -1: as is_given says */
};
#define FAKE_PERMISSION_GIVEN                                                                      \
    {                                                                                              \
        .is_given = true, .refused_since = MONO_NEVER, .left = -1                                  \
    }
int fake_permission_ask(struct fake_permission *, struct xp_err *err);
void fake_permission_set(struct fake_permission *, bool is_given);

/* Settings and full budgets; loop, store, may_command and arg of 'env' are set already. */
void fake_duty_env(struct duty_env *env);
/* A whole document comes from the console; the brakes of these worlds hold nothing. Takes the text. */
void fake_document_apply(const struct duty_env *, char *text);
/* Time passes; the console confirms the document every second. */
void fake_duty_pass(const struct duty_env *, int64_t ms);

#endif
