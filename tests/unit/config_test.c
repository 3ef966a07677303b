/* config_test.c - config.h: files good and bad, precedence, reload, and the printed ini text read back. */
#include "tests/unit/unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/config.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

struct settings {
    int64_t poll_ms;
    int64_t port;
    bool enabled;
    char *url;
    char *password;
};

static int check_url(const char *text, struct xp_err *err)
{
    return text_has_prefix(text, "http://") ? 0 : xp_fail(err, XP_INVALID, "is not an http:// URL");
}

static const struct config_row rows[] = {
    { "common", "poll.ms", CFG_INT, offsetof(struct settings, poll_ms), "1000", 100, 60000, "ms",
      true, "Period of a poll", NULL },
    { "meta", "port", CFG_INT, offsetof(struct settings, port), "8080", 0, 65535, "", false,
      "Port to listen on", NULL },
    { "meta", "enabled", CFG_BOOL, offsetof(struct settings, enabled), "false", 0, 0, "", true,
      "Whether to act", NULL },
    { "meta", "console.url", CFG_TEXT, offsetof(struct settings, url), "http://127.0.0.1:1", 1, 40,
      "", true, "Where the console is", check_url },
    { "meta", "password", CFG_SECRET, offsetof(struct settings, password), NULL, 0, 3000, "", true,
      "Password of the console", NULL },
    { 0 },
};

struct fixture {
    struct config config;
    struct settings settings;
    char path[40];
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    (void)snprintf(f->path, sizeof(f->path), "/tmp/xpipe-config.XXXXXX");
    int fd = mkstemp(f->path);
    if (fd < 0) {
        free(f);
        return -1;
    }
    (void)close(fd);
    config_init(&f->config, rows, &f->settings);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    config_done(&f->config);
    (void)unlink(f->path);
    free(f);
    return 0;
}

static void write_bytes(const struct fixture *f, const char *bytes, size_t length)
{
    FILE *file = fopen(f->path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static void write_file(const struct fixture *f, const char *text)
{
    write_bytes(f, text, strlen(text));
}

static void defaults_apply(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->settings.poll_ms, 1000);
    assert_int_equal(f->settings.port, 8080);
    assert_false(f->settings.enabled);
    assert_string_equal(f->settings.url, "http://127.0.0.1:1");
    assert_string_equal(f->settings.password, "");
}

static void a_file_is_read(void **state)
{
    struct fixture *f = *state;
    struct xp_err err = { 0 };
    write_file(f, "\xef\xbb\xbf; comment\r\n# comment\n\n[common]\n  poll.ms = 200\r\n[console]\n"
                  "whatever = 1\nwhatever = 2\n[meta]\nenabled=on\nconsole.url : http://h:1/;a#b\n"
                  "password = a ; b # c = d\n[common]\n[meta]\nport = 65535");
    assert_int_equal(config_load(&f->config, f->path, &err), 0);
    assert_int_equal(f->settings.poll_ms, 200);
    assert_int_equal(f->settings.port, 65535);
    assert_true(f->settings.enabled);
    assert_string_equal(f->settings.url, "http://h:1/;a#b");
    assert_string_equal(f->settings.password, "a ; b # c = d");
}

static void long_values_stay_whole(void **state)
{
    struct fixture *f = *state;
    struct xp_err err = { 0 };
    AUTO_FREE char *value = xcalloc(1, 3001);
    memset(value, 'p', 3000);
    AUTO_FREE char *text = xasprintf("[meta]\npassword = %s\nport = 7\n", value);
    write_file(f, text);
    assert_int_equal(config_load(&f->config, f->path, &err), 0);
    assert_string_equal(f->settings.password, value);
    assert_int_equal(f->settings.port, 7);
}

static void bad_files_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text;
        const char *why;
    } bad[] = {
        { "[meta]\nnope = 1\n", ":2: key 'nope': is unknown" },
        { "[common]\nport = 1\n", ":2: key 'port': is unknown" },
        { "[meta]\nport = 1\n\nport = 1\n", ":4: key 'port': is defined twice, first in line 2" },
        { "[meta]\nport = 1\n[common]\n[meta]\nport = 1\n", ":5: key 'port': is defined twice" },
        { "[meta]\nport = 65536\n", ":2: key 'port': '65536' is not a whole number from 0 to" },
        { "[meta]\nport =\n", ":2: key 'port': '' is not" },
        { "[meta]\nport = 1 ; one\n", ":2: key 'port': '1 ; one' is not" },
        { "[common]\npoll.ms = 99\n", ":2: key 'poll.ms':" },
        { "[meta]\nenabled = 1\n", ":2: key 'enabled': '1' is not true or false" },
        { "[meta]\nconsole.url =\n", ":2: key 'console.url': has 0 bytes, must have 1 to 40" },
        { "[meta]\nconsole.url = ftp://x\n", ":2: key 'console.url': is not an http:// URL" },
        { "[meta]\nconsole.url = http://1234567890123456789012345678901234\n", "has 41 bytes" },
        { "[meta]\npassword = a\x01z\n", ":2: key 'password': holds a control character" },
        { "[meta]\npassword = \xff\n", ":2: key 'password': is not UTF-8" },
        { "port = 1\n", ":1: key 'port': stands before the first section" },
        { "[meta]\n[daemon]\nx = 1\n", ":2: section [daemon] is unknown" },
        { "[empty]\n", ":1: section [empty] is unknown" },
        { "[Meta]\nport = 1\n", ":1: section [Meta] is unknown" },
        { "[meta] port = 1\n", ":1: there is text behind the section" },
        { "\n[meta\nport = 1\n", ":2: is neither" },
        { "[meta]\nport = 1\nhello\n", ":3: is neither" },
        { "[meta]\nport = 1\n  continued\n", ":3: is neither" },
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct xp_err err = { 0 };
        write_file(f, bad[i].text);
        assert_int_equal(config_load(&f->config, f->path, &err), XP_INVALID);
        assert_true(text_has_prefix(err.msg, f->path));
        if (!strstr(err.msg, bad[i].why)) {
            fail_msg("row %zu: '%s' does not hold '%s'", i, err.msg, bad[i].why);
        }
        defaults_apply(state);
    }
}

static void an_error_late_in_the_file_changes_nothing(void **state)
{
    struct fixture *f = *state;
    write_file(f, "[meta]\nport = 1\nenabled = true\npassword = x\n[common]\npoll.ms = x\n");
    assert_int_equal(config_load(&f->config, f->path, NULL), XP_INVALID);
    defaults_apply(state);
}

static void limits_of_a_file_hold(void **state)
{
    struct fixture *f = *state;
    struct xp_err err = { 0 };
    AUTO_FREE char *text = xcalloc(1, 40000);
    memset(text, ';', 5000);
    memcpy(text + 5000, "\n[meta]\nport = 1\n", 18);
    write_file(f, text);
    assert_int_equal(config_load(&f->config, f->path, &err), XP_INVALID);
    assert_non_null(strstr(err.msg, ":1: the line is too long"));
    memset(text, '\n', 10001);
    text[10001] = '\0';
    write_file(f, text);
    assert_int_equal(config_load(&f->config, f->path, &err), XP_INVALID);
    assert_non_null(strstr(err.msg, ":10001: the file has too many lines"));
    static const struct {
        const char *bytes;
        size_t length;
        const char *why;
    } nul[] = {
        { "[meta]\nport = 1\0 2\n", 19, ":2: the line holds a NUL byte" },
        { "[meta]\nport = 1\0", 16, ":2: the line holds a NUL byte" },
        { "\0\0\0\0", 4, ":1: the line holds a NUL byte" },
    };
    for (size_t i = 0; i < ARRAY_LEN(nul); i++) {
        write_bytes(f, nul[i].bytes, nul[i].length);
        assert_int_equal(config_load(&f->config, f->path, &err), XP_INVALID);
        assert_non_null(strstr(err.msg, nul[i].why));
    }
    assert_int_equal(config_load(&f->config, "/nonexistent/x.ini", &err), XP_NOT_FOUND);
    assert_non_null(strstr(err.msg, "/nonexistent/x.ini"));
    assert_int_equal(config_load(&f->config, "/tmp", &err), XP_INVALID);
    defaults_apply(state);
}

static void the_command_line_wins(void **state)
{
    struct fixture *f = *state;
    struct xp_err err = { 0 };
    assert_int_equal(config_set(&f->config, "port=1", &err), 0);
    write_file(f, "[meta]\nport = 2\nenabled = yes\n");
    assert_int_equal(config_load(&f->config, f->path, &err), 0);
    assert_int_equal(f->settings.port, 1);
    assert_true(f->settings.enabled);
    assert_int_equal(config_set(&f->config, "enabled=no", &err), 0);
    assert_false(f->settings.enabled);
    assert_int_equal(config_set(&f->config, "password=a=b", &err), 0);
    assert_string_equal(f->settings.password, "a=b");
}

static void a_bad_command_line_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = { "port", "port=x", "nope=1", "=1", "", "console.url=x" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct xp_err err = { 0 };
        assert_int_equal(config_set(&f->config, bad[i], &err), XP_INVALID);
        assert_true(err.msg[0] != '\0');
    }
    defaults_apply(state);
}

struct reports {
    char text[200];
};

static void note(const char *key, bool applied, void *arg)
{
    struct reports *r = arg;
    size_t n = strlen(r->text);
    (void)snprintf(r->text + n, sizeof(r->text) - n, "%s=%d ", key, applied);
}

static void reload_applies_what_it_may(void **state)
{
    struct fixture *f = *state;
    struct xp_err err = { 0 };
    struct reports r = { "" };
    write_file(f, "[common]\npoll.ms = 500\n[meta]\npassword = one\nenabled = on\n");
    assert_int_equal(config_load(&f->config, f->path, &err), 0);
    assert_int_equal(config_set(&f->config, "console.url=http://pinned", &err), 0);

    write_file(f, "[meta]\nenabled = yes\nport = 9\npassword = two\nconsole.url = http://file\n");
    assert_int_equal(config_reload(&f->config, f->path, note, &r, &err), 0);
    assert_string_equal(r.text, "poll.ms=1 port=0 password=1 ");
    assert_int_equal(f->settings.poll_ms, 1000);
    assert_int_equal(f->settings.port, 8080);
    assert_string_equal(f->settings.password, "two");
    assert_string_equal(f->settings.url, "http://pinned");

    r.text[0] = '\0';
    write_file(f, "[meta]\npassword = three\nport = x\n");
    assert_int_equal(config_reload(&f->config, f->path, note, &r, &err), XP_INVALID);
    assert_string_equal(r.text, "");
    assert_string_equal(f->settings.password, "two");
}

static void values_are_shown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(config_set(&f->config, "password=hidden", NULL), 0);
    static const char *const want[][2] = { { "poll.ms", "1000" },
                                           { "enabled", "false" },
                                           { "console.url", "http://127.0.0.1:1" },
                                           { "password", "***" } };
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        AUTO_FREE char *text = config_value_text(&f->config, want[i][0]);
        assert_string_equal(text, want[i][1]);
    }
    assert_null(config_value_text(&f->config, "nope"));
}

static void the_printed_file_is_a_valid_file(void **state)
{
    struct fixture *f = *state;
    struct xp_err err = { 0 };
    FILE *out = fopen(f->path, "w+e");
    assert_non_null(out);
    config_print_ini(rows, out);
    char text[4000] = "";
    rewind(out);
    assert_true(fread(text, 1, sizeof(text) - 1, out) > 0);
    (void)fclose(out);
    assert_true(text_has_prefix(text, "[common]\n\n; Period of a poll.\n; ms, 100 to 60000; SIGHUP "
                                      "applies it\npoll.ms = 1000\n\n[meta]\n\n; Port to"));
    assert_non_null(strstr(text, "; 0 to 65535; needs a restart\nport = 8080\n"));
    assert_non_null(strstr(text, "; true or false; SIGHUP applies it\nenabled = false\n"));
    assert_non_null(strstr(text, "; secret, 0 to 3000 bytes; SIGHUP applies it\npassword =\n"));
    assert_int_equal(config_load(&f->config, f->path, &err), 0);
    defaults_apply(state);
}

static void a_default_out_of_range_aborts(void **state)
{
    (void)state;
    static const struct config_row wrong[] = {
        { "meta", "port", CFG_INT, offsetof(struct settings, port), "0", 1, 65535, "", false,
          "Port", NULL },
        { 0 },
    };
    struct settings settings;
    struct config config;
    ASSERT_ABORTS(config_init(&config, wrong, &settings));
}

#define CONFIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(defaults_apply),
        CONFIG_TEST(a_file_is_read),
        CONFIG_TEST(long_values_stay_whole),
        CONFIG_TEST(bad_files_are_refused),
        CONFIG_TEST(an_error_late_in_the_file_changes_nothing),
        CONFIG_TEST(limits_of_a_file_hold),
        CONFIG_TEST(the_command_line_wins),
        CONFIG_TEST(a_bad_command_line_is_refused),
        CONFIG_TEST(reload_applies_what_it_may),
        CONFIG_TEST(values_are_shown),
        CONFIG_TEST(the_printed_file_is_a_valid_file),
        cmocka_unit_test(a_default_out_of_range_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
