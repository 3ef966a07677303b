/* meta_config_test.c - the settings of xpipe-meta: defaults, checks of single keys and between keys. */
#include <stdlib.h>
#include <string.h>

#include "meta/meta_config.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

struct fixture {
    struct config config;
    struct meta_config values;
};

static int open_config(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    config_init(&f.config, meta_config_rows, &f.values);
    *state = &f;
    return 0;
}

static int close_config(void **state)
{
    config_done(&((struct fixture *)*state)->config);
    return 0;
}

static void must(struct fixture *f, const char *assignment)
{
    struct xp_err err = { 0 };
    if (config_set(&f->config, assignment, &err) != 0) {
        fail_msg("%s: %s", assignment, err.msg);
    }
}

static void refuses(struct fixture *f, const char *assignment)
{
    struct xp_err err = { 0 };
    if (config_set(&f->config, assignment, &err) == 0) {
        fail_msg("%s was accepted", assignment);
    }
    const char *equals = strchr(assignment, '=');
    char key[128] = "";
    memcpy(key, assignment, (size_t)(equals - assignment));
    assert_non_null(strstr(err.msg, key)); /* the text names the key */
}

static void names_and_defaults_of_x_pipe(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->values.metaserver_id, 1);
    assert_int_equal(f->values.server_port, 8080);
    assert_int_equal(f->values.meta_refresh_ms, 60000);
    assert_int_equal(f->values.removal_limit, 20);
    assert_int_equal(f->values.removal_verdicts, 3);
    assert_int_equal(f->values.removal_gap_ms, 60000);
    assert_int_equal(f->values.backoff_first_ms, 60000);
    assert_int_equal(f->values.backoff_max_ms, 600000);
    assert_false(f->values.remove_peers);
    assert_true(f->values.correct_periodically);
    assert_string_equal(f->values.cluster_types, "ONE_WAY,BI_DIRECTION");
    must(f, "meta.redis.password=secret");
    char *shown = config_value_text(&f->config, "meta.redis.password");
    assert_string_equal(shown, "***");
    free(shown);
}

static void wrong_values_are_refused(void **state)
{
    struct fixture *f = *state;
    refuses(f, "metaserver.id=0");
    refuses(f, "dc=jq/fra");
    refuses(f, "dc=j q");
    refuses(f, "server.port=65536");
    refuses(f, "server.ip=host.name");
    refuses(f, "server.bind.ip=");
    refuses(f, "zk.namespace=a/b");
    refuses(f, "console.address=console:8080");
    refuses(f, "meta.cluster.types=ONE_WAY,SIDEWAYS");
    refuses(f, "meta.correct.rate=0");
    refuses(f, "meta.poll.milli=99");
    must(f, "dc=FRA-AWS");
    must(f, "server.ip=::1");
    must(f, "console.address=https://console.example");
}

static void dc_infos(void **state)
{
    struct fixture *f = *state;
    refuses(f, "dcinfos=[]");
    refuses(f, "dcinfos={");
    refuses(f, "dcinfos={\"fra\":{}}");
    refuses(f, "dcinfos={\"fra\":{\"metaServerAddress\":7}}");
    refuses(f, "dcinfos={\"fra\":{\"metaServerAddress\":\"\"}}");
    refuses(f, "dcinfos={\"fra\":\"http://x\"}");
    must(f, "dcinfos={\"fra\":{\"metaServerAddress\":\"10.0.0.1:8080\",\"more\":1},\"jq\":"
            "{\"metaServerAddress\":\"http://jq\"}}");
}

static void relations_between_keys(void **state)
{
    struct fixture *f = *state;
    struct xp_err err = { 0 };
    assert_int_equal(meta_config_check(&f->values, &err), XP_INVALID);
    assert_non_null(strstr(err.msg, "'dc' is required"));
    must(f, "dc=jq");
    assert_int_equal(meta_config_check(&f->values, &err), 0);
    must(f, "meta.poll.milli=200");
    assert_int_equal(meta_config_check(&f->values, &err), XP_INVALID); /* the fast one is 250 */
    must(f, "meta.poll.fast.milli=200");
    assert_int_equal(meta_config_check(&f->values, &err), 0);
    must(f, "meta.correct.backoff.max.milli=1000");
    assert_int_equal(meta_config_check(&f->values, &err), XP_INVALID);
    must(f, "meta.correct.backoff.max.milli=600000");
    must(f, "meta.isolation.fence.seconds=2");
    assert_int_equal(meta_config_check(&f->values, &err), XP_INVALID);
    assert_non_null(strstr(err.msg, "'meta.isolation.fence.seconds'"));
    must(f, "meta.isolation.fence.seconds=3");
    assert_int_equal(meta_config_check(&f->values, &err), 0);
}

static void an_isolation_fence_asks_more_often(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(meta_config_refresh_ms(&f->values), 60000);
    must(f, "meta.isolation.fence.seconds=30");
    assert_int_equal(meta_config_refresh_ms(&f->values), 10000);
    must(f, "meta.isolation.fence.seconds=600");
    assert_int_equal(meta_config_refresh_ms(&f->values), 60000);
}

static void what_is_empty_is_found(void **state)
{
    struct fixture *f = *state;
    struct xp_err err = { 0 };
    AUTO_FREE char *dc = NULL;
    AUTO_FREE char *ip = NULL;
    must(f, "dc=FRA-Aws");
    must(f, "server.ip=10.0.0.9");
    assert_int_equal(meta_config_resolve(&f->values, &dc, &ip, &err), 0);
    assert_string_equal(dc, "fra-aws");
    assert_string_equal(ip, "10.0.0.9");
    free(TAKE(dc));
    free(TAKE(ip));
    must(f, "server.ip=");
    int rc = meta_config_resolve(&f->values, &dc, &ip, &err);
    assert_true(rc == 0 ? ip[0] != '\0' : strstr(err.msg, "server.ip") != NULL);
    /* SIGHUP compares with what was read, and must not find a change that nobody made */
    assert_string_equal(f->values.dc, "FRA-Aws");
    assert_string_equal(f->values.server_ip, "");
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_config, close_config)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(names_and_defaults_of_x_pipe),
        T(wrong_values_are_refused),
        T(dc_infos),
        T(relations_between_keys),
        T(an_isolation_fence_asks_more_often),
        T(what_is_empty_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
