/* peer_decide_golden.c - the peer decision over recorded situations.
 *
 * Input: {"own":{"gid","addr","version","uptime_s","backstreaming"}, "peers":[{"gid","addr","up","syncing","in_use",
 * "servers","params","type","raw":[lines]}], "wanted":[{"dc","gid","addr","known","route","unusable","fallback"}],
 * "meta_fresh", "may_remove", "now_ms", "removal":[{"gid","verdicts","last_ms"}], "kicked":[gids]}.
 * 'peers' is printed as CRDT.INFO text and parsed by the real parser. Output: the plan as peer_plan_print shows it, and the
 * removal evidence that the next round starts with. */
#include <jansson.h>
#include <string.h>

#include "meta/peers/peer_decide.h"
#include "shared/base/mem.h"
#include "tests/golden/golden.h"

#include "shared/base/banned.h"

static int64_t number(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : otherwise;
}

static bool flag(const json_t *object, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

static const char *text(const json_t *object, const char *key, const char *otherwise)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : otherwise;
}

static struct addr addr_from(const json_t *object, const char *key)
{
    struct addr addr = { 0 };
    struct xp_err err;
    const char *value = text(object, key, "10.0.0.1:6379");
    xp_check(addr_parse(value, strlen(value), &addr, &err) == 0);
    return addr;
}

static void print_proxy(const json_t *peer, size_t i, struct str *out)
{
    const char *servers = text(peer, "servers", NULL);
    const char *params = text(peer, "params", NULL);
    if (!servers) {
        return;
    }
    str_printf(out, "peer%zu_proxy_type:%s\r\npeer%zu_proxy_servers:%s\r\n", i,
               text(peer, "type", "XPIPE-PROXY"), i, servers);
    str_printf(out, "peer%zu_proxy_server:%s\r\n", i, text(peer, "in_use", servers));
    if (params) {
        str_printf(out, "peer%zu_proxy_params:%s\r\n", i, params);
    }
}

static void print_peer(const json_t *peer, size_t i, struct str *out)
{
    size_t n;
    json_t *line;
    json_array_foreach (json_object_get(peer, "raw"), n, line) {
        str_printf(out, "peer%zu_%s\r\n", i, json_string_value(line));
    }
    if (n > 0) {
        return;
    }
    struct addr addr = addr_from(peer, "addr");
    str_printf(out, "peer%zu_host:%s\r\npeer%zu_port:%d\r\npeer%zu_gid:%lld\r\npeer%zu_dbid:0\r\n",
               i, addr.host, i, addr.port, i, (long long)number(peer, "gid", 0), i);
    str_printf(out,
               "peer%zu_link_status:%s\r\npeer%zu_last_io_seconds_ago:1\r\npeer%zu_sync_in_"
               "progress:%d\r\n",
               i, flag(peer, "up", true) ? "up" : "down", i, i, flag(peer, "syncing", false));
    str_printf(out, "peer%zu_repl_offset:7\r\npeer%zu_replid:000000\r\n", i, i);
    print_proxy(peer, i, out);
}

static void print_info(const json_t *input, struct str *out)
{
    const json_t *own = json_object_get(input, "own");
    str_printf(out, "# CRDT Replication\r\novc:1:0\r\ngid:%lld\r\nbackstreaming:%d\r\n",
               (long long)number(own, "gid", 1), flag(own, "backstreaming", false));
    size_t i;
    json_t *peer;
    json_array_foreach (json_object_get(input, "peers"), i, peer) {
        print_peer(peer, i, out);
    }
    str_puts(out, "connected_slaves:0\r\n");
}

struct wanted_set {
    struct wanted_peer peers[PEER_DCS_MAX];
    struct route routes[PEER_DCS_MAX];
    size_t count;
};

static int read_wanted(const json_t *input, struct wanted_set *set, struct xp_err *err)
{
    size_t i;
    json_t *w;
    json_array_foreach (json_object_get(input, "wanted"), i, w) {
        struct wanted_peer *p = &set->peers[set->count++];
        const char *route = text(w, "route", NULL);
        *p = (struct wanted_peer){
            .dc = text(w, "dc", "?"),
            .is_known = flag(w, "known", true),
            .gid = (int)number(w, "gid", 0),
            .addr = addr_from(w, "addr"),
            .is_own_replica = flag(w, "own_replica", false),
            .choice = flag(w, "unusable", false) ? ROUTE_UNUSABLE
                      : route                    ? ROUTE_CHOSEN
                                                 : ROUTE_DIRECT,
            .route_id = route || flag(w, "unusable", false) ? 7 : 0,
            .is_fallback = flag(w, "fallback", false),
            .route = route ? &set->routes[i] : NULL,
        };
        if (route && route_parse(route, strlen(route), &set->routes[i], err) != 0) {
            return err->code;
        }
    }
    return 0;
}

static void read_version(const json_t *own, struct crdt_version *ret_version)
{
    AUTO_FREE char *reply =
        xasprintf("# Server\r\nxredis_crdt_version:%s\r\n", text(own, "version", "1.0.22"));
    struct redis_server_info server;
    bool is_absent = strcmp(text(own, "version", "x"), "absent") == 0;
    redis_server_info_parse(is_absent ? "" : reply, is_absent ? 0 : strlen(reply), &server);
    *ret_version = server.version;
}

static void read_removal(const json_t *input, struct peer_facts *facts)
{
    size_t i;
    json_t *r;
    json_array_foreach (json_object_get(input, "removal"), i, r) {
        facts->removal[i] = (struct removal_watch){
            .gid = (int)number(r, "gid", 0),
            .verdicts = (int)number(r, "verdicts", 0),
            .last_at = number(r, "last_ms", 0),
        };
    }
    json_array_foreach (json_object_get(input, "kicked"), i, r) {
        facts->kicked_gids |= 1U << json_integer_value(r);
    }
}

static int decide(const json_t *input, struct str *out, struct xp_err *err)
{
    const json_t *own = json_object_get(input, "own");
    static struct wanted_set set;
    static struct crdt_info info;
    static struct peer_plan plan;
    CLEANUP(str_done) struct str reply = STR_INIT(65536);
    print_info(input, &reply);
    memset(&set, 0, sizeof(set));
    if (crdt_info_parse(str_text(&reply), reply.len, &info, err) != 0 ||
        read_wanted(input, &set, err) != 0) {
        return err->code;
    }
    struct peer_facts facts = {
        .now = number(input, "now_ms", 1000000),
        .own_addr = addr_from(own, "addr"),
        .uptime_s = number(own, "uptime_s", 3600),
        .info = &info,
        .wanted = set.peers,
        .wanted_count = set.count,
        .is_meta_fresh = flag(input, "meta_fresh", true),
        .may_remove = flag(input, "may_remove", false),
        .removal_verdicts = 3,
        .removal_gap_ms = 60000,
    };
    read_version(own, &facts.version);
    read_removal(input, &facts);
    peer_decide(&facts, &plan);
    peer_plan_print(&facts, &plan, out);
    for (size_t i = 0; i < PEER_DCS_MAX && plan.removal[i].gid; i++) {
        str_printf(out, "evidence gid=%d verdicts=%d last_ms=%lld\n", plan.removal[i].gid,
                   plan.removal[i].verdicts, (long long)plan.removal[i].last_at);
    }
    return 0;
}

int main(int argc, char **argv)
{
    return golden_json_main(argc, argv, "tests/golden/peer_decide", decide);
}
