/* What is said of the links when DCs of a bi-direction cluster go out of client routing. */
#include "console/migration/bi_links.h"

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

enum { DCS = 3, SHARDS = 2 };

static const char *const shards[SHARDS] = { "s1", "s2" };

struct world {
    struct bi_dc dcs[DCS];
    struct bi_told told[SHARDS][DCS];
    struct bi_seen seen[SHARDS * DCS];
};

/* The answer of a metaserver whose master has written 'offset' bytes and whose peers are as given. */
static void tell(struct world *w, size_t shard, size_t dc, const char *json_text)
{
    struct xp_err err = { 0 };
    json_auto_t *json = json_loads(json_text, 0, NULL);
    assert_non_null(json);
    bi_told_done(&w->told[shard][dc]);
    if (bi_told_from_json(json, &w->told[shard][dc], &err) != 0) {
        fail_msg("%s", err.msg);
    }
}

static char *well(const char *a, const char *b)
{
    return xasprintf(
        "{\"currentMaster\":{\"ip\":\"10.0.0.1\"},\"masterReplOffset\":1000,\"more\":[],\"peers\":["
        "{\"dc\":\"%s\",\"gid\":1,\"actual\":{\"linkStatus\":\"up\",\"lastIoSecondsAgo\":1,"
        "\"replOffset\":1000}},{\"dc\":\"%s\",\"actual\":{\"linkStatus\":\"up\","
        "\"lastIoSecondsAgo\":0,\"replOffset\":900}}]}",
        a, b);
}

static struct world *world_new(void)
{
    static const char *const names[DCS] = { "jq", "fra", "oy" };
    struct world *w = xcalloc(1, sizeof(*w));
    for (size_t dc = 0; dc < DCS; dc++) {
        w->dcs[dc] = (struct bi_dc){ .name = names[dc] };
        for (size_t shard = 0; shard < SHARDS; shard++) {
            char *text AUTO_FREE = well(names[(dc + 1) % DCS], names[(dc + 2) % DCS]);
            tell(w, shard, dc, text);
            w->seen[shard * DCS + dc].told = &w->told[shard][dc];
        }
    }
    return w;
}

static void world_free(struct world *w)
{
    for (size_t i = 0; i < SHARDS * DCS; i++) {
        bi_told_done(&w->told[i / DCS][i % DCS]);
    }
    free(w);
}

/* Warnings as "code dc count; ", then links as "dc<peer status down/shards lag; ". */
static char *decide(const struct world *w)
{
    struct str out = STR_INIT(4096);
    json_auto_t *result = bi_links_decide(&(struct bi_links_facts){
        .dcs = w->dcs, .dc_count = DCS, .shards = shards, .shard_count = SHARDS, .seen = w->seen });
    size_t at;
    json_t *item;
    json_array_foreach (json_object_get(result, "warnings"), at, item) {
        str_printf(&out, "%s %s %lld; ", json_string_value(json_object_get(item, "code")),
                   json_string_value(json_object_get(item, "dc")),
                   (long long)json_integer_value(json_object_get(item, "count")));
    }
    json_array_foreach (json_object_get(result, "links"), at, item) {
        const json_t *lag = json_object_get(item, "lagBytes");
        str_printf(&out, "%s<%s%s %s %lld/%lld %lld; ",
                   json_string_value(json_object_get(item, "dc")),
                   json_string_value(json_object_get(item, "peer")),
                   json_is_true(json_object_get(item, "excluded")) ? "*" : "",
                   json_string_value(json_object_get(item, "status")),
                   (long long)json_integer_value(json_object_get(item, "down")),
                   (long long)json_integer_value(json_object_get(item, "shards")),
                   json_is_integer(lag) ? (long long)json_integer_value(lag) : -1LL);
    }
    return str_take(&out);
}

static void expects(const struct world *w, const char *expected)
{
    char *text AUTO_FREE = decide(w);
    assert_string_equal(text, expected);
}

static void links_of_those_that_stay(void **state)
{
    (void)state;
    struct world *w = world_new();
    expects(w, "jq<fra up 0/2 0; jq<oy up 0/2 100; fra<jq up 0/2 100; fra<oy up 0/2 0; "
               "oy<jq up 0/2 0; oy<fra up 0/2 100; ");
    w->dcs[0].is_excluded = true;
    expects(w, "fra<jq* up 0/2 100; fra<oy up 0/2 0; oy<jq* up 0/2 0; oy<fra up 0/2 100; ");
    world_free(w);
}

static void a_dead_dc_goes(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->dcs[0].is_excluded = true;
    for (size_t shard = 0; shard < SHARDS; shard++) {
        w->seen[shard * DCS] = (struct bi_seen){ .why = "connect timed out" };
    }
    tell(w, 1, 1,
         "{\"currentMaster\":{\"ip\":\"10.0.0.1\"},\"masterReplOffset\":1000,\"peers\":[{\"dc\":"
         "\"JQ\",\"actual\":{\"linkStatus\":\"down\",\"lastIoSecondsAgo\":77,\"replOffset\":5}},"
         "{\"dc\":\"oy\",\"actual\":{\"linkStatus\":\"up\",\"lastIoSecondsAgo\":0,\"replOffset\":"
         "990}}]}");
    expects(w, "L14 fra 1; fra<jq* down 1/2 -1; fra<oy up 0/2 10; oy<jq* up 0/2 -1; "
               "oy<fra up 0/2 100; ");
    world_free(w);
}

static void what_stays_is_broken(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->dcs[0].is_excluded = true;
    tell(w, 0, 1,
         "{\"currentMaster\":null,\"peers\":[]}");        /* no master: nothing is told of peers */
    w->seen[2] = (struct bi_seen){ .why = "status 500" }; /* oy, s1 */
    w->seen[DCS + 2] = (struct bi_seen){ 0 };             /* oy, s2 */
    expects(w,
            "L16 fra 1; L14 fra 1; L12 fra 1; L10 oy 2; fra<jq* down 1/2 -1; fra<oy down 1/2 -1; "
            "oy<jq* unknown 0/2 -1; oy<fra unknown 0/2 -1; ");
    world_free(w);
}

static void answers_that_are_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "[]",
        "{\"peers\":{}}",
        "{\"peers\":[1]}",
        "{\"peers\":[{\"dc\":7}]}",
        "{\"masterReplOffset\":\"x\"}",
        "{\"currentMaster\":[]}",
        "{\"peers\":[{\"actual\":{\"replOffset\":1.5}}]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct bi_told told = { 0 };
        struct xp_err err = { 0 };
        json_auto_t *json = json_loads(bad[i], 0, NULL);
        assert_int_equal(bi_told_from_json(json, &told, &err), XP_INVALID);
        assert_true(err.msg[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links_of_those_that_stay),
        cmocka_unit_test(a_dead_dc_goes),
        cmocka_unit_test(what_stays_is_broken),
        cmocka_unit_test(answers_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
