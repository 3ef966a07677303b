/* monitor_decide_golden.c - the decision about a shard's monitor on one sentinel.
 *
 * Input: {"place":"primary|backup|outside", "migrating", "master":"ip:port" (no key: no single master), "seen":"present|absent|unknown",
 * "watched":"ip:port", "failing_over", "differs_for_ms" (no key: it does not)}. differs_ms is 30,000. */
#include <jansson.h>
#include <string.h>

#include "meta/primary/monitor_decide.h"
#include "shared/base/mem.h"
#include "tests/golden/golden.h"

#include "shared/base/banned.h"

#define NOW_MS 1000000

static const char *text(const json_t *input, const char *key)
{
    const char *value = json_string_value(json_object_get(input, key));
    return value ? value : "";
}

/* The index of a word; an unknown one fails the case. */
static int word_of(const json_t *input, const char *key, const char *const *words,
                   struct xp_err *err)
{
    for (int i = 0; words[i]; i++) {
        if (strcmp(words[i], text(input, key)) == 0) {
            return i;
        }
    }
    return xp_fail(err, XP_INVALID, "%s: '%s' is no word of it", key, text(input, key));
}

static int addr_from(const json_t *input, const char *key, struct addr *ret_addr,
                     struct xp_err *err)
{
    const char *value = text(input, key);
    *ret_addr = (struct addr){ 0 };
    return value[0] ? addr_parse(value, strlen(value), ret_addr, err) : 0;
}

static int decide(const json_t *input, struct str *out, struct xp_err *err)
{
    static const char *const places[] = {
        [TREE_OUTSIDE] = "outside", [TREE_PRIMARY] = "primary", [TREE_BACKUP] = "backup", NULL
    };
    static const char *const seen_words[] = { [MONITOR_UNKNOWN] = "unknown",
                                              [MONITOR_ABSENT] = "absent",
                                              [MONITOR_PRESENT] = "present",
                                              NULL };
    int place = word_of(input, "place", places, err);
    int seen = word_of(input, "seen", seen_words, err);
    const json_t *differs = json_object_get(input, "differs_for_ms");
    struct monitor_facts facts = {
        .now = NOW_MS,
        .is_migrating = json_is_true(json_object_get(input, "migrating")),
        .is_fenced = json_is_true(json_object_get(input, "fenced")),
        .is_promoted = json_is_true(json_object_get(input, "promoted")),
        .is_left = json_is_true(json_object_get(input, "left")),
        .is_single_master = json_object_get(input, "master") != NULL,
        .is_failing_over = json_is_true(json_object_get(input, "failing_over")),
        .differs_since = differs ? NOW_MS - json_integer_value(differs) : MONO_NEVER,
        .differs_ms = 30000,
    };
    if (place < 0 || seen < 0 || addr_from(input, "master", &facts.master, err) != 0 ||
        addr_from(input, "watched", &facts.watched, err) != 0) {
        return err->code;
    }
    facts.place = (enum tree_place)place;
    facts.seen = (enum monitor_seen)seen;
    struct monitor_plan plan;
    monitor_decide(&facts, &plan);
    str_printf(out, "%s %s\n", plan.rule, monitor_action_text(plan.action));
    return 0;
}

int main(int argc, char **argv)
{
    return golden_json_main(argc, argv, "tests/golden/monitor_decide", decide);
}
