/* base_test.c - the small modules of shared/base: err, mem, str, list, blob, clock, thread. */
#include "tests/unit/unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/blob.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/list.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"

#include "shared/base/banned.h"

/* err */

static void err_carries_code_and_text(void **state)
{
    (void)state;
    struct xp_err err = { 0 };
    assert_int_equal(xp_fail(&err, XP_NOT_FOUND, "shard '%s' is not there", "s1"), XP_NOT_FOUND);
    assert_int_equal(err.code, XP_NOT_FOUND);
    assert_string_equal(err.msg, "shard 's1' is not there");
    assert_int_equal(xp_wrap(&err, "cluster %d", 7), XP_NOT_FOUND);
    assert_string_equal(err.msg, "cluster 7: shard 's1' is not there");
    assert_int_equal(xp_fail(NULL, XP_IO, "nobody listens"), XP_IO);
    assert_int_equal(xp_wrap(NULL, "nobody listens"), XP_INTERNAL);
}

static void err_marks_a_cut(void **state)
{
    (void)state;
    struct xp_err err = { 0 };
    char text[400];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    (void)xp_fail(&err, XP_INVALID, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
    assert_string_equal(err.msg + sizeof(err.msg) - 4, "...");
    (void)xp_fail(&err, XP_INVALID, "%.238s", text);
    assert_null(strstr(err.msg, "..."));
    (void)xp_wrap(&err, "context");
    assert_true(text_has_prefix(err.msg, "context: xxx"));
    assert_string_equal(err.msg + sizeof(err.msg) - 4, "...");
}

static void err_knows_every_code(void **state)
{
    (void)state;
    for (int code = XP_LOCKED; code <= XP_OK; code++) {
        const struct xp_code_info *info = xp_code_info(code);
        assert_int_equal(info->code, code);
        assert_true(info->http_status >= 200 && info->http_status <= 599);
        for (int other = XP_LOCKED; other < code; other++) {
            assert_string_not_equal(info->name, xp_code_info(other)->name);
        }
    }
    assert_int_equal(xp_code_info(-999)->code, XP_INTERNAL);
    assert_int_equal(xp_code_info(1)->code, XP_INTERNAL);
    assert_int_equal(xp_code_info(XP_NOT_FOUND)->http_status, 404);
    assert_true(xp_code_info(XP_TIMEOUT)->may_retry);
    assert_true(xp_code_info(XP_INTERNAL)->is_our_fault);
}

static void check_is_one(int number)
{
    xp_check(number == 1);
}

static void err_check_aborts(void **state)
{
    (void)state;
    check_is_one(1);
    ASSERT_ABORTS(check_is_one(2));
    ASSERT_ABORTS((void)xp_fail(NULL, XP_OK, "success is no failure"));
}

/* mem */

static void mem_copies(void **state)
{
    (void)state;
    AUTO_FREE char *a = xstrdup("abc");
    AUTO_FREE char *b = xstrndup("abcdef", 3);
    AUTO_FREE char *c = xmemdup("abc", 4);
    AUTO_FREE char *d = xasprintf("a%s%d", "b", 1);
    AUTO_FREE void *empty = xmemdup(NULL, 0);
    assert_string_equal(a, b);
    assert_string_equal(a, c);
    assert_string_equal(d, "ab1");
    assert_null(xstrdup(NULL));
    assert_non_null(empty);
}

static void mem_sizes_of_zero_are_valid(void **state)
{
    (void)state;
    AUTO_FREE void *a = xmalloc(0);
    AUTO_FREE void *b = xcalloc(0, 8);
    AUTO_FREE int *c = xcalloc(4, sizeof(*c));
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(c[3], 0);
    c = xrealloc(c, 8, sizeof(*c));
    c[7] = 1;
    int *taken = TAKE(c);
    assert_null(c);
    assert_int_equal(taken[7], 1);
    free(taken);
}

struct outer {
    int before;
    struct list link;
};

static void mem_finds_the_container(void **state)
{
    (void)state;
    struct outer o = { .before = 3 };
    assert_ptr_equal(CONTAINER_OF(&o.link, struct outer, link), &o);
    int numbers[7];
    assert_int_equal(ARRAY_LEN(numbers), 7);
}

/* str */

static void str_grows_and_is_taken(void **state)
{
    (void)state;
    AUTO_STR struct str s = STR_INIT(10000);
    assert_string_equal(str_text(&s), "");
    str_puts(&s, "a");
    str_puts(&s, NULL);
    str_putc(&s, 'b');
    str_printf(&s, "%d", 12);
    str_add(&s, "\0x", 2);
    assert_int_equal(s.len, 6);
    assert_memory_equal(str_text(&s), "ab12\0x", 7);
    str_clear(&s);
    str_printf(&s, "%0500d", 7);
    assert_int_equal(s.len, 500);
    char *text = str_take(&s);
    assert_int_equal(strlen(text), 500);
    free(text);
    assert_string_equal(str_text(&s), "");
    text = str_take(&s);
    assert_string_equal(text, "");
    free(text);
}

static void str_stops_at_its_limit(void **state)
{
    (void)state;
    AUTO_STR struct str s = STR_INIT(5);
    str_puts(&s, "12345");
    assert_false(s.overflow);
    str_putc(&s, '6');
    assert_true(s.overflow);
    assert_string_equal(str_text(&s), "12345");
    str_add(&s, "", 0);
    assert_true(s.overflow);
    str_clear(&s);
    assert_false(s.overflow);
    str_printf(&s, "%0300d", 1);
    assert_true(s.overflow);
    assert_string_equal(str_text(&s), "");
}

static void text_compares(void **state)
{
    (void)state;
    assert_true(text_eq("a", "a") && text_eq(NULL, "") && !text_eq("a", "A"));
    assert_true(text_eq_nocase("aB", "Ab") && !text_eq_nocase("a", "b"));
    assert_true(text_is_empty(NULL) && text_is_empty("") && !text_is_empty("a"));
    assert_true(text_has_prefix("abc", "ab") && !text_has_prefix("a", "ab"));
    assert_false(text_has_prefix(NULL, "a"));
    char mixed[] = "JQ-\xc3\x84";
    text_lower(mixed);
    assert_string_equal(mixed, "jq-\xc3\x84");
    text_lower(NULL);
}

static void text_checks_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {
        "", "abc", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"
    };
    static const char *const bad[] = {
        "\x80",         "\xc0\xaf",         "\xc3",        "\xe2\x82",         "\xe0\x80\x80",
        "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff",        "\xf0\x80\x80\x80", "a\xc3(",
        "\xe2(\x82",    "\xf5\x80\x80\x80", "\xf0\x9f\x98"
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(text_is_utf8(good[i], strlen(good[i])));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(text_is_utf8(bad[i], strlen(bad[i])));
    }
}

static void text_reads_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
        int64_t value;
    } rows[] = {
        { "0", true, 0 },
        { "-1", true, -1 },
        { "007", true, 7 },
        { "9223372036854775807", true, INT64_MAX },
        { "-9223372036854775808", true, INT64_MIN },
        { "9223372036854775808", false, 0 },
        { "-9223372036854775809", false, 0 },
        { "", false, 0 },
        { "-", false, 0 },
        { "+1", false, 0 },
        { " 1", false, 0 },
        { "1 ", false, 0 },
        { "1x", false, 0 },
        { "0x1", false, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t value = 42;
        bool valid = text_to_i64(rows[i].text, strlen(rows[i].text), INT64_MIN, INT64_MAX, &value);
        assert_int_equal(valid, rows[i].valid);
        assert_true(value == (valid ? rows[i].value : 42));
    }
    int64_t port = 0;
    assert_true(text_to_i64("65535", 5, 1, 65535, &port));
    assert_false(text_to_i64("65536", 5, 1, 65535, &port));
    assert_false(text_to_i64("0", 1, 1, 65535, &port));
    assert_true(text_to_i64("123", 2, 1, 65535, &port));
    assert_int_equal(port, 12);
}

static void text_walks_parts(void **state)
{
    (void)state;
    const char *cursor = " a , ,b\t;; c d";
    const char *part = NULL;
    size_t length = 0;
    const char *const want[] = { "a", "b", "c d" };
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_true(text_next_part(&cursor, ",;", &part, &length));
        assert_int_equal(length, strlen(want[i]));
        assert_memory_equal(part, want[i], length);
    }
    assert_false(text_next_part(&cursor, ",;", &part, &length));
    cursor = NULL;
    assert_false(text_next_part(&cursor, ",", &part, &length));
}

/* list */

static void list_keeps_order(void **state)
{
    (void)state;
    struct list head;
    struct outer items[4] = { { .before = 0 }, { .before = 1 }, { .before = 2 }, { .before = 3 } };
    list_init(&head);
    assert_true(list_is_empty(&head));
    assert_null(list_pop_front(&head));
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        assert_false(list_is_linked(&items[i].link));
        list_push_back(&head, &items[i].link);
        assert_true(list_is_linked(&items[i].link));
    }
    int sum = 0;
    list_for_each (it, &head) {
        struct outer *o = LIST_ENTRY(it, struct outer, link);
        sum = sum * 10 + o->before;
        if (o->before == 1) {
            list_remove(it);
        }
    }
    assert_int_equal(sum, 123);
    assert_false(list_is_linked(&items[1].link));
    list_remove(&items[1].link);
    assert_ptr_equal(list_pop_front(&head), &items[0].link);
    assert_ptr_equal(list_pop_front(&head), &items[2].link);
    assert_ptr_equal(list_pop_front(&head), &items[3].link);
    assert_true(list_is_empty(&head));
    list_push_front(&head, &items[1].link);
    list_push_front(&head, &items[0].link);
    list_push_back(&head, &items[2].link);
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(list_pop_front(&head), &items[i].link);
    }
    assert_true(list_is_empty(&head));
}

/* blob */

static void *ref_and_unref(void *arg)
{
    for (int i = 0; i < 10000; i++) {
        struct blob *mine = blob_ref(arg);
        blob_unref(mine);
    }
    return NULL;
}

static void blobs_are_shared(void **state)
{
    (void)state;
    struct blob *b = blob_new(xstrdup("document"), 8);
    pthread_t threads[2];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ref_and_unref, b), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(b->refs, 1);
    assert_string_equal(b->bytes, "document");
    struct blob *again = blob_ref(b);
    assert_ptr_equal(again, b);
    blob_unref(b);
    assert_int_equal(again->len, 8);
    blob_unref(again);
    blob_unref(NULL);
}

/* clock */

static void clock_runs(void **state)
{
    (void)state;
    int64_t begin_us = clock_mono_us();
    mono_ms begin_ms = clock_mono_ms();
    assert_in_range(begin_ms - begin_us / 1000, 0, 1000);
    while (clock_mono_us() - begin_us < 2000) {
    }
    assert_true(clock_mono_ms() > begin_ms);
    assert_true(clock_wall_ms() > (wall_ms)1700000000000);
    assert_int_equal(mono_age(100, 40), 60);
    assert_true(mono_age(100, MONO_NEVER) == INT64_MAX);
}

/* thread */

static void loop_only(void)
{
    XP_ON_LOOP();
}

static void worker_only(void)
{
    XP_ON_WORKER();
}

static void *role_in_thread(void *arg)
{
    (void)arg;
    thread_set_role(THREAD_LOOP, "loop-test");
    char name[16] = "";
    (void)pthread_getname_np(pthread_self(), name, sizeof(name));
    loop_only();
    return thread_role() == THREAD_LOOP && text_eq(name, "loop-test") ? (void *)1 : NULL;
}

static void thread_roles_belong_to_threads(void **state)
{
    (void)state;
    pthread_t thread;
    void *result = NULL;
    assert_int_equal(pthread_create(&thread, NULL, role_in_thread, NULL), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_non_null(result);
    assert_int_equal(thread_role(), THREAD_ANY);
    loop_only();
    ASSERT_ABORTS(thread_set_role(THREAD_WORKER, "w"); loop_only());
    ASSERT_ABORTS(thread_set_role(THREAD_HTTP, "h"); worker_only());
}

static struct mutex counter_lock = MUTEX_INIT;
static int counter XP_GUARDED_BY(counter_lock);

static void *count_up(void *arg)
{
    for (int i = 0; i < 10000; i++) {
        mutex_lock(&counter_lock);
        counter++;
        mutex_unlock(&counter_lock);
    }
    return arg;
}

static void thread_mutex_excludes(void **state)
{
    (void)state;
    pthread_t threads[2];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    mutex_lock(&counter_lock);
    int value = counter;
    mutex_unlock(&counter_lock);
    assert_int_equal(value, 20000);
    struct mutex local;
    mutex_init(&local);
    mutex_done(&local);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_carries_code_and_text),
        cmocka_unit_test(err_marks_a_cut),
        cmocka_unit_test(err_knows_every_code),
        cmocka_unit_test(err_check_aborts),
        cmocka_unit_test(mem_copies),
        cmocka_unit_test(mem_sizes_of_zero_are_valid),
        cmocka_unit_test(mem_finds_the_container),
        cmocka_unit_test(str_grows_and_is_taken),
        cmocka_unit_test(str_stops_at_its_limit),
        cmocka_unit_test(text_compares),
        cmocka_unit_test(text_checks_utf8),
        cmocka_unit_test(text_reads_numbers),
        cmocka_unit_test(text_walks_parts),
        cmocka_unit_test(list_keeps_order),
        cmocka_unit_test(blobs_are_shared),
        cmocka_unit_test(clock_runs),
        cmocka_unit_test(thread_roles_belong_to_threads),
        cmocka_unit_test(thread_mutex_excludes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
