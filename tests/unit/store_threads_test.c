/* Writers and readers at once: every read sees whole changes only, every change gets its own version. */
#include "tests/unit/catalog_fixture.h"

#include <pthread.h>

#include "shared/base/banned.h"

enum { WRITERS = 3, READERS = 3, CHANGES = 20 };

struct player {
    struct world *w;
    int number;
    int failures;
    pthread_t thread;
};

static void *write_zones(void *arg)
{
    struct player *p = arg;
    for (int i = 0; i < CHANGES; i++) {
        struct catalog_result result = { 0 };
        char name[32];
        (void)snprintf(name, sizeof(name), "zone-%d-%d", p->number, i);
        if (zones_create(&p->w->cat, &p->w->ctx, name, &result, NULL) == 0) {
            catalog_result_done(&result);
        } else {
            p->failures++;
        }
    }
    return NULL;
}

static int zones_and_version(struct store *store, struct catalog *cat, size_t *ret_zones,
                             int64_t *ret_version)
{
    CLEANUP(zones_done) struct zone_rows rows = { 0 };
    *ret_version = store_version(store);
    int rc = zones_list(cat, &rows, NULL);
    *ret_zones = rows.count;
    return rc;
}

/* 5 changes made the world, 1 of them a zone; so a reader that saw version v sees at least v - 4 zones. */
static void *read_zones(void *arg)
{
    struct player *p = arg;
    for (int i = 0; i < CHANGES * 2; i++) {
        size_t zones = 0;
        int64_t version = 0;
        if (zones_and_version(p->w->store, &p->w->cat, &zones, &version) != 0 ||
            (int64_t)zones < version - 4) {
            p->failures++;
        }
    }
    return NULL;
}

static void readers_see_what_was_published(void **state)
{
    struct world *w = *state;
    struct player players[WRITERS + READERS];
    assert_int_equal(store_version(w->store), 5);
    for (int i = 0; i < WRITERS + READERS; i++) {
        players[i] = (struct player){ .w = w, .number = i };
        void *(*fn)(void *) = i < WRITERS ? write_zones : read_zones;
        assert_int_equal(pthread_create(&players[i].thread, NULL, fn, &players[i]), 0);
    }
    for (int i = 0; i < WRITERS + READERS; i++) {
        assert_int_equal(pthread_join(players[i].thread, NULL), 0);
        assert_int_equal(players[i].failures, 0);
    }
    assert_int_equal(store_version(w->store), 5 + WRITERS * CHANGES);
    struct chain_report report = { 0 };
    assert_int_equal(store_verify_chain(w->store, &report, &w->err), 0);
    assert_int_equal(report.bad_idx, 0);
    assert_int_equal(report.checked_count, 5 + WRITERS * CHANGES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(readers_see_what_was_published, world_open, world_close),
    };
    return cmocka_run_group_tests_name("store_threads", tests, NULL, NULL);
}
