/* fake_duty_world.c - see fake_duty_world.h. */
#include "tests/sim/fake_duty_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"

#include "shared/base/banned.h"

int fake_permission_ask(struct fake_permission *p, struct xp_err *err)
{
    if (p->left > 0) {
        p->left--;
        return 0;
    }
    if (p->left == 0 || !p->is_given) {
        return xp_fail(err, XP_NOT_OWNER, "the lease is over");
    }
    return 0;
}

void fake_permission_set(struct fake_permission *p, bool is_given)
{
    if (p->is_given && !is_given) {
        p->refused_since = clock_mono_ms();
    }
    p->is_given = is_given;
}

void fake_duty_env(struct duty_env *env)
{
    env->client_name = "xpipe-meta-1";
    env->poll_ms = 1000;
    env->poll_fast_ms = 250;
    env->redis_timeout_ms = 2000;
    env->meta_fresh_ms = 120000;
    env->correct_periodically = true;
    env->backoff_first_ms = 60000;
    env->backoff_max_ms = 600000;
    budget_init(&env->correct, 500, 1000, loop_now(env->loop));
    budget_init(&env->cut, 100, 200, loop_now(env->loop));
}

void fake_document_apply(const struct duty_env *env, char *text)
{
    struct xp_err err;
    struct dc_meta *after = NULL;
    if (dc_meta_parse(text, strlen(text), &after, &err) != 0) {
        (void)fprintf(stderr, "%s\n%s\n", err.msg, text);
        abort();
    }
    struct dc_meta *before = dc_store_snapshot(env->store);
    struct dc_diff diff;
    struct brake_limits limits = { .removals = 20, .downgrades = 20 };
    struct brake_verdict verdict;
    dc_diff_make(before, after, dc_store_dc(env->store), &diff);
    dc_brake(&diff, &limits, &verdict);
    xp_check(dc_store_apply(env->store, dc_store_seq(env->store), after, &diff, &verdict,
                            loop_now(env->loop), &err) == 0);
    dc_diff_done(&diff);
    dc_meta_free(before);
    dc_meta_free(after);
    free(text);
}

void fake_duty_pass(const struct duty_env *env, int64_t ms)
{
    mono_ms until = clock_mono_ms() + ms;
    while (clock_mono_ms() < until) {
        mono_ms next = clock_mono_ms() + 1000;
        fake_loop_advance_to(next < until ? next : until);
        dc_store_confirm(env->store, clock_mono_ms());
    }
}
