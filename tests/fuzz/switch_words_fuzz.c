/* switch_words_fuzz.c - bodies of a switchover from a console or metaserver of unknown kind: what is accepted is written and read
 * again, and is the same then. */
#include "shared/model/json_decode.h"
#include "shared/switch/switch_words.h"
#include "tests/fuzz/fuzz.h"

#include "shared/base/banned.h"

/* The second writing must equal the first. */
static void same(json_t *first /* taken */, json_t *second /* taken */)
{
    xp_check(first && second && json_equal(first, second));
    json_decref(first);
    json_decref(second);
}

static void check_fence(const json_t *json)
{
    struct switch_fence a = { 0 };
    struct switch_fence b = { 0 };
    struct xp_err err;
    if (switch_fence_from_json(json, &a, &err) != 0) {
        return;
    }
    json_t *written = switch_fence_to_json(&a);
    xp_check(switch_fence_from_json(written, &b, &err) == 0);
    same(written, switch_fence_to_json(&b));
    switch_fence_done(&a);
    switch_fence_done(&b);
}

static void check_fence_order(const json_t *json)
{
    struct switch_fence_order a;
    struct switch_fence_order b;
    struct xp_err err;
    if (switch_fence_order_from_json(json, &a, &err) != 0) {
        return;
    }
    json_t *written = switch_fence_order_to_json(&a);
    xp_check(switch_fence_order_from_json(written, &b, &err) == 0);
    same(written, switch_fence_order_to_json(&b));
}

static void check_order(const json_t *json)
{
    struct switch_order a;
    struct switch_order b;
    struct xp_err err;
    if (switch_order_from_json(json, &a, &err) != 0) {
        return;
    }
    json_t *written = switch_order_to_json(&a);
    xp_check(switch_order_from_json(written, &b, &err) == 0);
    same(written, switch_order_to_json(&b));
}

static void check_change(const json_t *json)
{
    struct switch_change a = { 0 };
    struct switch_change b = { 0 };
    struct xp_err err;
    if (switch_change_from_json(json, &a, &err) != 0) {
        return;
    }
    json_t *written = switch_change_to_json(&a);
    xp_check(switch_change_from_json(written, &b, &err) == 0);
    same(written, switch_change_to_json(&b));
    switch_change_done(&a);
    switch_change_done(&b);
}

static void check_check(const json_t *json)
{
    struct switch_check a = { 0 };
    struct switch_check b = { 0 };
    struct xp_err err;
    if (switch_check_from_json(json, &a, &err) != 0) {
        return;
    }
    json_t *written = switch_check_to_json(&a);
    xp_check(switch_check_from_json(written, &b, &err) == 0);
    same(written, switch_check_to_json(&b));
    switch_check_done(&a);
    switch_check_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    json_t *json = NULL;
    struct xp_err err;
    if (jd_parse((const char *)bytes, size, &json, &err) != 0) {
        return 0;
    }
    check_fence(json);
    check_fence_order(json);
    check_order(json);
    check_change(json);
    check_check(json);
    json_decref(json);
    return 0;
}
