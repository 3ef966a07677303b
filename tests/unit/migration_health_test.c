/* The look at the machinery of migrations over a real store: what the database cannot do is told, and no migration is made meanwhile. */
#include "tests/unit/console_calls.h"

#include <sqlite3.h>

#include "console/migration/migration_health.h"
#include "shared/base/thread.h"

#include "shared/base/banned.h"

enum { WAIT_MS = 10000, PERIOD_MS = 50 };

static struct {
    struct loop *loop;
    struct worker_pool *pool;
    struct migration_health *health;
    struct loop_timer tick;
} s;

static void tick(struct loop_timer *t)
{
    loop_stop(t->loop);
}

static void run_for(int64_t ms)
{
    loop_timer_start(&s.tick, ms);
    loop_run(s.loop);
    loop_timer_stop(&s.tick);
}

/* The looks go on until one says so. */
static struct migration_health_view wait_level(enum health_level level)
{
    mono_ms deadline = clock_mono_ms() + WAIT_MS;
    struct migration_health_view view = migration_health_get(s.health);
    while (view.start_ms == 0 || view.level != level) {
        assert_true(clock_mono_ms() < deadline);
        run_for(5);
        view = migration_health_get(s.health);
    }
    return view;
}

static int start(void **state)
{
    struct xp_err err = { 0 };
    (void)setup(state);
    base_data();
    must("POST", "/api/clusters", DEMO);
    s.loop = loop_new();
    s.pool = worker_pool_new(s.loop, "worker", 2, 100, NULL, NULL, NULL);
    loop_timer_init(&s.tick, s.loop, tick);
    s.health = migration_health_new(&(struct migration_health_options){
        .loop = s.loop, .pool = s.pool, .catalog = &f.catalog });
    struct migration_health_settings settings = { .metaservers = "{}",
                                                  .probe = "cluster1, shard1",
                                                  .period_ms = PERIOD_MS,
                                                  .stale_ms = 120000,
                                                  .connect_timeout_ms = 100,
                                                  .timeout_ms = 100 };
    assert_int_equal(migration_health_configure(s.health, &settings, &err), 0);
    f.api.migration_health = s.health;
    return 0;
}

static int stop(void **state)
{
    migration_health_stop(s.health);
    worker_pool_free(s.pool);
    migration_health_free(s.health);
    loop_free(s.loop);
    return teardown(state);
}

static void sql(const char *text)
{
    sqlite3 *raw = NULL;
    AUTO_FREE char *path = xasprintf("%s/console.db", f.dir);
    assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
    (void)sqlite3_busy_timeout(raw, 5000);
    assert_int_equal(sqlite3_exec(raw, text, NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(raw);
}

#define PREPARE "/api/migration/checkandprepare", "{\"fromIdc\":\"jq\",\"clusters\":[\"demo\"]}"
#define CREATE  "/api/v2/migrations", "{\"from\":\"jq\",\"clusters\":[\"demo\"]}"

static bool says(const struct reply *r, const char *text)
{
    return r->body && strstr(r->body, text);
}

/* Each face names the reason; no answer says that a migration was made. */
static void all_refuse(const char *reason)
{
    struct reply created CLEANUP(reply_done) = call(&f, "POST", CREATE);
    assert_int_equal(created.status, 503);
    assert_true(says(&created, reason));
    struct reply prepared CLEANUP(reply_done) = call(&f, "POST", PREPARE);
    assert_false(says(&prepared, "\"success\":true"));
    assert_true(says(&prepared, "MIGRATION_SYSTEM_UNHEALTHY"));
    assert_true(says(&prepared, reason));
    struct reply status CLEANUP(reply_done) =
        call(&f, "GET", "/api/migration/system/health/status", NULL);
    assert_true(says(&status, "\"state\":-1"));
    assert_true(says(&status, reason));
}

static void what_cannot_be_read_is_unhealthy(void **state)
{
    (void)state;
    assert_string_equal(wait_level(HEALTH_WARNING).message, "no metaservers are configured");
    sql("ALTER TABLE cluster_tbl RENAME TO cluster_tbl_away");
    struct migration_health_view view = wait_level(HEALTH_FAIL);
    assert_non_null(strstr(view.message, "database: "));
    assert_non_null(strstr(view.message, "no such table"));
    struct reply created CLEANUP(reply_done) = call(&f, "POST", CREATE);
    assert_int_equal(created.status, 503);
    sql("ALTER TABLE cluster_tbl_away RENAME TO cluster_tbl");
    assert_string_equal(wait_level(HEALTH_WARNING).message, "no metaservers are configured");
    struct reply again CLEANUP(reply_done) = call(&f, "POST", CREATE);
    assert_true(again.status != 503);
}

static void what_cannot_be_written_is_unhealthy(void **state)
{
    (void)state;
    (void)wait_level(HEALTH_WARNING);
    AUTO_FREE char *path = xasprintf("%s/console.db", f.dir);
    AUTO_FREE char *away = xasprintf("%s/away.db", f.dir);
    assert_int_equal(rename(path, away), 0); /* whatever is read now is nobody's any more */
    store_check(f.store);
    struct migration_health_view view = wait_level(HEALTH_FAIL);
    assert_non_null(strstr(view.message, "database: "));
    all_refuse("console.db");
    assert_int_equal(rename(away, path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_unhealthy, start, stop),
        cmocka_unit_test_setup_teardown(what_cannot_be_written_is_unhealthy, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
