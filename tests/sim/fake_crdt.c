/* fake_crdt.c - see fake_crdt.h. */
#include "tests/sim/fake_crdt.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define TICK_MS 1000
#define LAZY_MS 11000

void fake_crdt_init(struct fake_crdt *r, const struct addr *addr, int gid, bool is_master)
{
    *r = (struct fake_crdt){
        .addr = *addr,
        .gid = gid,
        .is_master = is_master,
        .version = "1.0.22",
        .started_at = clock_mono_ms() - 100000,
        .role_since = MONO_NEVER,
        .peerof_at = MONO_NEVER,
    };
}

static void forget(struct fake_crdt_peer *peer)
{
    free(peer->servers);
    free(peer->params);
    *peer = (struct fake_crdt_peer){ 0 };
}

void fake_crdt_done(struct fake_crdt *r)
{
    for (int gid = 0; gid <= CRDT_GID_MAX; gid++) {
        forget(&r->peers[gid]);
    }
}

void fake_crdt_set_role(struct fake_crdt *r, bool is_master)
{
    if (r->is_master != is_master) {
        r->is_master = is_master;
        r->role_since = clock_mono_ms();
        for (int gid = 0; is_master && gid <= CRDT_GID_MAX; gid++) {
            r->peers[gid].up_at = clock_mono_ms() + TICK_MS;
        }
    }
}

void fake_crdt_restart(struct fake_crdt *r)
{
    r->run++;
    r->started_at = clock_mono_ms();
    r->is_lazy = true;
    for (int gid = 0; gid <= CRDT_GID_MAX; gid++) {
        r->peers[gid].up_at = r->started_at + LAZY_MS;
    }
}

static struct addr first_server(const char *servers)
{
    struct addr addr = { 0 };
    const char *cursor = servers;
    const char *part;
    size_t length;
    if (servers && text_next_part(&cursor, ",", &part, &length)) {
        size_t skip = length > 11 && strncmp(part, "PROXYTCP://", 11) == 0 ? 11 : 0;
        xp_check(addr_parse(part + skip, length - skip, &addr, NULL) == 0);
    }
    return addr;
}

void fake_crdt_put(struct fake_crdt *r, int gid, const struct addr *addr, const char *servers,
                   const char *params)
{
    struct fake_crdt_peer *peer = &r->peers[gid];
    forget(peer);
    *peer = (struct fake_crdt_peer){
        .is_set = true,
        .addr = *addr,
        .servers = xstrdup(servers),
        .params = xstrdup(params),
        .in_use = first_server(servers),
        .up_at = clock_mono_ms() + TICK_MS,
    };
}

void fake_crdt_remove(struct fake_crdt *r, int gid)
{
    forget(&r->peers[gid]);
}

static bool is_up(const struct fake_crdt *r, const struct fake_crdt_peer *peer)
{
    return r->is_master && peer->up_at <= clock_mono_ms();
}

/* ---- answers ---- */

static struct rreply *answer(enum rreply_type type, const char *text)
{
    return rreply_new_text(type, text, strlen(text));
}

static struct rreply *answer_role(const struct fake_crdt *r)
{
    struct rreply *parts[] = { answer(RREPLY_BULK, r->is_master ? "master" : "slave"),
                               rreply_new_integer(0) };
    return rreply_new_array(parts, ARRAY_LEN(parts));
}

static struct rreply *answer_server(struct fake_crdt *r)
{
    r->servers++;
    CLEANUP(str_done) struct str text = STR_INIT(4096);
    str_printf(&text, "# Server\r\nredis_version:4.0.8\r\nrun_id:%040d%s\r\n", r->run,
               r->addr.host);
    str_printf(&text, "uptime_in_seconds:%lld\r\n",
               (long long)(clock_mono_ms() - r->started_at) / 1000);
    if (r->version) {
        str_printf(&text, "xredis_crdt_version:%s\r\n", r->version);
    }
    return answer(RREPLY_BULK, str_text(&text));
}

static void print_peer(const struct fake_crdt *r, int gid, int index, struct str *out)
{
    const struct fake_crdt_peer *p = &r->peers[gid];
    bool up = is_up(r, p);
    str_printf(out, "peer%d_host:%s\r\npeer%d_port:%d\r\npeer%d_gid:%d\r\n", index, p->addr.host,
               index, p->addr.port, index, gid);
    str_printf(out, "peer%d_link_status:%s\r\npeer%d_last_io_seconds_ago:%d\r\n", index,
               up ? "up" : "down", index, up ? 1 : -1);
    str_printf(out, "peer%d_sync_in_progress:0\r\npeer%d_repl_offset:0\r\n", index, index);
    if (p->servers) {
        str_printf(out, "peer%d_proxy_type:XPIPE-PROXY\r\npeer%d_proxy_servers:%s\r\n", index,
                   index, p->servers);
        str_printf(out, "peer%d_proxy_server:PROXYTCP://%s\r\n", index, ADDR_TEXT(&p->in_use));
    }
    if (p->params) {
        str_printf(out, "peer%d_proxy_params:%s\r\n", index, p->params);
    }
}

static struct rreply *answer_info(struct fake_crdt *r)
{
    r->infos++;
    CLEANUP(str_done) struct str text = STR_INIT(65536);
    str_printf(&text, "# CRDT Replication\r\novc:%d:1\r\ngid:%d\r\nbackstreaming:%d\r\n", r->gid,
               r->gid, r->is_backstreaming);
    int index = 0;
    for (int gid = 1; gid <= CRDT_GID_MAX; gid++) {
        if (r->peers[gid].is_set) {
            print_peer(r, gid, index++, &text);
        }
    }
    str_puts(&text, "connected_slaves:0\r\nmaster_repl_offset:0\r\n");
    if (r->demote_after_info) {
        r->demote_after_info = false;
        fake_crdt_set_role(r, false);
    }
    return answer(RREPLY_BULK, str_text(&text));
}

/* ---- PEEROF ---- */

static size_t count_members(const char *servers)
{
    size_t count = 1;
    for (const char *p = servers; *p; p++) {
        count += *p == ',';
    }
    return count;
}

/* True when 'server' (host:port) is a member of the list. */
static bool has_member(const char *servers, const struct addr *server)
{
    return strstr(servers, ADDR_TEXT(server)) != NULL;
}

static bool is_subset(const char *servers, const char *of)
{
    const char *cursor = servers;
    const char *part;
    size_t length;
    while (text_next_part(&cursor, ",", &part, &length)) {
        AUTO_FREE char *member = xstrndup(part, length);
        struct addr addr = first_server(member);
        if (!has_member(of, &addr)) {
            return false;
        }
    }
    return true;
}

/* Rules 1 to 3 of crdt-redis.md 2.3. Returns the answer. */
static const char *take_peer(struct fake_crdt *r, int gid, const struct addr *addr,
                             const char *servers, const char *params)
{
    struct fake_crdt_peer *old = &r->peers[gid];
    bool is_same = old->is_set && strcasecmp(old->addr.host, addr->host) == 0 &&
                   old->addr.port == addr->port && text_eq(old->params, params);
    if (is_same && old->servers && servers && is_up(r, old) && has_member(servers, &old->in_use)) {
        free(old->servers);
        old->servers = xstrdup(servers);
        r->has_unsaved = true;
        return "OK";
    }
    bool is_kept = is_same && !old->servers && !servers;
    if (is_same && old->servers && servers) {
        is_kept = count_members(servers) == count_members(old->servers) &&
                  is_subset(servers, old->servers);
    }
    if (!is_kept) {
        fake_crdt_put(r, gid, addr, servers, params);
        r->has_unsaved = false;
        return "OK";
    }
    if (!r->is_lazy) {
        return "OK Already connected to specified master";
    }
    r->is_lazy = false;
    for (int i = 0; i <= CRDT_GID_MAX; i++) {
        r->peers[i].up_at = clock_mono_ms() + TICK_MS;
    }
    return "OK Clean lazy_time";
}

static const char *carry_out(struct fake_crdt *r, size_t argc, const char *const *argv)
{
    int64_t gid = 0;
    int64_t port = 0;
    xp_check(text_to_i64(argv[1], strlen(argv[1]), CRDT_GID_MIN, CRDT_GID_MAX, &gid));
    if (text_eq(argv[2], "no")) {
        forget(&r->peers[gid]);
        r->has_unsaved = true;
        return "OK";
    }
    xp_check(text_to_i64(argv[3], strlen(argv[3]), 1, 65535, &port));
    struct addr addr = addr_of(argv[2], (int)port);
    return take_peer(r, (int)gid, &addr, argc > 7 ? argv[7] : NULL, argc > 9 ? argv[9] : NULL);
}

static struct rreply *answer_peerof(struct fake_crdt *r, size_t argc, const char *const *argv)
{
    struct xp_err err = { 0 };
    r->last[0] = '\0';
    for (size_t i = 0; i < argc; i++) {
        size_t used = strlen(r->last);
        (void)snprintf(r->last + used, sizeof(r->last) - used, "%s%s", i ? " " : "", argv[i]);
    }
    if (peerof_check_words(argc, argv, r->gid, &err) != 0) {
        (void)fprintf(stderr, "PEEROF that damages a server: %s (%s)\n", r->last, err.msg);
        abort();
    }
    r->peerofs++;
    r->peerof_at = clock_mono_ms();
    switch (r->trick) {
    case FAKE_CRDT_REFUSES:
        return answer(RREPLY_ERROR, "ERR proxy params error");
    case FAKE_CRDT_PRETENDS:
        return answer(RREPLY_STATUS, "OK");
    case FAKE_CRDT_HANGS:
        return NULL;
    case FAKE_CRDT_SWALLOWS:
        (void)carry_out(r, argc, argv);
        return NULL;
    case FAKE_CRDT_HONEST:
        break;
    }
    return answer(RREPLY_STATUS, carry_out(r, argc, argv));
}

struct rreply *fake_crdt_command(struct fake_crdt *r, size_t argc, const char *const *argv)
{
    if (text_eq_nocase(argv[0], "ROLE")) {
        return answer_role(r);
    }
    if (text_eq_nocase(argv[0], "INFO")) {
        return answer_server(r);
    }
    if (text_eq_nocase(argv[0], "CRDT.INFO")) {
        return answer_info(r);
    }
    if (text_eq_nocase(argv[0], "PEEROF")) {
        return answer_peerof(r, argc, argv);
    }
    if (text_eq_nocase(argv[0], "CLIENT") && r->is_loading) {
        return answer(RREPLY_ERROR, "LOADING Redis is loading the dataset in memory");
    }
    if (text_eq_nocase(argv[0], "CLIENT")) {
        r->names++;
        return answer(RREPLY_STATUS, "OK");
    }
    xp_check(text_eq_nocase(argv[0], "CONFIG") && argc == 2 && text_eq_nocase(argv[1], "REWRITE"));
    r->rewrites++;
    r->has_unsaved = false;
    return answer(RREPLY_STATUS, "OK");
}
