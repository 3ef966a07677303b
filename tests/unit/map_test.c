/* map_test.c - map.h against a plain array as the model. */
#include "tests/unit/unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/map.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

static void texts_are_found(void **state)
{
    (void)state;
    struct map m = MAP_INIT(MAP_TEXT);
    int one = 1;
    int two = 2;
    assert_null(map_get(&m, "a"));
    assert_null(map_remove(&m, "a"));
    char key[] = "a";
    assert_null(map_put(&m, key, &one));
    key[0] = 'x'; /* the map keeps a copy */
    assert_ptr_equal(map_get(&m, "a"), &one);
    assert_null(map_get(&m, "A"));
    assert_null(map_get(&m, NULL));
    assert_ptr_equal(map_put(&m, "a", &two), &one);
    assert_int_equal(map_count(&m), 1);
    assert_ptr_equal(map_remove(&m, "a"), &two);
    assert_int_equal(map_count(&m), 0);
    map_done(&m);
    assert_null(map_put(&m, "again", &one));
    map_done(&m);
}

static void case_can_be_ignored(void **state)
{
    (void)state;
    struct map m = MAP_INIT(MAP_TEXT_NOCASE);
    int one = 1;
    assert_null(map_put(&m, "Jq", &one));
    assert_ptr_equal(map_get(&m, "jQ"), &one);
    assert_ptr_equal(map_remove(&m, "JQ"), &one);
    map_done(&m);
}

#define KEYS 3000

/* Puts and removes in a fixed pseudo-random order and compares with an array after each step. */
static void numbers_agree_with_an_array(void **state)
{
    (void)state;
    struct map m = MAP_INIT(MAP_NUMBER);
    AUTO_FREE char *model = xcalloc(KEYS, 1);
    size_t count = 0;
    uint32_t random = 12345;
    for (int step = 0; step < 40000; step++) {
        random = random * 1664525 + 1013904223;
        size_t key = (random >> 8) % KEYS;
        bool put = (random >> 28) < (step < 20000 ? 10U : 6U);
        void *old = put ? map_put_n(&m, key, &model[key]) : map_remove_n(&m, key);
        assert_ptr_equal(old, model[key] ? &model[key] : NULL);
        count = count + (put && !model[key] ? 1 : 0) - (!put && model[key] ? 1 : 0);
        model[key] = put;
        assert_int_equal(map_count(&m), count);
    }
    for (size_t key = 0; key < KEYS; key++) {
        assert_ptr_equal(map_get_n(&m, key), model[key] ? &model[key] : NULL);
    }
    map_done(&m);
}

static void a_walk_survives_removal(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 400; size += 7) {
        struct map m = MAP_INIT(MAP_NUMBER);
        AUTO_FREE char *seen = xcalloc(size, 1);
        for (size_t key = 0; key < size; key++) {
            assert_null(map_put_n(&m, key, &seen[key]));
        }
        size_t at = 0;
        for (const struct map_slot *slot; (slot = map_next(&m, &at));) {
            uint64_t key = slot->number;
            seen[key]++;
            if (key % 3 != 0) {
                assert_non_null(map_remove_n(&m, key));
            }
        }
        assert_null(map_next(&m, &at));
        for (size_t key = 0; key < size; key++) {
            assert_int_equal(seen[key], 1);
            assert_int_equal(map_get_n(&m, key) != NULL, key % 3 == 0);
        }
        map_done(&m);
    }
    struct map empty = MAP_INIT(MAP_TEXT);
    size_t at = 0;
    assert_null(map_next(&empty, &at));
}

static void values_come_sorted(void **state)
{
    (void)state;
    static const char *const keys[] = { "b", "a", "c", "B", "aa" };
    static const char *const want[] = { "B", "a", "aa", "b", "c" };
    struct map m = MAP_INIT(MAP_TEXT);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        assert_null(map_put(&m, keys[i], (void *)(uintptr_t)keys[i]));
    }
    size_t count = 0;
    AUTO_FREE void **values = map_sorted(&m, &count);
    assert_int_equal(count, ARRAY_LEN(want));
    for (size_t i = 0; i < count; i++) {
        assert_string_equal((const char *)values[i], want[i]);
    }
    map_done(&m);
    struct map numbers = MAP_INIT(MAP_NUMBER);
    static int items[3];
    assert_null(map_put_n(&numbers, UINT64_MAX, &items[2]));
    assert_null(map_put_n(&numbers, 0, &items[0]));
    assert_null(map_put_n(&numbers, 7, &items[1]));
    AUTO_FREE void **sorted = map_sorted(&numbers, &count);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(sorted[i], &items[i]);
    }
    map_done(&numbers);
}

static void misuse_aborts(void **state)
{
    (void)state;
    struct map m = MAP_INIT(MAP_NUMBER);
    ASSERT_ABORTS((void)map_get(&m, "text"));
    ASSERT_ABORTS((void)map_put_n(&m, 1, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_found),
        cmocka_unit_test(case_can_be_ignored),
        cmocka_unit_test(numbers_agree_with_an_array),
        cmocka_unit_test(a_walk_survives_removal),
        cmocka_unit_test(values_come_sorted),
        cmocka_unit_test(misuse_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
