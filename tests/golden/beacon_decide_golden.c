/* beacon_decide_golden.c - what a monitor's request leads to.
 *
 * Input: {"why", "bi", "forced", "target", "mode", "allowed":true, "unhealthy", "cluster":"c1", "found":true, "type_ok":true, "id":1, "active":"jq",
 * "dcs":[{"name","zone":1,"usable":true}], "relations", "own":[{"name","dc","az","nodes":[...]}], "reported":[the same with "down"] (default: own), "down":[names of
 * reported groups], "failover":[...], "available":[...], "locked", "running":{"event","id","over","from","to"}}. */
#include <jansson.h>
#include <string.h>

#include "console/migration/beacon_decide.h"
#include "shared/base/mem.h"
#include "tests/golden/golden.h"

#include "shared/base/banned.h"

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static bool flag_of(const json_t *object, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(object, key);
    return value ? json_is_true(value) : otherwise;
}

static int64_t number_of(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return value ? (int64_t)json_integer_value(value) : otherwise;
}

static struct names names_of(const json_t *list)
{
    struct names names = { 0 };
    for (size_t i = 0; i < json_array_size(list); i++) {
        *ARRAY_ADD(names.items, names.count) = xstrdup(json_string_value(json_array_get(list, i)));
    }
    return names;
}

static struct beacon_groups groups_of(const json_t *list, const json_t *down)
{
    struct beacon_groups groups = { 0 };
    struct names names = names_of(down);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *value = json_array_get(list, i);
        struct beacon_group *group = ARRAY_ADD(groups.items, groups.count);
        group->name = xstrdup(text_of(value, "name"));
        group->dc = xstrdup(text_of(value, "dc"));
        const char *az = text_of(value, "az");
        group->az = az ? xstrdup(az) : NULL;
        group->nodes = names_of(json_object_get(value, "nodes"));
        group->is_down = flag_of(value, "down", names_has(&names, group->name));
    }
    names_done(&names);
    return groups;
}

static size_t read_dcs(const json_t *list, struct beacon_dc *dcs)
{
    size_t count = 0;
    for (; count < json_array_size(list) && count < DCS_PER_CLUSTER_MAX; count++) {
        const json_t *value = json_array_get(list, count);
        dcs[count] = (struct beacon_dc){ .zone_id = number_of(value, "zone", 1),
                                         .is_usable = flag_of(value, "usable", true) };
        (void)snprintf(dcs[count].name, sizeof(dcs[count].name), "%s", text_of(value, "name"));
    }
    return count;
}

/* "relations": as regions.relations of the configuration. */
static int read_distances(const json_t *value, struct beacon_dc *dcs, size_t count,
                          struct xp_err *err)
{
    AUTO_FREE char *text = value ? json_dumps(value, 0) : NULL;
    struct dc_relations *relations = NULL;
    int rc = dc_relations_parse(text, NULL, &relations, err);
    for (size_t i = 0; rc == 0 && i < count * count; i++) {
        dcs[i / count].distances[i % count] =
            dc_relations_distance(relations, "c1", dcs[i / count].name, dcs[i % count].name);
    }
    dc_relations_free(relations);
    return rc;
}

static void print(const struct beacon_verdict *v, struct str *out)
{
    static const char *const words[] = { [BEACON_ANSWER] = "answer",
                                         [BEACON_CREATE] = "create",
                                         [BEACON_CONTINUE] = "continue",
                                         [BEACON_EXCLUDE] = "exclude" };
    str_printf(out, "%s %s", v->rule, words[v->action]);
    if (v->action == BEACON_ANSWER) {
        str_printf(out, " %d %s", v->code, v->msg);
    } else if (v->action == BEACON_EXCLUDE) {
        for (size_t i = 0; i < v->dc_count; i++) {
            str_printf(out, " %s", v->dcs[i]);
        }
    } else {
        str_printf(out, " to %s, mode %s", v->to, migration_mode_text(v->mode));
    }
    str_printf(out, "\n  %s\n", v->why);
}

static int decide(const json_t *input, struct str *out, struct xp_err *err)
{
    const json_t *own_list = json_object_get(input, "own");
    const json_t *reported_list = json_object_get(input, "reported");
    const json_t *running = json_object_get(input, "running");
    struct beacon_dc *dcs AUTO_FREE = xcalloc(DCS_PER_CLUSTER_MAX, sizeof(*dcs));
    struct beacon_groups own = groups_of(own_list, NULL);
    struct beacon_groups reported =
        groups_of(reported_list ? reported_list : own_list, json_object_get(input, "down"));
    struct names failover = names_of(json_object_get(input, "failover"));
    struct names available = names_of(json_object_get(input, "available"));
    struct beacon_facts facts = {
        .is_bi = flag_of(input, "bi", false),
        .cluster = "c1",
        .is_forced = flag_of(input, "forced", false),
        .target = text_of(input, "target"),
        .reported = &reported,
        .failover = &failover,
        .available = &available,
        .is_auto_allowed = flag_of(input, "allowed", true),
        .unhealthy = text_of(input, "unhealthy"),
        .is_found = flag_of(input, "found", true),
        .is_type_ok = flag_of(input, "type_ok", true),
        .cluster_id = number_of(input, "id", 1),
        .own = &own,
        .dcs = dcs,
        .dc_count = read_dcs(json_object_get(input, "dcs"), dcs),
        .active = text_of(input, "active"),
        .is_locked = flag_of(input, "locked", running != NULL),
        .running = { .event_id = number_of(running, "event", 0),
                     .id = number_of(running, "id", 0),
                     .is_over = flag_of(running, "over", false),
                     .from = text_of(running, "from"),
                     .to = text_of(running, "to") },
    };
    struct beacon_verdict *verdict AUTO_FREE = xcalloc(1, sizeof(*verdict));
    int rc = read_distances(json_object_get(input, "relations"), dcs, facts.dc_count, err);
    if (rc == 0) {
        beacon_decide(&facts, verdict);
        print(verdict, out);
    }
    beacon_groups_done(&own);
    beacon_groups_done(&reported);
    names_done(&failover);
    names_done(&available);
    return rc;
}

int main(int argc, char **argv)
{
    return golden_json_main(argc, argv, "tests/golden/beacon_decide", decide);
}
