/* upstream_board_test.c - what a DC tells others to pull from, and the board that workers read it from. */
#include <pthread.h>
#include <string.h>

#include "meta/keepers/upstream_board.h"
#include "shared/base/mem.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

#define ROUNDS 20000

static struct upstream upstream_at(const char *host)
{
    return (struct upstream){ .place = TREE_PRIMARY,
                              .has_keepers = true,
                              .has_active = true,
                              .active = { .addr = addr_of(host, 6380), .priority = 1 },
                              .source = addr_of(host, 6379),
                              .offset = 100 };
}

static const char *head_of(const struct upstream *upstream)
{
    static char text[ADDR_TEXT_MAX];
    struct addr head = upstream_head(upstream);
    return addr_is_none(&head) ? "none" : addr_text(&head, text);
}

static void the_head_of_a_dc(void **state)
{
    (void)state;
    struct upstream u = upstream_at("10.0.0.1");
    assert_string_equal(head_of(&u), "10.0.0.1:6380");
    /* keepers that are all dead: the backup DC waits, it does not go around them */
    u.has_active = false;
    assert_string_equal(head_of(&u), "none");
    u.has_keepers = false;
    assert_string_equal(head_of(&u), "10.0.0.1:6379");
    u.source = (struct addr){ 0 };
    assert_string_equal(head_of(&u), "none");
    static const enum tree_place others[] = { TREE_BACKUP, TREE_OUTSIDE };
    for (size_t i = 0; i < ARRAY_LEN(others);
         i++) { /* only the primary DC says what to pull from */
        u = upstream_at("10.0.0.1");
        u.place = others[i];
        assert_string_equal(head_of(&u), "none");
        u.has_keepers = false;
        assert_string_equal(head_of(&u), "none");
    }
}

static void the_board(void **state)
{
    (void)state;
    struct upstream_board *board = upstream_board_new();
    struct upstream a = upstream_at("10.0.0.1");
    struct upstream b = upstream_at("10.0.0.2");
    struct upstream got = { .offset = 77 };
    assert_false(upstream_board_get(board, "c", "s", &got));
    assert_int_equal(got.offset, 77);
    upstream_board_put(board, "c", "s", &a);
    upstream_board_put(board, "c", "s", &b);
    upstream_board_put(board, "c", "t", &a);
    assert_true(upstream_board_get(board, "c", "s", &got));
    assert_memory_equal(&got, &b, sizeof(b));
    upstream_board_remove(board, "c", "s");
    upstream_board_remove(board, "c", "s");
    assert_false(upstream_board_get(board, "c", "s", &got));
    assert_true(upstream_board_get(board, "c", "t", &got));
    upstream_board_free(board); /* what is left goes with it: watched by the leak checker */
    upstream_board_free(NULL);
}

/* Whole values only: never the keeper of one state with the source of another. */
static void *read_all(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct upstream got;
        bool is_whole = !upstream_board_get(arg, "c", "s", &got) ||
                        strcmp(got.active.addr.host, got.source.host) == 0;
        xp_check(is_whole);
    }
    return NULL;
}

static void readers_on_other_threads(void **state)
{
    (void)state;
    struct upstream_board *board = upstream_board_new();
    struct upstream states[] = { upstream_at("10.0.0.1"), upstream_at("10.11.12.13") };
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, read_all, board), 0);
    for (size_t i = 0; i < ROUNDS; i++) {
        if (i % 5 == 4) {
            upstream_board_remove(board, "c", "s");
        } else {
            upstream_board_put(board, "c", "s", &states[i % 2]);
        }
    }
    assert_int_equal(pthread_join(reader, NULL), 0);
    upstream_board_free(board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_head_of_a_dc),
        cmocka_unit_test(the_board),
        cmocka_unit_test(readers_on_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
