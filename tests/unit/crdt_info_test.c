/* crdt_info_test.c - crdt_info.h: every recorded reply, and replies no Redis would send. */
#include "tests/unit/unit.h"
#include "tests/unit/crdt_samples.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/crdt/crdt_info.h"

#include "shared/base/banned.h"

static struct crdt_info parsed(const char *text)
{
    struct crdt_info info;
    struct xp_err err = { 0 };
    assert_int_equal(crdt_info_parse(text, strlen(text), &info, &err), XP_OK);
    return info;
}

/* A sound reply around peer lines. */
#define WITH_PEERS(lines) "gid:1\r\n" lines "connected_slaves:0\r\n"
#define PEER(index, gid, extra)                                                                    \
    "peer" index "_host:10.0.0.1\r\npeer" index "_port:6379\r\npeer" index "_gid:" gid             \
    "\r\npeer" index "_link_status:up\r\n" extra

static void assert_route(const struct crdt_peer *peer, const char *text)
{
    struct route route;
    struct xp_err err = { 0 };
    assert_int_equal(crdt_peer_route(peer, &route, &err), XP_OK);
    AUTO_FREE char *actual = route_text(&route);
    assert_string_equal(actual, text);
}

/* One row a peer of a sample. */
struct expected_peer {
    int gid;
    const char *addr;
    bool is_up;
    bool is_syncing;
    bool never_up;
    bool owes;
    int64_t last_io_s;
    int64_t offset;
    int64_t down_since_s;
    const char *route;  /* NULL: direct */
    const char *in_use; /* with a route */
};

static void assert_peer(const struct crdt_peer *peer, const struct expected_peer *row)
{
    assert_string_equal(peer->problem, "");
    assert_int_equal(peer->gid, row->gid);
    assert_string_equal(ADDR_TEXT(&peer->addr), row->addr);
    assert_int_equal(peer->is_up, row->is_up);
    assert_int_equal(peer->is_syncing, row->is_syncing);
    assert_int_equal(peer->never_up, row->never_up);
    assert_int_equal(peer->owes_backstream, row->owes);
    assert_int_equal(peer->last_io_s, row->last_io_s);
    assert_int_equal(peer->repl_offset, row->offset);
    assert_int_equal(peer->down_since_s, row->down_since_s);
    assert_int_equal(peer->proxy, row->route ? CRDT_PROXIED : CRDT_DIRECT);
    if (row->route) {
        assert_route(peer, row->route);
        struct addr in_use = crdt_peer_proxy_in_use(peer);
        assert_string_equal(ADDR_TEXT(&in_use), row->in_use);
    }
}

#define PROXY_1 "PROXYTCP://127.0.0.1:17061,PROXYTCP://127.0.0.1:17062"
/* clang-format off */
static const struct {
    const char *text;
    bool backstreaming;
    uint64_t own_clock;
    int64_t connected_slaves;
    int64_t offset;
    size_t count;
    struct expected_peer peers[4];
} samples[] = {
    { sample_s1, false, 0, 0, 0, 0, { { 0 } } },
    { sample_s2, false, 0, 0, 0, 1, { { 2, "127.0.0.1:17002", .never_up = true, .last_io_s = -1, .down_since_s = -1 } } },
    { sample_s3, false, 1, 1, 119, 1, { { 2, "127.0.0.1:17003", .is_up = true, .last_io_s = 1, .offset = 119, .down_since_s = -1 } } },
    { sample_s4, false, 1, 0, 119, 1, { { 2, "127.0.0.1:17003", .never_up = true, .last_io_s = 3, .offset = 119, .down_since_s = -1 } } },
    { sample_s5, false, 1, 1, 163, 4, {
        { 2, "127.0.0.1:17032", .is_up = true, .last_io_s = 1, .offset = 153, .down_since_s = -1 },
        { 3, "127.0.0.1:17099", .never_up = true, .last_io_s = -1, .down_since_s = -1 },
        { 4, "127.0.0.1:17034", .last_io_s = -1, .down_since_s = 5 },
        { 15, "127.0.0.1:17035", .is_up = true, .last_io_s = 1, .offset = 36, .down_since_s = -1,
          .route = PROXY_1 " PROXYTLS://10.1.0.1:443,PROXYTLS://10.1.0.2:443", .in_use = "127.0.0.1:17061" } } },
    { sample_s6, false, 0, 0, 0, 1, { { 2, "127.0.0.1:17002", .never_up = true, .last_io_s = -1, .down_since_s = -1,
        .route = "PROXYTCP://127.0.0.1:17050", .in_use = "127.0.0.1:17050" } } },
    { sample_s7, false, 0, 0, 0, 1, { { 2, "127.0.0.1:17002", .never_up = true, .last_io_s = -1, .down_since_s = -1,
        .route = "PROXYTCP://127.0.0.1:17050,PROXYTCP://127.0.0.1:17051 "
                 "PROXYTLS://10.0.0.1:443,PROXYTLS://10.0.0.2:443 PROXYTLS://10.0.0.3:443", .in_use = "127.0.0.1:17050" } } },
    { sample_s8, false, 0, 0, 0, 1, { { 2, "127.0.0.1:17002", .is_syncing = true, .never_up = true, .last_io_s = 0, .down_since_s = -1,
        .route = "PROXYTCP://127.0.0.1:17060", .in_use = "127.0.0.1:17060" } } },
    { sample_s9, true, 0, 0, 0, 1, { { 2, "127.0.0.1:17003", .never_up = true, .owes = true, .last_io_s = -1, .down_since_s = -1 } } },
    { sample_s9b, true, 7948801, 0, -1, 2, {
        { 2, "127.0.0.1:17002", .is_up = true, .last_io_s = 2, .down_since_s = -1 },
        { 3, "127.0.0.1:17003", .never_up = true, .owes = true, .last_io_s = -1, .down_since_s = -1 } } },
    { sample_s10, false, 2160021, 1, 119, 1, { { 2, "127.0.0.1:17003", .is_up = true, .last_io_s = 1, .offset = 119, .down_since_s = -1 } } },
};
/* clang-format on */

static void samples_are_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        struct crdt_info info = parsed(samples[i].text);
        assert_int_equal(info.own_gid, 1);
        assert_int_equal(info.backstreaming, samples[i].backstreaming);
        assert_int_equal(info.own_clock, samples[i].own_clock);
        assert_int_equal(info.connected_slaves, samples[i].connected_slaves);
        assert_int_equal(info.master_repl_offset, samples[i].offset);
        assert_int_equal(info.peers_dropped, 0);
        assert_false(info.has_duplicate_gid);
        assert_int_equal(info.peer_count, samples[i].count);
        for (size_t p = 0; p < info.peer_count; p++) {
            assert_peer(&info.peers[p], &samples[i].peers[p]);
            assert_ptr_equal(crdt_info_peer(&info, info.peers[p].gid), &info.peers[p]);
        }
        assert_null(crdt_info_peer(&info, 9));
    }
}

static void kept_infos_are_small_and_equal(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        AUTO_FREE char *text = xstrdup(samples[i].text);
        struct crdt_info info = parsed(text);
        struct crdt_kept *kept = crdt_info_keep(&info);
        memset(text, 'x', strlen(text)); /* the reply is gone */
        struct crdt_info view;
        crdt_kept_view(kept, &view);
        assert_true(crdt_kept_bytes(kept) <= 1024);
        assert_int_equal(view.own_gid, 1);
        assert_int_equal(view.own_clock, samples[i].own_clock);
        assert_int_equal(view.peer_count, samples[i].count);
        for (size_t p = 0; p < view.peer_count; p++) {
            assert_peer(&view.peers[p], &samples[i].peers[p]);
        }
        crdt_kept_free(kept);
    }
    crdt_kept_free(NULL);
}

static void empty_params_stay_present_when_kept(void **state)
{
    (void)state;
    struct crdt_info info = parsed(WITH_PEERS(PEER("0", "2", "peer0_proxy_params:\r\n")));
    assert_non_null(info.peers[0].proxy_params.bytes);
    struct crdt_kept *kept = crdt_info_keep(&info);
    struct crdt_info view;
    crdt_kept_view(kept, &view);
    assert_non_null(view.peers[0].proxy_params.bytes);
    assert_int_equal(view.peers[0].proxy_params.length, 0);
    assert_null(view.peers[0].proxy_servers.bytes);
    crdt_kept_free(kept);
}

/* Copies 'text' without the characters of 'drop'. */
static char *without(const char *text, char drop)
{
    char *copy = xstrdup(text);
    char *to = copy;
    for (const char *p = text; *p; p++) {
        if (*p != drop) {
            *to++ = *p;
        }
    }
    *to = '\0';
    return copy;
}

static void line_ends_may_be_lf_and_the_last_one_missing(void **state)
{
    (void)state;
    AUTO_FREE char *text = without(sample_s5, '\r');
    struct crdt_info info = parsed(text);
    assert_int_equal(info.peer_count, 4);
    assert_peer(&info.peers[3], &samples[4].peers[3]);
    info = parsed("gid:1\nmaster_repl_offset:77");
    assert_int_equal(info.master_repl_offset, 77);
    info = parsed("master_repl_offset:77\ngid:1");
    assert_int_equal(info.own_gid, 1);
}

static void blanks_around_key_and_value_are_cut(void **state)
{
    (void)state;
    struct crdt_info info = parsed(" gid : 3 \r\n\tpeer0_host :  10.0.0.1\r\n peer0_port: 6379 \r\n"
                                   "peer0_gid : 2 \r\npeer0_link_status :\tup\r\n");
    assert_int_equal(info.own_gid, 3);
    assert_string_equal(info.peers[0].problem, "");
    assert_string_equal(ADDR_TEXT(&info.peers[0].addr), "10.0.0.1:6379");
}

static void only_length_bytes_are_read(void **state)
{
    (void)state;
    struct crdt_info info;
    assert_int_equal(crdt_info_parse("gid:15", 5, &info, NULL), XP_OK);
    assert_int_equal(info.own_gid, 1);
}

static void index_gaps_and_any_order_are_fine(void **state)
{
    (void)state;
    struct crdt_info info = parsed(PEER("7", "5", "") PEER("0", "2", "") "gid:1\r\n");
    assert_int_equal(info.peer_count, 2);
    assert_non_null(crdt_info_peer(&info, 5));
    assert_non_null(crdt_info_peer(&info, 2));
    info = parsed("peer0_gid:2\npeer1_gid:3\npeer0_host:a\npeer1_host:b\npeer0_port:1\n"
                  "peer1_port:2\npeer1_link_status:up\npeer0_link_status:down\ngid:1\n");
    assert_int_equal(info.peer_count, 2);
    assert_string_equal(crdt_info_peer(&info, 2)->addr.host, "a");
    assert_string_equal(crdt_info_peer(&info, 3)->addr.host, "b");
    assert_string_equal(info.peers[0].problem, "");
}

static void the_last_of_repeated_keys_counts(void **state)
{
    (void)state;
    struct crdt_info info = parsed("gid:1\ngid:4\n" PEER("0", "2", "peer0_port:7000\r\n"));
    assert_int_equal(info.own_gid, 4);
    assert_int_equal(info.peers[0].addr.port, 7000);
}

/* Peer lines, and the problem they make in the first of two peers; the second one stays sound. */
/* clang-format off */
static const struct { const char *lines; const char *problem; } spoiled[] = {
    { "peer0_host:h\r\npeer0_port:1\r\npeer0_link_status:up\r\n", "the gid is missing" },
    { "peer0_gid:2\r\npeer0_port:1\r\npeer0_link_status:up\r\n", "the host is missing" },
    { "peer0_gid:2\r\npeer0_host:\r\npeer0_port:1\r\npeer0_link_status:up\r\n", "the host is missing" },
    { "peer0_gid:2\r\npeer0_host:h\r\npeer0_link_status:up\r\n", "the port is missing" },
    { "peer0_gid:2\r\npeer0_host:h\r\npeer0_port:1\r\n", "the link status is missing" },
    { PEER("0", "2", "peer0_port:abc\r\n"), "the port is not a number" },
    { PEER("0", "2", "peer0_port:\r\n"), "the port is not a number" },
    { PEER("0", "2", "peer0_port:99999999999\r\n"), "the port is not a number" },
    { PEER("0", "16", ""), "the gid is not a number in 1..15" },
    { PEER("0", "-1", ""), "the gid is not a number in 1..15" },
    { PEER("0", "0", ""), "the gid is not a number in 1..15" },
    { PEER("0", "two", ""), "the gid is not a number in 1..15" },
    { PEER("0", "4294967298", ""), "the gid is not a number in 1..15" },
    { PEER("0", "2", "peer0_link_status:sideways\r\n"), "the link status is neither 'up' nor 'down'" },
    { PEER("0", "2", "peer0_host:a b\r\n"), "the host contains a blank or a control character" },
    { PEER("0", "2", "peer0_host:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"), "the host is longer than 63 bytes" },
    { PEER("0", "1", ""), "the gid is the Redis' own" },
};
/* clang-format on */

static void a_bad_field_spoils_its_peer_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(spoiled); i++) {
        AUTO_FREE char *text =
            xasprintf("gid:1\r\n%s%s", spoiled[i].lines, PEER("1", "9", "peer1_repl_offset:5\r\n"));
        struct crdt_info info = parsed(text);
        assert_int_equal(info.peer_count, 2);
        assert_string_equal(info.peers[0].problem, spoiled[i].problem);
        assert_string_equal(info.peers[1].problem, "");
        assert_int_equal(info.peers[1].repl_offset, 5);
    }
}

static void fields_that_nobody_decides_on_may_be_missing_or_odd(void **state)
{
    (void)state;
    struct crdt_info info = parsed(
        WITH_PEERS(PEER("0", "2", "peer0_repl_offset:x\r\npeer0_link_down_since_seconds:-9\r\n")));
    assert_string_equal(info.peers[0].problem, "");
    assert_true(info.peers[0].repl_offset == INT64_MIN);
    assert_true(info.peers[0].last_io_s == INT64_MIN);
    assert_int_equal(info.peers[0].down_since_s, -1);
    assert_false(info.peers[0].never_up);
}

static void ports_that_redis_accepts_are_shown(void **state)
{
    (void)state;
    static const int ports[] = { 0, -5, 70000 };
    for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
        AUTO_FREE char *text = xasprintf("gid:1\n" PEER("0", "2", "peer0_port:%d\r\n"), ports[i]);
        struct crdt_info info = parsed(text);
        assert_string_equal(info.peers[0].problem, "");
        assert_int_equal(info.peers[0].addr.port, ports[i]);
    }
}

static void one_gid_twice_flags_both(void **state)
{
    (void)state;
    struct crdt_info info =
        parsed(WITH_PEERS(PEER("0", "2", "") PEER("1", "3", "") PEER("2", "2", "")));
    assert_true(info.has_duplicate_gid);
    assert_string_equal(info.peers[0].problem, "the gid appears more than once");
    assert_string_equal(info.peers[1].problem, "");
    assert_string_equal(info.peers[2].problem, "the gid appears more than once");
}

static void peers_without_gid_are_no_duplicates(void **state)
{
    (void)state;
    struct crdt_info info = parsed(WITH_PEERS("peer0_host:a\r\npeer1_host:b\r\n"));
    assert_int_equal(info.peer_count, 2);
    assert_false(info.has_duplicate_gid);
}

static void too_many_peers_are_counted(void **state)
{
    (void)state;
    struct str text = STR_INIT(65536);
    str_puts(&text, "gid:1\r\n");
    for (int i = 0; i < 40; i++) {
        str_printf(&text, "peer%d_host:h\r\npeer%d_port:1\r\npeer%d_gid:2\r\n", i, i, i);
    }
    struct crdt_info info = parsed(str_text(&text));
    assert_int_equal(info.peer_count, CRDT_PEERS_MAX);
    assert_int_equal(info.peers_dropped, 40 - CRDT_PEERS_MAX);
    str_done(&text);
}

static void keys_that_only_look_like_peers_are_ignored(void **state)
{
    (void)state;
    struct crdt_info info = parsed("gid:1\npeers_mode:1\npeer_host:a\npeer0host:a\npeer0_:1\n"
                                   "peer0:1\npeer99999999999_host:h\npeer0_new_thing:1\n"
                                   "#peer0_host:x\nno colon here\n:\n: 1\n");
    assert_int_equal(info.peer_count, 0);
}

static void proxy_kinds(void **state)
{
    (void)state;
    struct route route;
    struct crdt_info info = parsed(WITH_PEERS(PEER("0", "2", "peer0_proxy_type:OTHER\r\n")));
    assert_int_equal(info.peers[0].proxy, CRDT_PROXY_UNKNOWN);
    assert_int_equal(crdt_peer_route(&info.peers[0], &route, NULL), XP_INVALID);
    info = parsed(WITH_PEERS(PEER("0", "2",
                                  "peer0_proxy_type:xpipe-proxy\r\n"
                                  "peer0_proxy_servers:10.0.0.1:80\r\n")));
    assert_route(&info.peers[0], "PROXYTCP://10.0.0.1:80");
    struct addr in_use = crdt_peer_proxy_in_use(&info.peers[0]);
    assert_true(addr_is_none(&in_use));
    info = parsed(WITH_PEERS(PEER("0", "2", "peer0_proxy_servers:10.0.0.1:80\r\n")));
    assert_int_equal(info.peers[0].proxy, CRDT_DIRECT); /* Redis ignores them without the type */
}

static void odd_route_texts_are_no_route(void **state)
{
    (void)state;
#define PROXIED(servers, params)                                                                   \
    WITH_PEERS(PEER("0", "2",                                                                      \
                    "peer0_proxy_type:XPIPE-PROXY\r\npeer0_proxy_servers:" servers                 \
                    "\r\npeer0_proxy_params:" params "\r\n"))
    static const char *const odd[] = {
        PROXIED("PROXYTCP://a:80", ""),
        PROXIED("PROXYTCP://a:80", "\"PROXYTLS://b:443\""),
        PROXIED("PROXYTCP://a:80", "PROXYTLS://b:443  PROXYTLS://c:443"),
        PROXIED("PROXYTCP://a:80", "PROXYTLS://b:1 PROXYTLS://c:1 PROXYTLS://d:1"),
        PROXIED("", "PROXYTLS://b:443"),
        PROXIED("PROXYTCP://a:80,PROXYTCP://a:80", "PROXYTLS://b:443"),
    };
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        struct crdt_info info = parsed(odd[i]);
        struct route route;
        struct xp_err err = { 0 };
        assert_string_equal(info.peers[0].problem, "");
        assert_int_equal(crdt_peer_route(&info.peers[0], &route, &err), XP_INVALID);
        assert_non_null(strstr(err.msg, "peer of gid 2: hop "));
    }
}

static void ipv6_hosts_are_split_at_the_first_colon(void **state)
{
    (void)state;
    struct crdt_info info = parsed(WITH_PEERS(PEER("0", "2", "peer0_host:fe80::1\r\n")));
    assert_string_equal(info.peers[0].addr.host, "fe80::1");
}

static void clocks(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t own;
    } rows[] = {
        { "ovc:2:1;1:18446744073709551615\ngid:1\n", UINT64_MAX },
        { "gid:1\novc:1:5\n", 5 },
        { "ovc:11:5;1:6\ngid:1\n", 6 },
        { "ovc:2:5\ngid:1\n", 0 },
        { "ovc:1:18446744073709551616\ngid:1\n", 0 },
        { "ovc:1:x;1:2\ngid:1\n", 2 },
        { "ovc:;;1;1:\ngid:1\n", 0 },
        { "ovc:\ngid:1\n", 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_true(parsed(rows[i].text).own_clock == rows[i].own);
    }
}

static void texts_that_are_no_reply(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       "\r\n",
                                       "LOADING Redis is loading the dataset in memory",
                                       "NOAUTH Authentication required.",
                                       "ERR unknown command 'crdt.info'",
                                       "# Server\r\nredis_version:4.0.8\r\n",
                                       "peer0_gid:2\r\n" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct crdt_info info = { .own_gid = 77 };
        struct xp_err err = { 0 };
        assert_int_equal(crdt_info_parse(bad[i], strlen(bad[i]), &info, &err), XP_IO);
        assert_non_null(strstr(err.msg, "gid"));
        assert_int_equal(info.own_gid, 77); /* untouched */
    }
    struct crdt_info info;
    assert_int_equal(crdt_info_parse(NULL, 0, &info, NULL), XP_IO);
}

static void an_odd_own_gid_is_zero(void **state)
{
    (void)state;
    assert_int_equal(parsed("gid:x\n").own_gid, 0);
    assert_int_equal(parsed("gid:16\n").own_gid, 0);
    assert_int_equal(parsed("gid:-1\n").own_gid, 0);
}

static void server_infos(void **state)
{
    (void)state;
    struct redis_server_info info;
    redis_server_info_parse(sample_s11, strlen(sample_s11), &info);
    assert_true(info.version.present);
    assert_false(info.version.odd);
    assert_string_equal(info.version.text, "1.0.22");
    assert_int_equal(info.version.part[2], 22);
    assert_string_equal(info.redis_version, "4.0.8");
    assert_int_equal(info.uptime_s, -1);
    assert_string_equal(info.run_id, "");
    static const char more[] = "run_id:24b66a6521099ec6774d2c869598772aefc63b98\n"
                               "uptime_in_seconds:12\nredis_version:7.0.15";
    redis_server_info_parse(more, strlen(more), &info);
    assert_false(info.version.present);
    assert_string_equal(info.run_id, "24b66a6521099ec6774d2c869598772aefc63b98");
    assert_int_equal(info.uptime_s, 12);
    redis_server_info_parse(NULL, 0, &info);
    assert_int_equal(info.uptime_s, -1);
}

static void versions(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool odd, peerof, proxy, twice;
    } rows[] = {
        { "1.0.3", false, false, false, false },
        { "1.0.4", false, true, false, false },
        { "1.0.12", false, true, false, false },
        { "1.0.13", false, true, false, true },
        { "1.0.14", false, true, false, true },
        { "1.0.15", false, true, true, false },
        { "1.0.22", false, true, true, false },
        { "1.1.0", false, true, true, false },
        { "2.0.0", false, true, true, false },
        { "0.9.99", false, false, false, false },
        { "1.0.22-beta", true, false, false, false },
        { "1.0", true, false, false, false },
        { "1.0.22.1", true, false, false, false },
        { "x", true, false, false, false },
        { "1..22", true, false, false, false },
        { "1.0.2222222222222222222222222", true, false, false, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *text = xasprintf("xredis_crdt_version:%s\r\n", rows[i].text);
        struct redis_server_info info;
        redis_server_info_parse(text, strlen(text), &info);
        assert_true(info.version.present);
        assert_int_equal(info.version.odd, rows[i].odd);
        assert_int_equal(crdt_version_has_peerof(&info.version), rows[i].peerof);
        assert_int_equal(crdt_version_has_proxy(&info.version), rows[i].proxy);
        assert_int_equal(crdt_version_may_answer_twice(&info.version), rows[i].twice);
    }
    struct redis_server_info info;
    redis_server_info_parse("xredis_crdt_version:\n", 21, &info);
    assert_false(info.version.present);
    assert_true(crdt_version_cmp(&info.version, 0, 0, 0) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_understood),
        cmocka_unit_test(kept_infos_are_small_and_equal),
        cmocka_unit_test(empty_params_stay_present_when_kept),
        cmocka_unit_test(line_ends_may_be_lf_and_the_last_one_missing),
        cmocka_unit_test(blanks_around_key_and_value_are_cut),
        cmocka_unit_test(only_length_bytes_are_read),
        cmocka_unit_test(index_gaps_and_any_order_are_fine),
        cmocka_unit_test(the_last_of_repeated_keys_counts),
        cmocka_unit_test(a_bad_field_spoils_its_peer_only),
        cmocka_unit_test(fields_that_nobody_decides_on_may_be_missing_or_odd),
        cmocka_unit_test(ports_that_redis_accepts_are_shown),
        cmocka_unit_test(one_gid_twice_flags_both),
        cmocka_unit_test(peers_without_gid_are_no_duplicates),
        cmocka_unit_test(too_many_peers_are_counted),
        cmocka_unit_test(keys_that_only_look_like_peers_are_ignored),
        cmocka_unit_test(proxy_kinds),
        cmocka_unit_test(odd_route_texts_are_no_route),
        cmocka_unit_test(ipv6_hosts_are_split_at_the_first_colon),
        cmocka_unit_test(clocks),
        cmocka_unit_test(texts_that_are_no_reply),
        cmocka_unit_test(an_odd_own_gid_is_zero),
        cmocka_unit_test(server_infos),
        cmocka_unit_test(versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
