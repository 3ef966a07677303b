/* inventory_decide_golden.c - what is done about keepers that the document does not want, over recorded situations.
 *
 * Input: {"why", "mode", "confirmed_ms_ago" (-1: never), "held", "problems", "limit", "grace_ms", "items": [..]}. An item without members is
 * an orphan that may go; its members say what is different: "wanted", "present", "place", "ours", "migrating", "owned", "settled",
 * "seen_ms_ago", "rounds". */
#include <jansson.h>
#include <string.h>

#include "meta/keepers/inventory_decide.h"
#include "shared/base/mem.h"
#include "shared/model/json_decode.h"
#include "tests/golden/golden.h"

#include "shared/base/banned.h"

#define NOW_MS    100000000
#define ITEMS_MAX 32

static int64_t number(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : otherwise;
}

static bool flag(const json_t *object, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(object, key);
    return value ? json_is_true(value) : otherwise;
}

static enum orphan_mode mode_of(const json_t *input)
{
    const char *text = json_string_value(json_object_get(input, "mode"));
    if (!text || text_eq(text, "known")) {
        return ORPHANS_KNOWN;
    }
    return text_eq(text, "remove") ? ORPHANS_REMOVE : ORPHANS_REPORT;
}

static struct inventory_item item_of(const json_t *value)
{
    return (struct inventory_item){
        .is_wanted = flag(value, "wanted", false),
        .is_shard_present = flag(value, "present", false),
        .is_place_wanted = flag(value, "place", false),
        .was_ours = flag(value, "ours", true),
        .is_migrating = flag(value, "migrating", false),
        .is_owned = flag(value, "owned", true),
        .is_settled = flag(value, "settled", false),
        .first_seen = NOW_MS - number(value, "seen_ms_ago", 700000),
        .rounds = (int)number(value, "rounds", 10),
    };
}

static int run(const char *input, size_t length, struct str *out, struct xp_err *err)
{
    json_auto_t *json = NULL;
    struct inventory_item items[ITEMS_MAX];
    struct inventory_outcome outcomes[ITEMS_MAX];
    size_t i;
    json_t *value;
    int rc = jd_parse(input, length, &json, err);
    if (rc != 0) {
        return rc;
    }
    json_array_foreach (json_object_get(json, "items"), i, value) {
        xp_check(i < ITEMS_MAX);
        items[i] = item_of(value);
    }
    int64_t confirmed_ago = number(json, "confirmed_ms_ago", 30000);
    struct inventory_facts facts = {
        .now = NOW_MS,
        .confirmed_at = confirmed_ago < 0 ? MONO_NEVER : NOW_MS - confirmed_ago,
        .held = (int)number(json, "held", 0),
        .problems = (int)number(json, "problems", 0),
        .items = items,
        .count = json_array_size(json_object_get(json, "items")),
        .mode = mode_of(json),
        .fresh_ms = 120000,
        .grace_ms = number(json, "grace_ms", 600000),
        .rounds = 3,
        .limit = (int)number(json, "limit", 5),
    };
    inventory_decide(&facts, outcomes);
    inventory_print(outcomes, facts.count, out);
    return 0;
}

int main(int argc, char **argv)
{
    return golden_main(argc, argv, "tests/golden/inventory_decide", run);
}
