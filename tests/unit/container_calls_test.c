/* container_calls_test.c - calls to keeper containers against scripted ones: what is sent, and may it be. How many at once is in
 * container_queue_test.c. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/unit/container_box.h"

#include "shared/base/banned.h"

/* ---- what is sent ---- */

static void adding_and_removing(void **state)
{
    (void)state;
    struct world *w = world_new();
    add(w, 0, 6380);
    assert_int_equal(w->done_count, 0); /* never before submit returns */
    wait_done(w, 1);
    assert_int_equal(w->done[0].rc, 0);
    assert_int_equal(w->done[0].keeper.port, 6380);
    expect_seen(&w->boxes[0],
                "GET /keepers/port/6380 \nPOST /keepers/clusters/1/shards/2 " TRANS "\n", 6380);
    str_clear(&w->boxes[0].seen);
    drop(w, 0, 6381);
    wait_done(w, 2);
    assert_int_equal(w->done[1].rc, 0);
    expect_seen(&w->boxes[0], "DELETE /keepers/clusters/1/shards/2 " TRANS "\n", 6381);
    world_free(w);
}

/* What each code means: in the header, in the body, and in both with the header first. */
static void every_error_code(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        bool is_added;
        bool is_removed;
    } codes[] = {
        { "KEEPER_ALREADY_EXIST", true, false }, { "KEEPER_ALREADY_STARTED", true, false },
        { "KEEPER_NOT_EXIST", false, true },     { "KEEPER_ALREADY_DELETED", false, true },
        { "KEEPER_NOT_STARTED", false, false },  { "KEEPER_ALREADY_STOPPED", false, false },
        { "INTERNAL_EXCEPTION", false, false },  { "keeper_already_exist", false, false },
        { "SOMETHING_NEW", false, false },
    };
    struct world *w = world_new();
    struct box *b = &w->boxes[0];
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        AUTO_FREE char *body =
            xasprintf("{\"errorType\":\"%s\",\"errorMessage\":\"why\"}", codes[i].code);
        for (int where = 0; where < 4; where++) {
            const struct answer answers[] = { { 500, codes[i].code, body },
                                              { 500, NULL, body },
                                              { 500, codes[i].code, "<html>" },
                                              { 500, codes[i].code, "{\"errorType\":\"X\"}" } };
            size_t before = w->done_count = 0;
            b->start = b->drop = answers[where];
            add(w, 0, 6380);
            wait_done(w, before + 1);
            assert_int_equal(w->done[0].rc, codes[i].is_added ? 0 : XP_REMOTE);
            if (!codes[i].is_added) {
                assert_non_null(strstr(w->done[0].error, codes[i].code));
                assert_non_null(strstr(w->done[0].error, "10.0.0.1:6380"));
            }
            drop(w, 0, 6380);
            wait_done(w, before + 2);
            assert_int_equal(w->done[1].rc, codes[i].is_removed ? 0 : XP_REMOTE);
        }
    }
    static const struct answer others[] = {
        { 500, NULL, "{\"message\":\"disk is full\"}" },
        { 404, NULL, "" },
        { 302, NULL, "" },
        { 400, NULL, "[]" },
        { 500, NULL, "{\"errorType\":7}" },
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        w->done_count = 0;
        b->start = others[i];
        add(w, 0, 6380);
        wait_done(w, 1);
        assert_int_equal(w->done[0].rc, XP_REMOTE);
        assert_true(i != 0 || strstr(w->done[0].error, "disk is full"));
    }
    world_free(w);
}

/* A page of a proxy, a body cut short: nothing that a container says when it did what it was told. */
static void a_garbage_consent_is_a_failure(void **state)
{
    (void)state;
    static const char *const garbage[] = { "<html>{\"replId\":", "ok", "{", "{\"a\":1}x" };
    static const char *const fine[] = { "", " \n", "true", "null", "{}" };
    struct world *w = world_new();
    struct box *b = &w->boxes[0];
    for (size_t i = 0; i < 2 * ARRAY_LEN(garbage); i++) {
        w->done_count = 0;
        b->start.body = b->drop.body = garbage[i / 2];
        i % 2 ? add(w, 0, 6380) : drop(w, 0, 6380);
        wait_done(w, 1);
        assert_int_equal(w->done[0].rc, XP_IO);
        assert_non_null(strstr(w->done[0].error, "no answer of a container"));
        assert_non_null(strstr(w->done[0].error, garbage[i / 2]));
    }
    for (size_t i = 0; i < 2 * ARRAY_LEN(fine); i++) {
        w->done_count = 0;
        b->start.body = b->drop.body = fine[i / 2];
        i % 2 ? add(w, 0, 6380) : drop(w, 0, 6380);
        wait_done(w, 1);
        assert_int_equal(w->done[0].rc, 0);
    }
    w->done_count = 0;
    b->start.body = "{\"errorType\":\"INTERNAL_EXCEPTION\",\"errorMessage\":\"disk is full\"}";
    add(w, 0, 6380);
    wait_done(w, 1);
    assert_int_equal(w->done[0].rc, XP_REMOTE);
    assert_non_null(strstr(w->done[0].error, "disk is full"));
    world_free(w);
}

static void a_foreign_keeper_on_the_port(void **state)
{
    (void)state;
    static const char *const foreign[] = {
        FOREIGN, "{\"clusterDbId\":4,\"shardDbId\":9,\"keeperMeta\":{\"port\":6380}}"
    };
    static const struct answer drops[] = { { 0 }, { 500, "INTERNAL_EXCEPTION", "" } };
    struct world *w = world_new();
    struct box *b = &w->boxes[0];
    for (int i = 0; i < 4; i++) {
        w->done_count = 0;
        str_clear(&b->seen);
        budget_init(&w->removals, 1, 1, clock_mono_ms());
        b->look.body = foreign[i % 2];
        b->drop = drops[i / 2];
        add(w, 0, 6380);
        wait_done(w, 1);
        assert_int_equal(w->done[0].rc, 0);
        expect_seen(b,
                    "GET /keepers/port/6380 \nDELETE /keepers/clusters/%d/shards/9 %s\n"
                    "POST /keepers/clusters/1/shards/2 " TRANS "\n",
                    i % 2 ? 4 : 0, foreign[i % 2], 6380);
        assert_false(budget_take(&w->removals, clock_mono_ms())); /* it cost a token */
    }
    world_free(w);
}

static void a_foreign_keeper_that_is_wanted_stays(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->boxes[0].look.body = FOREIGN;
    w->wanted_shard = 9;
    w->wanted_addr = addr_of("10.0.0.1", 6380);
    add(w, 0, 6380);
    wait_done(w, 1);
    assert_int_equal(w->done[0].rc, XP_CONFLICT);
    expect_seen(&w->boxes[0], "GET /keepers/port/6380 \n");
    /* Wanted again while it waits for a token: asked once more. */
    w->wanted_shard = 0;
    budget_init(&w->removals, 10, 1, clock_mono_ms());
    assert_true(budget_take(&w->removals, clock_mono_ms()));
    str_clear(&w->boxes[0].seen);
    add(w, 0, 6380);
    wait_requests(w, 2);
    (void)run_until(w, never, 20); /* the answer is read: there is no token for the next step */
    w->wanted_shard = 9;
    wait_done(w, 2);
    assert_int_equal(w->done[1].rc, XP_CONFLICT);
    expect_seen(&w->boxes[0], "GET /keepers/port/6380 \n");
    world_free(w);
}

/* Our own keeper on the port, a port of nobody in all spellings, and answers that say nothing: the container decides. */
static void other_answers_about_the_port(void **state)
{
    (void)state;
    static const struct answer looks[] = {
        { 200, NULL, "{\"replId\":2}" },
        { 200, NULL, "{\"clusterDbId\":1,\"shardDbId\":2}" },
        { 200, NULL,
          "{\"clusterDbId\":null,\"shardDbId\":null,\"replId\":null,\"keeperMeta\":null}" },
        { 200, NULL, "null" },
        { 200, NULL, "" },
        { 200, NULL, "<html>" },
        { 200, NULL, "{\"replId\":\"x\"}" },
        { 404, NULL, "" },
        { 500, "INTERNAL_EXCEPTION", FOREIGN },
    };
    struct world *w = world_new();
    for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
        w->boxes[0].look = looks[i];
        str_clear(&w->boxes[0].seen);
        add(w, 0, 6380);
        wait_done(w, i + 1);
        assert_int_equal(w->done[i].rc, 0);
        expect_seen(&w->boxes[0],
                    "GET /keepers/port/6380 \nPOST /keepers/clusters/1/shards/2 " TRANS "\n", 6380);
    }
    world_free(w);
}

/* ---- may it be sent ---- */

static void not_ours_any_more(void **state)
{
    (void)state;
    struct world *w = world_new();
    add(w, 0, 6380);
    drop(w, 0, 6381);
    w->is_ours = false;
    wait_done(w, 2);
    assert_int_equal(w->done[0].rc, XP_NOT_OWNER);
    assert_int_equal(w->done[1].rc, XP_NOT_OWNER);
    assert_int_equal(w->boxes[0].requests, 0);
    assert_int_equal(w->removals.tokens_milli, 1000 * 1000); /* nothing was sent */
    w->is_ours = true;
    w->boxes[0].is_holding = true;
    add(w, 0, 6380);
    wait_requests(w, 1);
    w->is_ours = false; /* between the question and the change */
    release(&w->boxes[0]);
    wait_done(w, 3);
    assert_int_equal(w->done[2].rc, XP_NOT_OWNER);
    expect_seen(&w->boxes[0], "GET /keepers/port/6380 \n");
    world_free(w);
}

static void a_removal_of_what_is_wanted_again(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->wanted_shard = 2;
    w->wanted_addr = addr_of("10.0.0.1", 6380);
    drop(w, 0, 6380);
    wait_done(w, 1);
    assert_int_equal(w->done[0].rc, XP_CONFLICT);
    assert_int_equal(w->boxes[0].requests, 0);
    world_free(w);
}

static void removals_wait_for_tokens(void **state)
{
    (void)state;
    struct world *w = world_new();
    budget_init(&w->removals, 10, 1, clock_mono_ms());
    for (int i = 0; i < 4; i++) {
        drop(w, i % 2, 6380 + i); /* two containers: in order all the same */
    }
    for (int i = 0; i < 3; i++) {
        add(w, 2, 7000 + i);
    }
    mono_ms begin = clock_mono_ms();
    wait_done(w, 7);
    assert_in_range(clock_mono_ms() - begin, 250, LIMIT_MS); /* three tokens, 100 ms each */
    int next = 6380;
    for (int i = 0; i < 7; i++) {
        assert_int_equal(w->done[i].rc, 0);
        if (w->done[i].keeper.port < 7000) {
            assert_int_equal(w->done[i].keeper.port, next++);
        }
    }
    assert_int_equal(w->done[6].keeper.port, 6383); /* who adds does not wait behind them */
    assert_int_equal(w->done[5].keeper.port, 6382);
    world_free(w);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adding_and_removing),
        cmocka_unit_test(every_error_code),
        cmocka_unit_test(a_garbage_consent_is_a_failure),
        cmocka_unit_test(a_foreign_keeper_on_the_port),
        cmocka_unit_test(a_foreign_keeper_that_is_wanted_stays),
        cmocka_unit_test(other_answers_about_the_port),
        cmocka_unit_test(not_ours_any_more),
        cmocka_unit_test(a_removal_of_what_is_wanted_again),
        cmocka_unit_test(removals_wait_for_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
