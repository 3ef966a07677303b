/* failover_decide_golden.c - the decision about a lost master of the primary DC.
 *
 * Input: {"mode":"auto|report", "place":"primary|backup", "sentinels", "migrating", "master":"ip:port", "keeper_follows":"ip:port",
 * "promoted_ago_ms", "nodes":[{"addr", "is":"master|replica|other|silent", "of":"ip:port", "link", "silent_for_ms", "id", "priority",
 * "offset"}]}. A silent node was so for silent_for_ms; id, priority and offset are INFO's, no key: not told. Thresholds: lost 5,000,
 * patience 3,000, again 60,000 ms. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "meta/primary/failover_decide.h"
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

static bool flag(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

struct word {
    const char *text;
    int value;
};

static const struct word kinds[] = {
    { "master", ROLE_KIND_MASTER },
    { "replica", ROLE_KIND_REPLICA },
    { "other", ROLE_KIND_UNKNOWN },
    { "silent", ROLE_KIND_UNKNOWN },
    { NULL, 0 },
};

static const struct word links[] = {
    { "", ROLE_LINK_UNKNOWN },
    { "none", ROLE_LINK_NONE },
    { "connect", ROLE_LINK_CONNECT },
    { "connecting", ROLE_LINK_CONNECTING },
    { "sync", ROLE_LINK_SYNC },
    { "handshake", ROLE_LINK_HANDSHAKE },
    { "connected", ROLE_LINK_CONNECTED },
    { NULL, 0 },
};

static int word_from(const json_t *object, const char *key, const struct word *words,
                     int *ret_value, struct xp_err *err)
{
    for (; words->text; words++) {
        if (strcmp(words->text, text(object, key, "")) == 0) {
            *ret_value = words->value;
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

static int node_from(const json_t *value, struct failover_node *node, struct xp_err *err)
{
    int kind = 0;
    int link = 0;
    bool is_silent = strcmp(text(value, "is", ""), "silent") == 0;
    *node = (struct failover_node){
        .is_fresh = !is_silent,
        .role = { .offset = -1 },
        .silent_since = is_silent ? NOW_MS - number(value, "silent_for_ms", 0) : MONO_NEVER,
        .link_since = MONO_NEVER,
        .priority = number(value, "priority", -1),
        .repl_offset = number(value, "offset", -1),
    };
    (void)snprintf(node->repl_id, sizeof(node->repl_id), "%s", text(value, "id", ""));
    if (word_from(value, "is", kinds, &kind, err) != 0 ||
        word_from(value, "link", links, &link, err) != 0 ||
        addr_from(value, "addr", &node->addr, err) != 0 ||
        addr_from(value, "of", &node->role.master, err) != 0) {
        return err->code;
    }
    node->role.kind = (enum role_kind)kind;
    node->role.link = (enum role_link)link;
    return 0;
}

static int nodes_from(const json_t *input, struct failover_node *nodes, size_t *ret_count,
                      struct xp_err *err)
{
    const json_t *array = json_object_get(input, "nodes");
    size_t count = json_array_size(array);
    if (count == 0 || count > NODES_MAX) {
        return xp_fail(err, XP_INVALID, "nodes: 1 to %d", NODES_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        if (node_from(json_array_get(array, i), &nodes[i], err) != 0) {
            return xp_wrap(err, "nodes[%zu]", i);
        }
    }
    *ret_count = count;
    return 0;
}

static void print(const struct failover_facts *facts, const struct failover_plan *plan,
                  struct str *out)
{
    bool has_node = plan->verdict == FAILOVER_PROMOTE || plan->verdict == FAILOVER_DEMOTE;
    xp_check(!has_node || plan->node < facts->count);
    str_printf(out, "%s %s%s%s # %s\n", plan->rule, failover_verdict_text(plan->verdict),
               has_node ? " " : "", has_node ? ADDR_TEXT(&facts->nodes[plan->node].addr) : "",
               plan->why);
}

static int decide(const json_t *input, struct str *out, struct xp_err *err)
{
    struct failover_node nodes[NODES_MAX];
    const json_t *promoted = json_object_get(input, "promoted_ago_ms");
    struct failover_facts facts = {
        .now = NOW_MS,
        .mode = strcmp(text(input, "mode", "auto"), "auto") == 0 ? FAILOVER_AUTO : FAILOVER_REPORT,
        .place =
            strcmp(text(input, "place", "primary"), "primary") == 0 ? TREE_PRIMARY : TREE_BACKUP,
        .has_sentinels = flag(input, "sentinels"),
        .is_migrating = flag(input, "migrating"),
        .nodes = nodes,
        .promoted_at = promoted ? NOW_MS - json_integer_value(promoted) : MONO_NEVER,
        .lost_ms = 5000,
        .patience_ms = 3000,
        .again_ms = 60000,
    };
    if (addr_from(input, "master", &facts.master, err) != 0 ||
        addr_from(input, "keeper_follows", &facts.active_keeper_master, err) != 0 ||
        nodes_from(input, nodes, &facts.count, err) != 0) {
        return err->code;
    }
    struct failover_plan plan;
    failover_decide(&facts, &plan);
    print(&facts, &plan, out);
    return 0;
}

int main(int argc, char **argv)
{
    return golden_json_main(argc, argv, "tests/golden/failover_decide", decide);
}
