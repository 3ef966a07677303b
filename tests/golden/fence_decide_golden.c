/* fence_decide_golden.c - the next round of a fence, or its end.
 *
 * Input: {"goal":"hold|freeze|release|whole|look", "left_ms" (1000), "drain_left_ms" (500), "hint":"ip:port", "saved_of":"ip:port", "saved":{"min_slaves",
 * "writable_replica"}, "nodes":[{"addr":"ip:port",
 * "is":"new|silent|master|frozen|replica|unknown", "follows":"ip:port", "link":"connected|connect", "replicas", "offset", "settled", "acked",
 * "min_slaves", "max_lag", "writable_replica", "probe":"refused|accepted|other", "error", "tries"}]}. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/switch/fence.h"
#include "tests/golden/golden.h"

#include "shared/base/banned.h"

#define NOW_MS 1000000

static const char *text(const json_t *input, const char *key)
{
    const char *value = json_string_value(json_object_get(input, key));
    return value ? value : "";
}

static int64_t number(const json_t *input, const char *key, int64_t absent)
{
    const json_t *value = json_object_get(input, key);
    return value ? json_integer_value(value) : absent;
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

enum { IS_NEW, IS_SILENT, IS_MASTER, IS_FROZEN, IS_REPLICA, IS_UNKNOWN };

static int node_from(const json_t *input, struct fence_node *n, struct xp_err *err)
{
    static const char *const kinds[] = { "new",     "silent",  "master", "frozen",
                                         "replica", "unknown", NULL };
    static const char *const probes[] = { "", "refused", "accepted", "other", NULL };
    int is = word_of(input, "is", kinds, err);
    int probe = word_of(input, "probe", probes, err);
    if (is < 0 || probe < 0 || addr_from(input, "addr", &n->addr, err) != 0 ||
        addr_from(input, "follows", &n->role.master, err) != 0) {
        return err->code;
    }
    n->was_asked = is != IS_NEW;
    n->is_silent = is == IS_SILENT;
    n->role.kind = is == IS_MASTER                       ? ROLE_KIND_MASTER
                   : is == IS_FROZEN || is == IS_REPLICA ? ROLE_KIND_REPLICA
                                                         : ROLE_KIND_UNKNOWN;
    n->role.link = role_link_from_text(text(input, "link"));
    n->replicas = (int)number(input, "replicas", 0);
    n->offset = number(input, "offset", is == IS_NEW || is == IS_SILENT ? -1 : 100);
    n->settled_offset = number(input, "settled", -1);
    n->min_replica_offset = number(input, "acked", -1);
    n->min_slaves = number(input, "min_slaves", is == IS_NEW || is == IS_SILENT ? -1 : 0);
    n->max_lag_s = number(input, "max_lag", is == IS_NEW || is == IS_SILENT ? -1 : 10);
    n->is_writable_replica = json_is_true(json_object_get(input, "writable_replica"));
    n->probe = (unsigned)probe;
    n->tries = (int)number(input, "tries", 0);
    (void)snprintf(n->error, sizeof(n->error), "%s", text(input, "error"));
    return 0;
}

static void print(const struct fence_node *nodes, size_t count, const struct fence_plan *plan,
                  struct str *out)
{
    static const char *const orders[] = {
        [FENCE_ORDER_LOOK] = "look",     [FENCE_ORDER_HOLD] = "hold",
        [FENCE_ORDER_FREEZE] = "freeze", [FENCE_ORDER_RELEASE] = "release",
        [FENCE_ORDER_PROBE] = "probe",   [FENCE_ORDER_OFFSET] = "offset",
    };
    str_printf(out, "%s %s\n", plan->rule, plan->why);
    if (plan->is_over) {
        str_printf(out, "over: %s%s, master %s\n", fence_state_text(plan->state),
                   plan->drain_pending ? ", drain pending" : "",
                   plan->master < count ? ADDR_TEXT(&nodes[plan->master].addr) : "none");
    } else if (plan->pause_ms > 0) {
        str_printf(out, "pause %" PRId64 " ms\n", plan->pause_ms);
    }
    for (size_t i = 0; i < plan->order_count; i++) {
        str_printf(out, "%s %s\n", orders[plan->orders[i].kind],
                   ADDR_TEXT(&nodes[plan->orders[i].node].addr));
    }
}

static int decide(const json_t *input, struct str *out, struct xp_err *err)
{
    static const char *const goals[] = {
        [FENCE_GOAL_HOLD] = "hold",       [FENCE_GOAL_FREEZE] = "freeze",
        [FENCE_GOAL_RELEASE] = "release", [FENCE_GOAL_WHOLE] = "whole",
        [FENCE_GOAL_LOOK] = "look",       NULL
    };
    struct fence_node nodes[SWITCH_REDIS_MAX] = { 0 };
    const json_t *list = json_object_get(input, "nodes");
    int goal = word_of(input, "goal", goals, err);
    struct fence_facts facts = {
        .now = NOW_MS,
        .deadline = NOW_MS + number(input, "left_ms", 1000),
        .drain_until = NOW_MS + number(input, "drain_left_ms", 500),
        .nodes = nodes,
    };
    if (goal < 0 || addr_from(input, "hint", &facts.hint, err) != 0 ||
        addr_from(input, "saved_of", &facts.saved_of, err) != 0) {
        return err->code;
    }
    facts.goal = (enum fence_goal)goal;
    const json_t *saved = json_object_get(input, "saved");
    facts.saved.is_known = saved != NULL;
    facts.saved.min_slaves = number(saved, "min_slaves", 0);
    facts.saved.was_writable_replica = json_is_true(json_object_get(saved, "writable_replica"));
    for (; facts.count < json_array_size(list) && facts.count < ARRAY_LEN(nodes); facts.count++) {
        if (node_from(json_array_get(list, facts.count), &nodes[facts.count], err) != 0) {
            return err->code;
        }
    }
    struct fence_plan plan;
    fence_decide(&facts, &plan);
    print(nodes, facts.count, &plan, out);
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
    return golden_main(argc, argv, "tests/golden/fence_decide", run);
}
