/* promote_decide_golden.c - the decision about a promotion: whom, when, whether.
 *
 * Input: {"goal":"check|drain|promote", "mode":"planned|disaster", "order":{"id","offset"} (no key: no masterInfo), "drain_left_ms",
 * "left_ms", "sent_to":"ip:port", "lost", "maybe":"ip:port", "nodes":[{"addr", "is":"master|replica|keeper|other|silent|new", "of":"ip:port", "link", "id", "id2",
 * "second", "offset", "priority", "tries", "error"}]}. A silent node keeps what it said before; a new one was not asked. No key: unknown,
 * but link connected, priority 100, 1 try, and 1,000 ms left of each time. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "shared/switch/promote.h"
#include "shared/base/mem.h"
#include "tests/golden/golden.h"

#include "shared/base/banned.h"

#define NOW_MS    1000000
#define NODES_MAX 8

static const char *text(const json_t *object, const char *key, const char *otherwise)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : otherwise;
}

static int64_t number(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : otherwise;
}

static const char *const goals[] = { "check", "drain", "promote", NULL };
static const char *const modes[] = { "planned", "disaster", NULL };
static const char *const kinds[] = {
    "other", "master", "replica", "keeper", "silent", "new", NULL
}; /* as enum role_kind, and two more */
enum { IS_SILENT = ROLE_KIND_KEEPER + 1, IS_NEW };

static int word_from(const json_t *object, const char *key, const char *const *words,
                     int *ret_value, struct xp_err *err)
{
    for (int i = 0; words[i]; i++) {
        if (strcmp(words[i], text(object, key, "")) == 0) {
            *ret_value = i;
            return 0;
        }
    }
    return xp_fail(err, XP_INVALID, "%s: '%s' is no word of it", key, text(object, key, ""));
}

static int addr_from(const json_t *object, const char *key, struct addr *ret_addr,
                     struct xp_err *err)
{
    const char *value = text(object, key, "");
    *ret_addr = (struct addr){ 0 };
    return value[0] ? addr_parse(value, strlen(value), ret_addr, err) : 0;
}

static int node_from(const json_t *value, struct promote_node *node, struct xp_err *err)
{
    int is = 0;
    *node = (struct promote_node){
        .offset = number(value, "offset", -1),
        .second_offset = number(value, "second", -1),
        .priority = number(value, "priority", 100),
        .is_read_only = true,
        .min_slaves = 0,
        .tries = (int)number(value, "tries", 1),
    };
    (void)snprintf(node->repl_id, sizeof(node->repl_id), "%s", text(value, "id", ""));
    (void)snprintf(node->repl_id2, sizeof(node->repl_id2), "%s", text(value, "id2", ""));
    (void)snprintf(node->error, sizeof(node->error), "%s", text(value, "error", ""));
    if (word_from(value, "is", kinds, &is, err) != 0 ||
        addr_from(value, "addr", &node->addr, err) != 0 ||
        addr_from(value, "of", &node->role.master, err) != 0) {
        return err->code;
    }
    node->was_asked = is != IS_NEW;
    node->is_silent = is == IS_SILENT;
    node->why = node->is_silent ? RCONN_NOT_CONNECTED : RCONN_ANSWERED;
    node->role.kind = is < IS_SILENT ? (enum role_kind)is : ROLE_KIND_UNKNOWN;
    node->role.offset = -1;
    if (node->role.kind == ROLE_KIND_REPLICA) {
        node->role.link = role_link_from_text(text(value, "link", "connected"));
    }
    return 0;
}

static int nodes_from(const json_t *input, struct promote_node *nodes, size_t *ret_count,
                      struct xp_err *err)
{
    const json_t *array = json_object_get(input, "nodes");
    size_t count = json_array_size(array);
    if (count > NODES_MAX) {
        return xp_fail(err, XP_INVALID, "nodes: at most %d", NODES_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        if (node_from(json_array_get(array, i), &nodes[i], err) != 0) {
            return xp_wrap(err, "nodes[%zu]", i);
        }
    }
    *ret_count = count;
    return 0;
}

static void print(const struct promote_facts *facts, const struct promote_plan *plan,
                  struct str *out)
{
    static const char *const words[] = {
        [PROMOTE_ORDER_LOOK] = "look",       [PROMOTE_ORDER_OFFSET] = "offset",
        [PROMOTE_ORDER_PROMOTE] = "promote", [PROMOTE_ORDER_ROLE] = "role",
        [PROMOTE_ORDER_REWRITE] = "rewrite",
    };
    str_printf(out, "%s %s # %s\n", plan->rule,
               plan->is_over ? promote_outcome_text(plan->outcome) : "goes on", plan->why);
    if (plan->candidate >= 0) {
        xp_check((size_t)plan->candidate < facts->count);
        str_printf(out, "candidate %s, %s", ADDR_TEXT(&facts->nodes[plan->candidate].addr),
                   plan->is_drained ? "drained" : "not drained");
        if (plan->gap >= 0) {
            str_printf(out, ", gap %" PRId64 "\n", plan->gap);
        } else {
            str_puts(out, ", gap unknown\n");
        }
    }
    for (size_t i = 0; i < plan->order_count; i++) {
        str_printf(out, "after %" PRId64 " ms: %s %s\n", plan->pause_ms,
                   words[plan->orders[i].kind],
                   ADDR_TEXT(&facts->nodes[plan->orders[i].node].addr));
    }
}

static int sent_from(const json_t *input, struct promote_facts *facts, struct xp_err *err)
{
    struct addr addr;
    if (addr_from(input, "sent_to", &addr, err) != 0) {
        return err->code;
    }
    for (size_t i = 0; i < facts->count; i++) {
        if (!addr_is_none(&addr) && addr_eq(&facts->nodes[i].addr, &addr)) {
            facts->candidate = (int)i;
            facts->was_sent = true;
            facts->was_lost = json_is_true(json_object_get(input, "lost"));
        }
    }
    return 0;
}

static int decide(const json_t *input, struct str *out, struct xp_err *err)
{
    struct promote_node nodes[NODES_MAX];
    const json_t *told = json_object_get(input, "order");
    struct switch_order order = { .has_info = told != NULL, .offset = number(told, "offset", 0) };
    struct promote_facts facts = { .now = NOW_MS,
                                   .deadline = NOW_MS + number(input, "left_ms", 1000),
                                   .drain_until = NOW_MS + number(input, "drain_left_ms", 1000),
                                   .order = &order,
                                   .nodes = nodes,
                                   .candidate = -1 };
    int goal = 0;
    int mode = 0;
    (void)snprintf(order.repl_id, sizeof(order.repl_id), "%s", text(told, "id", ""));
    if (word_from(input, "goal", goals, &goal, err) != 0 ||
        word_from(input, "mode", modes, &mode, err) != 0 ||
        nodes_from(input, nodes, &facts.count, err) != 0 || sent_from(input, &facts, err) != 0 ||
        addr_from(input, "maybe", &facts.maybe, err) != 0) {
        return err->code;
    }
    facts.goal = (enum promote_goal)goal;
    order.is_disaster = mode == 1;
    struct promote_plan plan;
    promote_decide(&facts, &plan);
    print(&facts, &plan, out);
    return 0;
}

static int run(const char *input, size_t length, struct str *out, struct xp_err *err)
{
    json_error_t where;
    json_t *json = json_loadb(input, length, JSON_REJECT_DUPLICATES, &where);
    if (!json) {
        return xp_fail(err, XP_INVALID, "line %d: %s", where.line, where.text);
    }
    int rc = decide(json, out, err);
    json_decref(json);
    return rc;
}

int main(int argc, char **argv)
{
    return golden_main(argc, argv, "tests/golden/promote_decide", run);
}
