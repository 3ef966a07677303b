/* Distances between DCs: what is read, who is preferred, what is refused. */
#include "tests/unit/unit.h"

#include <string.h>

#include "console/catalog/dc_relations.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

static struct dc_relations *parse(const char *text)
{
    struct dc_relations *relations = NULL;
    struct dc_alias *alias = NULL;
    struct xp_err err = { 0 };
    assert_int_equal(dc_alias_parse("{\"FRA\":\"FRA-AWS\"}", &alias, &err), 0);
    if (dc_relations_parse(text, alias, &relations, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    dc_alias_free(alias);
    return relations;
}

static void refused(const char *text, const char *why)
{
    struct dc_relations *relations = NULL;
    struct xp_err err = { 0 };
    assert_int_equal(dc_relations_parse(text, NULL, &relations, &err), XP_INVALID);
    if (!strstr(err.msg, why)) {
        fail_msg("'%s' does not say '%s'", err.msg, why);
    }
}

static void levels(void **state)
{
    (void)state;
    struct dc_relations *r =
        parse("{\"delayPerDistance\":3000,"
              "\"dcLevel\":[{\"src\":\"jq\",\"dst\":\"oy\",\"distance\":4},"
              "{\"src\":\"jq\",\"dst\":\"fra-aws\",\"distance\":7,\"biDirection\":true},"
              "{\"dcs\":\"JQ,rb\",\"distance\":-1}],"
              "\"clusterLevel\":[{\"clusterName\":\"c1\",\"relations\":[{\"dcs\":\"jq,rb\","
              "\"distance\":2}]}],"
              "\"regionLevel\":[{\"src\":\"SHA\",\"dst\":\"FRA\",\"distance\":3}]}");
    assert_int_equal(dc_relations_distance(r, "c2", "JQ", "OY"), 4);
    assert_int_equal(dc_relations_distance(r, "c2", "oy", "jq"), DC_DISTANCE_ALIKE); /* one way */
    assert_int_equal(dc_relations_distance(r, "c2", "jq", "FRA"), 7); /* by its outer name */
    assert_int_equal(dc_relations_distance(r, "c2", "FRA", "jq"), 7);
    assert_int_equal(dc_relations_distance(r, "c2", "FRA", "oy"), 0); /* not named */
    assert_int_equal(dc_relations_distance(r, "c2", "rb", "jq"), -1);
    assert_int_equal(dc_relations_distance(r, "C1", "jq", "rb"), 2);
    assert_int_equal(dc_relations_distance(r, "C1", "jq", "oy"), 0);  /* its own count alone */
    assert_int_equal(dc_relations_distance(r, "C1", "FRA", "jq"), 7); /* which say nothing of FRA */
    dc_relations_free(r);
    struct dc_relations *none = parse(" ");
    assert_int_equal(dc_relations_distance(none, "c1", "a", "b"), DC_DISTANCE_ALIKE);
    dc_relations_free(none);
    assert_int_equal(dc_relations_distance(NULL, "c1", "a", "b"), DC_DISTANCE_ALIKE);
}

static void the_nearest_are_picked(void **state)
{
    (void)state;
    size_t at = 9;
    const int32_t some[] = { 3, -1, 2, 0, 2 };
    assert_true(dc_relations_pick(some, 5, 10, &at));
    assert_int_equal(at, 2);
    assert_true(dc_relations_pick(some, 5, 11, &at));
    assert_int_equal(at, 4);
    const int32_t never[] = { 0, -1 };
    assert_false(dc_relations_pick(never, 2, 1, &at));
    assert_false(dc_relations_pick(NULL, 0, 1, &at));
    assert_int_equal(at, 4);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    refused("[]", "JSON object");
    refused("{", "line 1");
    refused("{\"dclevel\":[]}", "dclevel");
    refused("{\"dcLevel\":[{\"src\":\"jq\",\"dst\":\"oy\"}]}", "distance");
    refused("{\"dcLevel\":[{\"src\":\"jq\",\"distance\":1}]}", "dcLevel[0]");
    refused("{\"dcLevel\":[{\"src\":\"jq\",\"dst\":\"JQ\",\"distance\":1}]}", "two DCs");
    refused("{\"dcLevel\":[{\"dcs\":\"jq\",\"distance\":1}]}", "\"jq\" is not");
    refused("{\"dcLevel\":[{\"dcs\":\"jq,oy\",\"src\":\"jq\",\"distance\":1}]}", "instead of src");
    refused("{\"dcLevel\":[{\"dcs\":\"jq,oy\",\"distance\":2000000}]}", "distance");
    refused("{\"clusterLevel\":[{\"clusterName\":\"c\"},{\"clusterName\":\"C\"}]}", "twice");
    refused(
        "{\"clusterLevel\":[{\"clusterName\":\"c\",\"relations\":[{\"dcs\":\",\",\"distance\":1}"
        "]}]}",
        "c[0]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels),
        cmocka_unit_test(the_nearest_are_picked),
        cmocka_unit_test(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
