/* farm_redis.c - see farm_redis.h. */
#include "bench/farm_redis.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define INFO_MAX_BYTES 8192
#define OFFSET_FIRST   1000000000U /* ten digits, so that counting on needs no new text */
#define OFFSET_SPAN    1000000000U
#define WRONG_PORT     1

void farm_host(int net, size_t number, char *ret_host, size_t size)
{
    (void)snprintf(ret_host, size, "127.%u.%u.%u", (unsigned)net & 255U,
                   (unsigned)(number / 250) & 255U, (unsigned)(1 + number % 250));
}

/* ---- peers ---- */

static void peer_done(struct farm_peer *p)
{
    free(p->servers);
    free(p->params);
    *p = (struct farm_peer){ 0 };
}

static void peer_set(struct farm_peer *p, const struct farm_peer *from)
{
    struct farm_peer copy = *from;
    copy.servers = xstrdup(from->servers);
    copy.params = xstrdup(from->params);
    peer_done(p);
    *p = copy;
}

static bool peer_eq(const struct farm_peer *a, const struct farm_peer *b)
{
    if (!a->is_set || !b->is_set) {
        return a->is_set == b->is_set;
    }
    return strcasecmp(a->host, b->host) == 0 && a->port == b->port &&
           text_eq(a->servers, b->servers) && text_eq(a->params, b->params);
}

static void take_spec(const struct farm_redis *r, const struct farm_peer_spec *spec,
                      struct farm_peer *ret_peer)
{
    struct farm_peer p = { .is_set = true, .port = spec->port, .up_at = MONO_NEVER };
    farm_host(spec->net, r->number, p.host, sizeof(p.host));
    p.servers = xstrdup(spec->servers);
    p.params = xstrdup(spec->params);
    peer_done(ret_peer);
    *ret_peer = p;
}

static void note_change(struct farm_redis *r)
{
    str_clear(&r->info);
}

void farm_redis_init(struct farm_redis *r, size_t number, int gid)
{
    *r = (struct farm_redis){ .number = number,
                              .gid = gid,
                              .broken_at = MONO_NEVER,
                              .mended_at = MONO_NEVER,
                              .actual = xcalloc(FARM_GID_MAX + 1, sizeof(*r->actual)),
                              .wanted = xcalloc(FARM_GID_MAX + 1, sizeof(*r->wanted)),
                              .stale_at = MONO_FOREVER,
                              .info = STR_INIT(INFO_MAX_BYTES) };
}

void farm_redis_init_node(struct farm_redis *r, size_t number, size_t index, bool is_keeper)
{
    *r = (struct farm_redis){ .number = number,
                              .index = index,
                              .node = xcalloc(1, sizeof(*r->node)),
                              .broken_at = MONO_NEVER,
                              .mended_at = MONO_NEVER };
    farm_node_init(r->node, is_keeper, number << 4 | index);
}

void farm_redis_done(struct farm_redis *r)
{
    for (size_t gid = 0; r->actual && gid <= FARM_GID_MAX; gid++) {
        peer_done(&r->actual[gid]);
        peer_done(&r->wanted[gid]);
    }
    free(r->actual);
    free(r->wanted);
    str_done(&r->info);
    if (r->node) {
        farm_node_done(r->node);
        free(r->node);
    }
}

void farm_redis_give_peer(struct farm_redis *r, const struct farm_peer_spec *spec)
{
    take_spec(r, spec, &r->wanted[spec->gid]);
    peer_set(&r->actual[spec->gid], &r->wanted[spec->gid]);
    note_change(r);
}

void farm_redis_want_peer(struct farm_redis *r, const struct farm_peer_spec *spec, mono_ms now)
{
    take_spec(r, spec, &r->wanted[spec->gid]);
    if (farm_redis_is_right(r)) {
        r->broken_at = MONO_NEVER; /* wanted back before anybody corrected it */
    } else if (r->broken_at == MONO_NEVER) {
        r->broken_at = now;
    }
}

static size_t pick_wanted(const struct farm_redis *r, uint64_t random)
{
    size_t gids[FARM_GID_MAX + 1] = { 0 };
    size_t count = 0;
    for (size_t gid = 0; gid <= FARM_GID_MAX; gid++) {
        if (r->wanted[gid].is_set) {
            gids[count++] = gid;
        }
    }
    return count > 0 ? gids[random % count] : 0;
}

bool farm_redis_break(struct farm_redis *r, enum farm_break how, uint64_t random, mono_ms now)
{
    size_t gid = pick_wanted(r, random);
    struct farm_peer *p = &r->actual[gid];
    if (gid == 0 || r->broken_at != MONO_NEVER || mono_age(now, r->mended_at) < FARM_REST_MS) {
        return false;
    }
    if (how == FARM_REMOVE || (how == FARM_DIRECT && !p->servers)) {
        peer_done(p);
    } else if (how == FARM_ENDPOINT) {
        p->port = WRONG_PORT;
    } else {
        free(TAKE(p->servers));
        free(TAKE(p->params));
    }
    p->up_at = now + FARM_LINK_UP_MS;
    r->broken_at = now;
    note_change(r);
    return true;
}

bool farm_redis_is_right(const struct farm_redis *r)
{
    if (r->node) {
        return farm_node_is_right(r->node);
    }
    for (size_t gid = 0; gid <= FARM_GID_MAX; gid++) {
        if (!peer_eq(&r->actual[gid], &r->wanted[gid])) {
            return false;
        }
    }
    return true;
}

/* ---- PEEROF ---- */

static void take_options(struct farm_peer *p, size_t argc, char *const *argv)
{
    bool is_proxied = false;
    for (size_t i = 4; i + 1 < argc; i += 2) {
        if (strcasecmp(argv[i], "proxy-type") == 0) {
            is_proxied = true;
        } else if (strcasecmp(argv[i], "proxy-servers") == 0) {
            p->servers = argv[i + 1];
        } else if (strcasecmp(argv[i], "proxy-params") == 0) {
            p->params = argv[i + 1];
        }
    }
    if (!is_proxied) { /* the options alone are ignored (crdt-redis.md 2.1) */
        p->servers = NULL;
        p->params = NULL;
    }
}

bool farm_redis_is_harmful(const struct farm_redis *r, size_t argc, char *const *argv)
{
    int64_t gid = 0;
    int64_t port = 0;
    if (argc < 4 || !text_to_i64(argv[1], strlen(argv[1]), 1, FARM_GID_MAX, &gid) ||
        gid == r->gid) {
        return true;
    }
    const struct farm_peer *wanted = &r->wanted[gid];
    if (strcasecmp(argv[2], "no") == 0) {
        return wanted->is_set;
    }
    struct farm_peer p = { 0 };
    take_options(&p, argc, argv);
    return !text_to_i64(argv[3], strlen(argv[3]), 1, UINT16_MAX, &port) ||
           (wanted->servers && !p.servers);
}

const char *farm_redis_peerof(struct farm_redis *r, size_t argc, char *const *argv, mono_ms now)
{
    int64_t gid = 0;
    int64_t port = 0;
    if (argc < 4) {
        return "-ERR wrong number of arguments for 'peerof' command\r\n";
    }
    if (!text_to_i64(argv[1], strlen(argv[1]), 1, FARM_GID_MAX, &gid) || gid == r->gid) {
        return "-ERR invalid gid\r\n";
    }
    note_change(r);
    if (strcasecmp(argv[2], "no") == 0) {
        peer_done(&r->actual[gid]);
        return "+OK\r\n";
    }
    if (!text_to_i64(argv[3], strlen(argv[3]), INT32_MIN, INT32_MAX, &port)) {
        return "-ERR value is not an integer or out of range\r\n";
    }
    struct farm_peer p = { .is_set = true, .port = (int)port, .up_at = now + FARM_LINK_UP_MS };
    (void)snprintf(p.host, sizeof(p.host), "%.15s", argv[2]);
    take_options(&p, argc, argv);
    if (peer_eq(&r->actual[gid], &p)) {
        return "+OK Already connected to specified master\r\n";
    }
    peer_set(&r->actual[gid], &p);
    return "+OK\r\n";
}

/* ---- CRDT.INFO ---- */

static void add_replid(struct str *s, size_t number, size_t salt)
{
    str_printf(s, "%08zx%016zx%016zx", number, number * 2654435761U + salt, salt * 40503U);
}

static void add_peer(struct farm_redis *r, size_t index, size_t gid, mono_ms now)
{
    struct str *s = &r->info;
    const struct farm_peer *p = &r->actual[gid];
    bool is_up = p->up_at <= now;
    str_printf(s, "#Peer_Master_%zu\r\npeer%zu_host:%s\r\npeer%zu_port:%d\r\npeer%zu_gid:%zu\r\n",
               index, index, p->host, index, p->port, index, gid);
    str_printf(s, "peer%zu_dbid:0\r\npeer%zu_link_status:%s\r\npeer%zu_last_io_seconds_ago:", index,
               index, is_up ? "up" : "down", index);
    r->last_io_at = is_up ? s->len : r->last_io_at;
    str_printf(s, "%s\r\npeer%zu_sync_in_progress:0\r\npeer%zu_repl_offset:%u\r\npeer%zu_replid:",
               is_up ? "0" : "-1", index, index, OFFSET_FIRST + 731 * (unsigned)gid, index);
    add_replid(s, r->number, gid);
    str_puts(s, "\r\n");
    if (p->servers) {
        size_t first = strcspn(p->servers, ",");
        str_printf(s,
                   "peer%zu_proxy_type:XPIPE-PROXY\r\npeer%zu_proxy_servers:%s\r\n"
                   "peer%zu_proxy_server:%.*s\r\n",
                   index, index, p->servers, index, (int)first, p->servers);
    }
    if (p->params) {
        str_printf(s, "peer%zu_proxy_params:%s\r\n", index, p->params);
    }
    if (!is_up) {
        str_printf(s, "peer%zu_link_down_since_seconds:1795306769\r\n", index);
        r->stale_at = p->up_at < r->stale_at ? p->up_at : r->stale_at;
    }
}

/* The masters of the other DCs pull from here too. */
static void add_pullers(struct farm_redis *r)
{
    size_t count = 0;
    for (size_t gid = 0; gid <= FARM_GID_MAX; gid++) {
        count += r->actual[gid].is_set;
    }
    str_printf(&r->info, "connected_slaves:%zu\r\n", count);
    count = 0;
    for (size_t gid = 0; gid <= FARM_GID_MAX; gid++) {
        const struct farm_peer *p = &r->actual[gid];
        if (p->is_set) {
            str_printf(&r->info, "slave%zu:ip=%s,port=%d,state=online,offset=%u,lag=1\r\n", count++,
                       p->host, p->port, OFFSET_FIRST);
        }
    }
}

static void build_info(struct farm_redis *r, mono_ms now)
{
    struct str *s = &r->info;
    size_t index = 0;
    str_clear(s);
    r->last_io_at = 0;
    r->stale_at = MONO_FOREVER;
    str_printf(s,
               "# CRDT Replication\r\novc:1:7948801;2:1048601;3:1048644\r\n"
               "gcvc:1:7948801;2:1048601;3:1048644\r\ngid:%d\r\nbackstreaming:0\r\n",
               r->gid);
    for (size_t gid = 0; gid <= FARM_GID_MAX; gid++) {
        if (r->actual[gid].is_set) {
            add_peer(r, index++, gid, now);
        }
    }
    add_pullers(r);
    str_puts(s, "master_replid:");
    add_replid(s, r->number, 77);
    str_puts(s, "\r\nmaster_replid2:0000000000000000000000000000000000000000\r\n"
                "master_repl_offset:");
    r->offset_at = s->len;
    str_printf(s,
               "%u\r\nsecond_repl_offset:-1\r\nrepl_backlog_active:1\r\n"
               "repl_backlog_size:134217728\r\nrepl_backlog_first_byte_offset:865782273\r\n"
               "repl_backlog_histlen:134217728\r\n",
               OFFSET_FIRST);
    xp_check(!s->overflow);
}

const struct str *farm_redis_info(struct farm_redis *r, mono_ms now)
{
    if (r->info.len == 0 || now >= r->stale_at) {
        build_info(r, now);
    }
    uint32_t value = OFFSET_FIRST + r->answers++ % OFFSET_SPAN;
    for (size_t i = 10; i-- > 0; value /= 10) {
        r->info.buf[r->offset_at + i] = (char)('0' + value % 10);
    }
    if (r->last_io_at) {
        r->info.buf[r->last_io_at] = (char)('0' + r->answers % 10);
    }
    return &r->info;
}
