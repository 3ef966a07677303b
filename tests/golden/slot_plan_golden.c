/* slot_plan_golden.c - the leader's slot decisions over recorded situations.
 *
 * Input: {"now_ms", "grace_ms", "unknown_grace_ms", "known_since_ms", "allow_moves", "level_out",
 * "alive": [ids],
 * "gone": [{"id","at_ms"}], "slots": [{"range":"0-127", <slot JSON>}]}; slots not named have no node. */
#include <jansson.h>
#include <string.h>

#include "meta/slots/slot_plan.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/golden/golden.h"

#include "shared/base/banned.h"

#define SERVERS_MAX 64

struct situation {
    struct slot_fact slots[SLOT_COUNT];
    int64_t alive[SERVERS_MAX];
    struct gone_server gone[SERVERS_MAX];
    struct slot_plan_facts facts;
};

static int64_t number(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : otherwise;
}

/* "7" or "0-127" */
static bool read_range(const char *text, int64_t *ret_first, int64_t *ret_last)
{
    size_t head = text ? strcspn(text, "-") : 0;
    if (head == 0 || !text_to_i64(text, head, 0, SLOT_COUNT - 1, ret_first)) {
        return false;
    }
    *ret_last = *ret_first;
    const char *rest = text + head + 1;
    return text[head] == '\0' || text_to_i64(rest, strlen(rest), 0, SLOT_COUNT - 1, ret_last);
}

static int read_slots(struct situation *s, const json_t *list, struct xp_err *err)
{
    size_t i;
    json_t *item;
    json_array_foreach (list, i, item) {
        int64_t first;
        int64_t last;
        if (!read_range(json_string_value(json_object_get(item, "range")), &first, &last)) {
            return xp_fail(err, XP_INVALID, "slots[%zu].range is wrong", i);
        }
        AUTO_FREE char *text = json_dumps(item, JSON_COMPACT);
        struct slot slot;
        int rc = slot_parse(text, strlen(text), &slot, err);
        if (rc < 0) {
            return rc;
        }
        for (int64_t at = first; at <= last; at++) {
            s->slots[at] = (struct slot_fact){ .is_known = true, .slot = slot };
        }
    }
    return 0;
}

static int read_servers(struct situation *s, const json_t *root, struct xp_err *err)
{
    const json_t *alive = json_object_get(root, "alive");
    const json_t *gone = json_object_get(root, "gone");
    if (json_array_size(alive) > SERVERS_MAX || json_array_size(gone) > SERVERS_MAX) {
        return xp_fail(err, XP_TOO_LARGE, "more than %d servers", SERVERS_MAX);
    }
    for (size_t i = 0; i < json_array_size(alive); i++) {
        s->alive[i] = (int64_t)json_integer_value(json_array_get(alive, i));
    }
    for (size_t i = 0; i < json_array_size(gone); i++) {
        const json_t *item = json_array_get(gone, i);
        s->gone[i] = (struct gone_server){ .id = number(item, "id", 0),
                                           .gone_at = number(item, "at_ms", 0) };
    }
    s->facts.alive = s->alive;
    s->facts.alive_count = json_array_size(alive);
    s->facts.gone = s->gone;
    s->facts.gone_count = json_array_size(gone);
    return 0;
}

static int read_situation(const json_t *root, struct situation *s, struct xp_err *err)
{
    s->facts.slots = s->slots;
    s->facts.now = number(root, "now_ms", 0);
    s->facts.gone_grace_ms = number(root, "grace_ms", 0);
    s->facts.unknown_grace_ms = number(root, "unknown_grace_ms", 0);
    s->facts.servers_known_since = number(root, "known_since_ms", 0);
    s->facts.level_out = json_is_true(json_object_get(root, "level_out"));
    s->facts.allow_moves = !json_is_false(json_object_get(root, "allow_moves"));
    int rc = read_servers(s, root, err);
    return rc < 0 ? rc : read_slots(s, json_object_get(root, "slots"), err);
}

/* Who would hold how many slots once the plan is carried out: the line a reader checks first. */
static void print_after(const struct situation *s, const struct slot_plan *plan, struct str *out)
{
    int64_t owner[SLOT_COUNT];
    for (int i = 0; i < SLOT_COUNT; i++) {
        owner[i] = s->slots[i].is_known ? s->slots[i].slot.server_id : 0;
    }
    for (size_t i = 0; i < plan->count; i++) {
        owner[plan->steps[i].slot] = plan->steps[i].to;
    }
    str_puts(out, "after:");
    for (size_t i = 0; i < s->facts.alive_count; i++) {
        int held = 0;
        for (int at = 0; at < SLOT_COUNT; at++) {
            held += owner[at] == s->alive[i];
        }
        str_printf(out, " %lld=%d", (long long)s->alive[i], held);
    }
    str_putc(out, '\n');
    if (plan->look_again_at != MONO_FOREVER) {
        str_printf(out, "look again at %lld ms\n", (long long)plan->look_again_at);
    }
}

static int plan_text(const json_t *root, struct str *out, struct xp_err *err)
{
    struct situation s = { 0 };
    int rc = read_situation(root, &s, err);
    if (rc < 0) {
        return rc;
    }
    struct slot_plan plan;
    slot_plan_decide(&s.facts, &plan);
    slot_plan_print(&plan, out);
    print_after(&s, &plan, out);
    return 0;
}

int main(int argc, char **argv)
{
    return golden_json_main(argc, argv, "tests/golden/slot_plan", plan_text);
}
