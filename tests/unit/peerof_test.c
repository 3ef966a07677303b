/* peerof_test.c - peerof.h: the tables of crdt-redis.md 2.1, 2.2, 2.3 and 2.5, and the words of metaserver.md 11.3. */
#include "tests/unit/unit.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/crdt/peerof.h"

#include "shared/base/banned.h"

static struct route route_of(const char *text)
{
    struct route route;
    assert_int_equal(route_parse(text, strlen(text), &route, NULL), XP_OK);
    return route;
}

static struct crdt_version version_of(const char *text)
{
    struct redis_server_info info;
    AUTO_FREE char *line = xasprintf("xredis_crdt_version:%s", text);
    redis_server_info_parse(line, strlen(line), &info);
    return info.version;
}

static struct peerof_context context_of(const char *version)
{
    return (struct peerof_context){ .own_gid = 1,
                                    .own_addr = addr_of("10.0.0.9", 6379),
                                    .version = version_of(version) };
}

static struct peerof_target target_of(int gid, const char *host, int port)
{
    struct peerof_target target = { .gid = gid };
    memcpy(target.addr.host, host, strlen(host));
    target.addr.port = port;
    return target;
}

/* ---- checks ---- */

static void sound_targets_pass(void **state)
{
    (void)state;
    struct peerof_context context = context_of("1.0.22");
    static const char *const hosts[] = { "127.0.0.1", "::1", "fe80::1" };
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        struct peerof_target target = target_of(2, hosts[i], 65535);
        assert_int_equal(peerof_check(&target, &context, NULL), XP_OK);
    }
    struct peerof_target target = target_of(15, "10.0.0.9", 6380);
    assert_int_equal(peerof_check(&target, &context, NULL), XP_OK);
}

static void bad_targets_name_the_argument(void **state)
{
    (void)state;
    static const struct {
        int gid;
        const char *host;
        int port;
        const char *argument;
    } rows[] = {
        { 0, "1.1.1.1", 1, "gid: " },
        { 16, "1.1.1.1", 1, "gid: " },
        { 17, "1.1.1.1", 1, "gid: " },
        { -1, "1.1.1.1", 1, "gid: " },
        { 100, "1.1.1.1", 1, "gid: " },
        { 1000000000, "1.1.1.1", 1, "gid: " },
        { 1, "1.1.1.1", 1, "gid: " },
        { 2, "", 1, "host: " },
        { 2, "no", 1, "host: " },
        { 2, "NO", 1, "host: " },
        { 2, "1.1.1.1 ", 1, "host: " },
        { 2, "1.1\n1.1", 1, "host: " },
        { 2, "a'b", 1, "host: " },
        { 2, "a\"b", 1, "host: " },
        { 2, "a\\b", 1, "host: " },
        { 2, "a|b", 1, "host: " },
        { 2, "localhost", 1, "host: " },
        { 2, "256.1.1.1", 1, "host: " },
        { 2, "0.0.0.0", 1, "host: " },
        { 2, "0.1.2.3", 1, "host: " },
        { 2, "255.255.255.255", 1, "host: " },
        { 2, "224.0.0.1", 1, "host: " },
        { 2, "::", 1, "host: " },
        { 2, "ff02::1", 1, "host: " },
        { 2, "10.0.0.9", 6379, "host: " },
        { 2, "1.1.1.1", 0, "port: " },
        { 2, "1.1.1.1", -5, "port: " },
        { 2, "1.1.1.1", 65536, "port: " },
        { 2, "1.1.1.1", 70000, "port: " },
    };
    struct peerof_context context = context_of("1.0.22");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peerof_target target = target_of(rows[i].gid, rows[i].host, rows[i].port);
        struct xp_err err = { 0 };
        assert_int_equal(peerof_check(&target, &context, &err), XP_INVALID);
        assert_int_equal(strncmp(err.msg, rows[i].argument, strlen(rows[i].argument)), 0);
    }
}

static void names_need_a_switch(void **state)
{
    (void)state;
    struct peerof_context context = context_of("1.0.22");
    context.allow_host_names = true;
    struct peerof_target target = target_of(2, "redis-1.example.com", 6379);
    assert_int_equal(peerof_check(&target, &context, NULL), XP_OK);
    target = target_of(2, "no", 6379);
    assert_int_equal(peerof_check(&target, &context, NULL), XP_INVALID);
    target = target_of(2, "a b", 6379);
    assert_int_equal(peerof_check(&target, &context, NULL), XP_INVALID);
}

static void the_own_gid_must_be_known(void **state)
{
    (void)state;
    struct peerof_context context = context_of("1.0.22");
    struct peerof_target target = target_of(2, "1.1.1.1", 6379);
    static const int unknown[] = { 0, 16, -1 };
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
        context.own_gid = unknown[i];
        struct xp_err err = { 0 };
        assert_int_equal(peerof_check(&target, &context, &err), XP_INVALID);
        assert_non_null(strstr(err.msg, "own gid"));
    }
}

static void versions_gate_the_command(void **state)
{
    (void)state;
    static const struct {
        const char *version;
        int direct;
        int proxied;
    } rows[] = {
        { "", XP_UNSUPPORTED, XP_UNSUPPORTED },
        { "1.0.3", XP_UNSUPPORTED, XP_UNSUPPORTED },
        { "1.0.4", XP_OK, XP_UNSUPPORTED },
        { "1.0.11", XP_OK, XP_UNSUPPORTED },
        { "1.0.12", XP_OK, XP_UNSUPPORTED },
        { "1.0.14", XP_OK, XP_UNSUPPORTED },
        { "1.0.15", XP_OK, XP_OK },
        { "1.0.22", XP_OK, XP_OK },
        { "1.0.22-x", XP_UNSUPPORTED, XP_UNSUPPORTED },
    };
    struct route route = route_of("PROXYTCP://a:80 PROXYTLS://b:443");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peerof_context context = context_of(rows[i].version);
        struct peerof_target target = target_of(2, "1.1.1.1", 6379);
        assert_int_equal(peerof_check(&target, &context, NULL), rows[i].direct);
        target.route = &route;
        assert_int_equal(peerof_check(&target, &context, NULL), rows[i].proxied);
    }
}

static void routes_are_checked_once_more(void **state)
{
    (void)state;
    struct peerof_context context = context_of("1.0.22");
    struct peerof_target target = target_of(2, "1.1.1.1", 6379);
    struct xp_err err = { 0 };
    struct route route = route_of("PROXYTLS://a:443");
    target.route = &route;
    assert_int_equal(peerof_check(&target, &context, &err), XP_INVALID);
    assert_non_null(strstr(err.msg, "route: hop 1, member 1"));
    route = route_of("PROXYTCP://a:80");
    route.hops[0].members[0].addr.host[0] = '\''; /* built by hand */
    assert_int_equal(peerof_check(&target, &context, &err), XP_INVALID);
    route.hop_count = 0;
    assert_int_equal(peerof_check(&target, &context, &err), XP_INVALID);
    route = route_of("PROXYTCP://a:80,PROXYTCP://b:80");
    route.hops[0].members[1] = route.hops[0].members[0];
    assert_int_equal(peerof_check(&target, &context, &err), XP_INVALID);
    assert_non_null(strstr(err.msg, "twice"));
    route = route_of("PROXYTCP://a:80");
    target = target_of(2, "fe80::1", 6379);
    target.route = &route;
    assert_int_equal(peerof_check(&target, &context, &err), XP_INVALID);
    assert_non_null(strstr(err.msg, "IPv6"));
}

static void removals(void **state)
{
    (void)state;
    assert_int_equal(peerof_check_removal(2, 1, NULL), XP_OK);
    static const int bad[] = { 1, 0, 16, 17, -1, 1000000000 };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(peerof_check_removal(bad[i], 1, NULL), XP_INVALID);
    }
    assert_int_equal(peerof_check_removal(2, 0, NULL), XP_INVALID);
}

/* ---- words of somebody else ---- */

static size_t split_words(char *line, const char **words, size_t max)
{
    size_t count = 0;
    char *rest = line;
    while (rest && count < max) {
        words[count++] = strsep(&rest, "~"); /* so that words may hold blanks */
    }
    return count;
}

static int check_line(const char *line, struct xp_err *err)
{
    AUTO_FREE char *copy = xstrdup(line);
    const char *words[24];
    size_t count = split_words(copy, words, ARRAY_LEN(words));
    return peerof_check_words(count, words, 1, err);
}

#define SET     "peerof~2~10.0.0.1~6379"
#define PROXIED SET "~proxy-type~XPIPE-PROXY~proxy-servers~PROXYTCP://a:80"
/* clang-format off */
static const char *const fine_lines[] = {
    SET,
    "PEEROF~15~some-host~1",
    "PeerOf~2~::1~6379",
    "peerof~2~no~one",
    "peerof~2~NO~ONE",
    SET "~backstream~0",
    PROXIED,
    SET "~PROXY-SERVERS~a:80,PROXYTCP://b:80~Proxy-Type~xpipe-proxy",
    PROXIED "~proxy-params~PROXYTLS://b:443 PROXYTLS://c:443",
    PROXIED "~backstream~17~proxy-params~PROXYTLS://b:443",
};
static const struct { const char *line; const char *argument; } bad_lines[] = {
    { "peerof", "command: " },
    { "peerof~2~no", "command: " },
    { "ping~2~no~one", "command: " },
    { "peerof~0~10.0.0.1~6379", "gid: " },
    { "peerof~16~10.0.0.1~6379", "gid: " },
    { "peerof~17~10.0.0.1~6379", "gid: " },
    { "peerof~-1~10.0.0.1~6379", "gid: " },
    { "peerof~100~10.0.0.1~6379", "gid: " },
    { "peerof~1000000000~10.0.0.1~6379", "gid: " },
    { "peerof~4294967298~10.0.0.1~6379", "gid: " },
    { "peerof~18446744073709551618~10.0.0.1~6379", "gid: " },
    { "peerof~two~10.0.0.1~6379", "gid: " },
    { "peerof~2.0~10.0.0.1~6379", "gid: " },
    { "peerof~ 2~10.0.0.1~6379", "gid: " },
    { "peerof~~10.0.0.1~6379", "gid: " },
    { "peerof~1~10.0.0.1~6379", "gid: " },
    { "peerof~16~no~one", "gid: " },
    { "peerof~0~no~one", "gid: " },
    { "peerof~1~no~one", "gid: " },
    { "peerof~2~no~one~more", "word 5: " },
    { "peerof~2~no~6379", "host: " },
    { "peerof~2~~6379", "host: " },
    { "peerof~2~a b~6379", "host: " },
    { "peerof~2~a'b~6379", "host: " },
    { "peerof~2~10.0.0.1~x", "port: " },
    { "peerof~2~10.0.0.1~0", "port: " },
    { "peerof~2~10.0.0.1~-5", "port: " },
    { "peerof~2~10.0.0.1~70000", "port: " },
    { SET "~proxy-type", "proxy-type: " },
    { SET "~proxy-type~XPIPE-PROXY~proxy-servers", "proxy-servers: " },
    { PROXIED "~proxy-params", "proxy-params: " },
    { SET "~backstream", "backstream: " },
    { SET "~backstream~x", "backstream: " },
    { SET "~backstream~-1", "backstream: " },
    { SET "~proxy-type~OTHER", "proxy-type: " },
    { SET "~proxy-type~XPIPE-PROXY", "proxy-servers: " },
    { SET "~proxy-servers~a:80", "proxy-type: " },
    { SET "~proxy-params~PROXYTLS://b:443", "proxy-type: " },
    { SET "~nonsense", "word 5: " },
    { PROXIED "~proxy-server~a:80", "word 9: " },
    { PROXIED "~proxy-servers~b:80", "proxy-servers: it is given twice" },
    { SET "~proxy-type~XPIPE-PROXY~proxy-servers~PROXYTLS://a:443", "proxy-servers and proxy-params: hop 1, member 1" },
    { SET "~proxy-type~XPIPE-PROXY~proxy-servers~TCP://a:80", "proxy-servers and proxy-params: hop 1, member 1" },
    { SET "~proxy-type~XPIPE-PROXY~proxy-servers~proxytcp://a:80", "proxy-servers and proxy-params: hop 1, member 1" },
    { SET "~proxy-type~XPIPE-PROXY~proxy-servers~PROXYTCP:1.2.3.4:80", "proxy-servers and proxy-params: hop 1, member 1" },
    { SET "~proxy-type~XPIPE-PROXY~proxy-servers~a", "proxy-servers and proxy-params: hop 1, member 1" },
    { SET "~proxy-type~XPIPE-PROXY~proxy-servers~a:x", "proxy-servers and proxy-params: hop 1, member 1" },
    { SET "~proxy-type~XPIPE-PROXY~proxy-servers~", "proxy-servers and proxy-params: hop 1" },
    { SET "~proxy-type~XPIPE-PROXY~proxy-servers~a:80,", "proxy-servers and proxy-params: hop 1, member 2" },
    { SET "~proxy-type~XPIPE-PROXY~proxy-servers~,a:80", "proxy-servers and proxy-params: hop 1, member 1" },
    { SET "~proxy-type~XPIPE-PROXY~proxy-servers~[::1]:80", "proxy-servers and proxy-params: hop 1, member 1" },
    { PROXIED "~proxy-params~'PROXYTLS://b:443'", "proxy-params: " },
    { PROXIED "~proxy-params~\"PROXYTLS://b:443\"", "proxy-params: " },
    { PROXIED "~proxy-params~PROXYTLS://b:443|PROXYTLS://c:443", "proxy-params: " },
    { PROXIED "~proxy-params~PROXYTLS://b\\c:443", "proxy-params: " },
    { PROXIED "~proxy-params~PROXYTLS://b:443\r\n", "proxy-params: " },
    { PROXIED "~proxy-params~", "proxy-params: " },
    { PROXIED "~proxy-params~PROXYTLS://b:443  PROXYTLS://c:443", "proxy-servers and proxy-params: hop 3" },
};
/* clang-format on */

static void relayed_commands(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fine_lines); i++) {
        assert_int_equal(check_line(fine_lines[i], NULL), XP_OK);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad_lines); i++) {
        struct xp_err err = { 0 };
        assert_int_equal(check_line(bad_lines[i].line, &err), XP_INVALID);
        if (strncmp(err.msg, bad_lines[i].argument, strlen(bad_lines[i].argument)) != 0) {
            fail_msg("%s: \"%s\"", bad_lines[i].line, err.msg);
        }
    }
}

/* ---- words of our own ---- */

static void words_of_route_texts(void **state)
{
    (void)state;
    static const struct {
        const char *route; /* NULL: direct */
        const char *text;
        size_t count;
    } rows[] = {
        { NULL, "PEEROF 2 10.1.1.1 6379", 4 },
        { "PROXYTCP://a:80",
          "PEEROF 2 10.1.1.1 6379 proxy-type XPIPE-PROXY proxy-servers PROXYTCP://a:80", 8 },
        { "PROXYTCP://a:80,PROXYTCP://b:80 PROXYTLS://c:443",
          "PEEROF 2 10.1.1.1 6379 proxy-type XPIPE-PROXY proxy-servers "
          "PROXYTCP://a:80,PROXYTCP://b:80 proxy-params \"PROXYTLS://c:443\"",
          10 },
        { "a:80 PROXYTLS://c:443 PROXYTLS://d:443",
          "PEEROF 2 10.1.1.1 6379 proxy-type XPIPE-PROXY proxy-servers PROXYTCP://a:80 "
          "proxy-params \"PROXYTLS://c:443 PROXYTLS://d:443\"",
          10 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct route route = route_of(rows[i].route ? rows[i].route : "unused:1");
        struct peerof_target target = target_of(2, "10.1.1.1", 6379);
        target.route = rows[i].route ? &route : NULL;
        struct peerof_words words;
        peerof_build(&target, &words);
        assert_int_equal(words.count, rows[i].count);
        AUTO_FREE char *text = peerof_words_text(&words);
        assert_string_equal(text, rows[i].text);
        assert_int_equal(peerof_check_words(words.count, (const char *const *)words.word, 1, NULL),
                         XP_OK);
        if (words.count == 10) {
            assert_null(strchr(words.word[9], '"')); /* quotes are for people only */
        }
        peerof_words_done(&words);
        assert_int_equal(words.count, 0);
    }
}

static void words_of_a_removal(void **state)
{
    (void)state;
    struct peerof_words words;
    peerof_build_removal(15, &words);
    AUTO_FREE char *text = peerof_words_text(&words);
    assert_string_equal(text, "PEEROF 15 no one");
    peerof_words_done(&words);
}

/* ---- replies ---- */

static void replies(void **state)
{
    (void)state;
    static const struct {
        enum rreply_type type;
        const char *text;
        enum peerof_reply expected;
    } rows[] = {
        { RREPLY_STATUS, "OK", PEEROF_OK },
        { RREPLY_STATUS, "OK Already connected to specified master", PEEROF_OK_ALREADY },
        { RREPLY_STATUS, "OK Clean lazy_time", PEEROF_OK_LAZY },
        { RREPLY_STATUS, "OK something new", PEEROF_OK },
        { RREPLY_STATUS, "OKAY", PEEROF_REFUSED },
        { RREPLY_STATUS, "QUEUED", PEEROF_REFUSED },
        { RREPLY_STATUS, "", PEEROF_REFUSED },
        { RREPLY_BULK, "OK", PEEROF_REFUSED },
        { RREPLY_ERROR, "OK", PEEROF_REFUSED },
        { RREPLY_ERROR, "ERR wrong number of arguments for 'peerof' command", PEEROF_REFUSED },
        { RREPLY_ERROR, "ERR value is not an integer or out of range", PEEROF_REFUSED },
        { RREPLY_ERROR, "ERR invalid gid", PEEROF_REFUSED },
        { RREPLY_ERROR, "ERR proxy unknow type", PEEROF_REFUSED },
        { RREPLY_ERROR, "ERR proxy params error", PEEROF_REFUSED },
        { RREPLY_ERROR, "ERR Rewriting config file: Permission denied", PEEROF_REFUSED },
        { RREPLY_ERROR, "ERR PEEROF not allowed in cluster mode.", PEEROF_REFUSED },
        { RREPLY_ERROR, "NOAUTH Authentication required.", PEEROF_REFUSED },
        { RREPLY_ERROR, "ERR unknown command 'peerof'", PEEROF_REFUSED },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rreply *reply = rreply_new_text(rows[i].type, rows[i].text, strlen(rows[i].text));
        assert_int_equal(peerof_reply_of(reply), rows[i].expected);
        rreply_free(reply);
    }
    assert_int_equal(peerof_reply_of(NULL), PEEROF_REFUSED);
}

/* ---- comparison ---- */

struct compared {
    const char *proxy_lines; /* of the actual peer at 10.1.1.1:6379 */
    const char *route;       /* wanted; NULL: direct */
    bool equal;
    bool keeps;
};

#define LINES(servers, rest)                                                                       \
    "peer0_proxy_type:XPIPE-PROXY\npeer0_proxy_servers:" servers "\n" rest "\n"
#define USING(server)  "peer0_proxy_server:" server
#define PARAMS(params) "\npeer0_proxy_params:" params

static void compare_one(const struct compared *row, bool is_up)
{
    AUTO_FREE char *text = xasprintf("gid:1\npeer0_gid:2\npeer0_host:10.1.1.1\npeer0_port:6379\n"
                                     "peer0_link_status:%s\n%s",
                                     is_up ? "up" : "down", row->proxy_lines);
    struct crdt_info info;
    assert_int_equal(crdt_info_parse(text, strlen(text), &info, NULL), XP_OK);
    struct route route = route_of(row->route ? row->route : "unused:1");
    struct peerof_target wanted = target_of(2, "10.1.1.1", 6379);
    wanted.route = row->route ? &route : NULL;
    assert_int_equal(peerof_is_equal(&info.peers[0], &wanted), row->equal);
    assert_int_equal(peerof_keeps_link(&info.peers[0], &wanted), is_up && row->keeps);
    wanted.addr.port = 6380;
    assert_false(peerof_is_equal(&info.peers[0], &wanted));
    assert_false(peerof_keeps_link(&info.peers[0], &wanted));
    wanted.addr.port = 6379;
    wanted.gid = 3;
    assert_false(peerof_is_equal(&info.peers[0], &wanted));
    assert_false(peerof_keeps_link(&info.peers[0], &wanted));
}

/* clang-format off */
static const struct compared compared_rows[] = {
    { "", NULL, true, false },
    { "", "a:80", false, false },
    { LINES("a:80", USING("a:80")), NULL, false, false },
    { LINES("PROXYTCP://a:80", USING("PROXYTCP://a:80")), "a:80", true, true },
    { LINES("a:80,PROXYTCP://b:80", USING("b:80")), "b:80,a:80", true, true },
    { LINES("a:80,b:80", USING("b:80")), "b:80", false, true },
    { LINES("a:80,b:80", USING("b:80")), "a:80", false, false },
    { LINES("a:80", ""), "a:80", true, false },
    { LINES("a:80", USING("a:80") PARAMS("PROXYTLS://c:443")), "a:80", false, false },
    { LINES("a:80", USING("a:80")), "a:80 PROXYTLS://c:443", false, false },
    { LINES("a:80", USING("a:80") PARAMS("PROXYTLS://c:443")), "a:80 PROXYTLS://c:443", true, true },
    { LINES("a:80", USING("a:80") PARAMS("PROXYTLS://c:443")), "a:80,b:80 PROXYTLS://c:443", false, true },
    { LINES("a:80", USING("a:80") PARAMS("PROXYTLS://c:1,PROXYTLS://d:1")), "a:80 PROXYTLS://d:1,PROXYTLS://c:1", true, false },
    { LINES("a:80", USING("a:80") PARAMS("\"PROXYTLS://c:443\"")), "a:80 PROXYTLS://c:443", false, false },
    { LINES("a:80", USING("a:80") PARAMS("")), "a:80", false, false },
    { "peer0_proxy_type:OTHER\npeer0_proxy_servers:a:80\n", "a:80", false, false },
    { "peer0_proxy_type:OTHER\n", NULL, false, false },
};
/* clang-format on */

static void comparison(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(compared_rows); i++) {
        compare_one(&compared_rows[i], true);
        compare_one(&compared_rows[i], false);
    }
}

static void spoiled_peers_equal_nothing(void **state)
{
    (void)state;
    static const char text[] = "gid:1\npeer0_gid:2\npeer0_host:a\npeer0_port:1\n";
    struct crdt_info info;
    assert_int_equal(crdt_info_parse(text, sizeof(text) - 1, &info, NULL), XP_OK);
    struct peerof_target wanted = target_of(2, "a", 1);
    assert_false(peerof_is_equal(&info.peers[0], &wanted));
    assert_false(peerof_keeps_link(&info.peers[0], &wanted));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_targets_pass),
        cmocka_unit_test(bad_targets_name_the_argument),
        cmocka_unit_test(names_need_a_switch),
        cmocka_unit_test(the_own_gid_must_be_known),
        cmocka_unit_test(versions_gate_the_command),
        cmocka_unit_test(routes_are_checked_once_more),
        cmocka_unit_test(removals),
        cmocka_unit_test(relayed_commands),
        cmocka_unit_test(words_of_route_texts),
        cmocka_unit_test(words_of_a_removal),
        cmocka_unit_test(replies),
        cmocka_unit_test(comparison),
        cmocka_unit_test(spoiled_peers_equal_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
