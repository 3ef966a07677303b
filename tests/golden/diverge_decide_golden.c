/* diverge_decide_golden.c - may a Redis that follows nobody be told to follow, and what is remembered of what it has of its own?
 *
 * Input: {"master" (else frozen), "held", "own":HISTORY, "point":HISTORY (no key: not told), "fence":{"id","offset"} (no key: none), "recorded",
 * "written", "waited_ms"}; HISTORY: {"id","id2","second","offset","data"}, ids of one letter stand for 40 of them. patience_ms is 2,000. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "meta/primary/diverge_decide.h"
#include "shared/base/mem.h"
#include "tests/golden/golden.h"

#include "shared/base/banned.h"

static void id_from(const json_t *object, const char *key, char *ret_id)
{
    const char *letter = json_string_value(json_object_get(object, key));
    memset(ret_id, 0, REPL_ID_SIZE);
    if (letter && letter[0]) {
        memset(ret_id, letter[0], REPL_ID_SIZE - 1);
    }
}

static int64_t number_from(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

static struct repl_history history_from(const json_t *input, const char *key)
{
    const json_t *object = json_object_get(input, key);
    struct repl_history h = { .second_offset = number_from(object, "second"),
                              .offset = number_from(object, "offset"),
                              .has_data = json_is_true(json_object_get(object, "data")) };
    id_from(object, "id", h.repl_id);
    id_from(object, "id2", h.repl_id2);
    return h;
}

static int decide(const json_t *input, struct str *out, struct xp_err *err)
{
    static const char *const verdicts[] = { [DIVERGE_PASS] = "pass",
                                            [DIVERGE_HOLD] = "hold",
                                            [DIVERGE_WAIT] = "wait",
                                            [DIVERGE_RECORD] = "record" };
    const json_t *fence = json_object_get(input, "fence");
    struct diverge_facts facts = {
        .is_master = json_is_true(json_object_get(input, "master")),
        .is_held = json_is_true(json_object_get(input, "held")),
        .own = history_from(input, "own"),
        .point = history_from(input, "point"),
        .fence_offset = number_from(fence, "offset"),
        .is_recorded = json_is_true(json_object_get(input, "recorded")),
        .is_written = json_is_true(json_object_get(input, "written")),
        .waited_ms = json_integer_value(json_object_get(input, "waited_ms")),
        .patience_ms = 2000,
    };
    struct diverge_plan plan;
    if (!json_object_get(input, "own")) {
        return xp_fail(err, XP_INVALID, "own: is missing");
    }
    id_from(fence, "id", facts.fence_repl_id);
    diverge_decide(&facts, &plan);
    str_printf(out, "%s %s: %s\n", plan.rule, verdicts[plan.verdict], plan.text);
    str_printf(out, "bytes %" PRId64 " beyond %" PRId64 ", %s\n", plan.bytes, plan.promoted_offset,
               diverge_why_text(plan.why));
    return 0;
}

int main(int argc, char **argv)
{
    return golden_json_main(argc, argv, "tests/golden/diverge_decide", decide);
}
