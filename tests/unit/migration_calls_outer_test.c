/* The outer client in a migration: asked before it and told after it, and news that no switch waits behind. */
#include "tests/unit/unit.h"

#include "tests/unit/migration_calls_fixture.h"

#include "shared/base/banned.h"

static void without_an_outer_client_nobody_is_told(void **state)
{
    (void)state;
    assert_int_equal(run_call(CALL_PRECHECK), OUTCOME_OK);
    assert_int_equal(run_call(CALL_PUBLISH), OUTCOME_OK);
    assert_true(strstr(site->result.publish_info, "\"told\":false") != NULL);
    assert_true(strstr(site->result.publish_info, "[\"10.1.0.1:6379\"]") != NULL);
}

static void outer(const char *credis, const char *webhook)
{
    outer_client_configure(site->outer, &(struct outer_settings){ .credis_url = credis,
                                                                  .webhook_url = webhook,
                                                                  .connect_timeout_ms = 300,
                                                                  .timeout_ms = 1000 });
}

static void the_outer_client_is_asked_and_told(void **state)
{
    (void)state;
    char *url AUTO_FREE = xasprintf("http://127.0.0.1:%d/", site->dest.port);
    outer(url, "");
    script_answer(&site->dest, 200, "true");
    assert_int_equal(run_call(CALL_PRECHECK), OUTCOME_OK);
    assert_true(saw(&site->dest, "POST /keeperApi/checkcluster/c%201 "));
    script_answer(&site->dest, 200, "false");
    assert_int_equal(run_call(CALL_PRECHECK), OUTCOME_REFUSED);
    assert_int_equal(site->dest.requests, 1 + 3);
    script_answer(&site->dest, 200, "{\"Success\":true,\"Message\":\"fine\"}");
    assert_int_equal(run_call(CALL_PUBLISH), OUTCOME_OK);
    assert_true(saw(&site->dest, "POST /keeperApi/primarydc/c%201/oy [\"10.1.0.1:6379\"]"));
    assert_true(strstr(site->result.publish_info, "\"told\":true") != NULL);
    script_answer(&site->dest, 200, "{\"success\":false,\"message\":\"no such cluster\"}");
    assert_int_equal(run_call(CALL_PUBLISH), OUTCOME_REFUSED);
    assert_true(strstr(site->result.publish_info, "no such cluster") != NULL);
    site->dest.is_held = true;
    assert_int_equal(run_call(CALL_PUBLISH), OUTCOME_REFUSED);
}

static void a_webhook_is_told(void **state)
{
    (void)state;
    char *url AUTO_FREE = xasprintf("http://127.0.0.1:%d/hook", site->dest.port);
    outer("", url);
    script_answer(&site->dest, 204, "");
    assert_int_equal(run_call(CALL_PRECHECK), OUTCOME_OK);
    assert_int_equal(site->dest.requests, 0);
    assert_int_equal(run_call(CALL_PUBLISH), OUTCOME_OK);
    assert_true(saw(&site->dest, "POST /hook {"));
    assert_true(saw(&site->dest, "\"event\":\"switched\""));
    script_stop(&site->dest);
    assert_int_equal(run_call(CALL_PUBLISH), OUTCOME_REFUSED);
}

static int news_to_tell;

static void start_news(struct loop_timer *t)
{
    (void)t;
    for (; news_to_tell > 0; news_to_tell--) {
        outer_diverged(site->outer, json_pack("{s:s}", "event", "diverged"));
    }
}

static void tell_news(int count)
{
    static struct loop_timer timer;
    news_to_tell = count;
    loop_timer_init(&timer, site->loop, start_news);
    loop_timer_start(&timer, 0);
}

static bool has_requests(void *arg)
{
    return site->dest.requests >= *(const int *)arg;
}

static void wait_requests(int count)
{
    assert_true(script_wait(&site->source, has_requests, &count, SCRIPT_LIMIT_MS));
}

/* A webhook that is busy with news takes a publication all the same; more news than OUTER_NEWS_MAX is left out. */
static void no_switch_waits_behind_news(void **state)
{
    (void)state;
    char *url AUTO_FREE = xasprintf("http://127.0.0.1:%d/hook", site->dest.port);
    outer_client_configure(site->outer, &(struct outer_settings){ .credis_url = "",
                                                                  .webhook_url = url,
                                                                  .connect_timeout_ms = 300,
                                                                  .timeout_ms = SCRIPT_LIMIT_MS });
    script_answer(&site->dest, 204, "");
    site->dest.is_held = true;
    tell_news(OUTER_NEWS_MAX + 5);
    wait_requests(1); /* held: the others wait behind it */
    assert_int_equal(run_call(CALL_PUBLISH), OUTCOME_OK);
    assert_int_equal(site->dest.requests, 2);
    script_release(&site->dest);
    wait_requests(OUTER_NEWS_MAX + 1);
    assert_int_equal(run_call(CALL_PUBLISH), OUTCOME_OK); /* behind it the last news has ended */
    assert_int_equal(site->dest.requests, OUTER_NEWS_MAX + 2);
    tell_news(1);
    wait_requests(OUTER_NEWS_MAX + 3);
    assert_int_equal(run_call(CALL_PUBLISH), OUTCOME_OK);
    assert_int_equal(site->dest.requests, OUTER_NEWS_MAX + 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALLS_TEST(without_an_outer_client_nobody_is_told),
        CALLS_TEST(the_outer_client_is_asked_and_told),
        CALLS_TEST(a_webhook_is_told),
        CALLS_TEST(no_switch_waits_behind_news),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
