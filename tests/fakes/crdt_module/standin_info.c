/* standin_info.c - CRDT.INFO [section]: the line order of crdt-redis.md 3.2. */
#include "tests/fakes/crdt_module/standin_info.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tests/fakes/crdt_module/feed.h"
#include "tests/fakes/crdt_module/peer_table.h"
#include "tests/fakes/redis_module/text_out.h"
#include "tests/fakes/crdt_module/upstream.h"

#include "shared/base/banned.h"

enum { BACKLOG_BYTES = 134217728 };

static void add_clocks(struct text_out *out, const char *name, bool zero)
{
    const char *separator = "";

    text_add(out, "%s:", name);
    for (int gid = 1; gid <= GID_MAX; gid++) {
        const struct peer *p = peer_get(gid);
        bool own = gid == standin.set.gid;
        if (own || (p->used && p->has_replid)) {
            int64_t clock = zero ? 0 : own ? feed_clock() : p->offset;
            text_add(out, "%s%d:%lld", separator, gid, (long long)clock);
            separator = ";";
        }
    }
    text_add(out, "\r\n");
}

static int64_t shown_last_io(const struct peer *p)
{
    if (p->override.shown != SHOW_REAL) {
        return p->override.last_io_s;
    }
    if (!standin.is_master) {
        return p->last_io_ms ? (now_mono_ms() - p->last_io_ms) / 1000 : -1;
    }
    return p->phase == LINK_SYNC || p->phase == LINK_UP ? (now_mono_ms() - p->last_io_ms) / 1000
                                                        : -1;
}

static int64_t shown_down_since(const struct peer *p)
{
    if (p->override.shown != SHOW_REAL) {
        return p->override.down_since_s >= 0 ? p->override.down_since_s : now_wall_s();
    }
    return standin.is_master ? now_wall_s() - p->down_wall_s : now_wall_s();
}

static bool shown_sync(const struct peer *p)
{
    return p->override.shown == SHOW_REAL ? standin.is_master && p->phase == LINK_SYNC
                                          : p->override.shown == SHOW_SYNC;
}

static const char *shown_replid(const struct peer *p)
{
    if (p->has_replid) {
        return p->replid;
    }
    return p->follows_master || shown_sync(p) ? "" : "000000";
}

static long long shown_offset(const struct peer *p)
{
    if (p->override.offset >= 0) {
        return p->override.offset;
    }
    return p->follows_master && !p->has_replid ? -1 : p->offset;
}

static void add_proxy(struct text_out *out, int n, const struct peer *p)
{
    char text[PROXY_MAX * (HOST_MAX + 20)];

    words_servers_text(&p->words, text, sizeof text);
    text_add(out, "peer%d_proxy_type:XPIPE-PROXY\r\npeer%d_proxy_servers:%s\r\n", n, n, text);
    words_server_text(&p->words.servers[p->in_use], text, sizeof text);
    text_add(out, "peer%d_proxy_server:%s\r\n", n, text);
    if (p->words.has_params) {
        text_add(out, "peer%d_proxy_params:%s\r\n", n, p->words.params);
    }
}

static void add_peer(struct text_out *out, int n, int gid, const struct peer *p)
{
    text_add(out, "#Peer_Master_%d\r\npeer%d_host:%s\r\npeer%d_port:%d\r\n", n, n, p->words.host, n,
             p->words.port);
    text_add(out, "peer%d_gid:%d\r\npeer%d_dbid:0\r\n", n, gid, n);
    text_add(out, "peer%d_link_status:%s\r\n", n, peer_is_up(p) ? "up" : "down");
    text_add(out, "peer%d_last_io_seconds_ago:%lld\r\n", n, (long long)shown_last_io(p));
    text_add(out, "peer%d_sync_in_progress:%d\r\n", n, shown_sync(p));
    text_add(out, "peer%d_repl_offset:%lld\r\n", n, shown_offset(p));
    text_add(out, "peer%d_replid:%s\r\n", n, shown_replid(p));
    if (p->owes) {
        text_add(out, "peer%d_backstream_vc:%d:%lld\r\n", n, standin.set.gid,
                 (long long)p->owed_clock);
    }
    if (p->words.proxied) {
        add_proxy(out, n, p);
    }
    if (!peer_is_up(p)) {
        text_add(out, "peer%d_link_down_since_seconds:%lld\r\n", n, (long long)shown_down_since(p));
    }
}

static void add_backlog(struct text_out *out)
{
    long long clock = (long long)feed_clock();
    bool active = upstream_was_pulled();

    text_add(out, "master_replid:%s\r\nmaster_replid2:%s\r\n", standin.run_replid,
             standin.run_replid2);
    text_add(out, "master_repl_offset:%lld\r\nsecond_repl_offset:%lld\r\n", clock,
             (long long)standin.second_offset);
    text_add(out, "repl_backlog_active:%d\r\nrepl_backlog_size:%d\r\n", active, BACKLOG_BYTES);
    text_add(out, "repl_backlog_first_byte_offset:%d\r\nrepl_backlog_histlen:%lld\r\n", active,
             active ? clock : 0);
}

static void add_replication(struct text_out *out)
{
    int gid = 0;

    text_add(out, "# CRDT Replication\r\n");
    add_clocks(out, "ovc", false);
    add_clocks(out, "gcvc", true);
    text_add(out, "gid:%d\r\n", standin.set.gid);
    if (version_is_at_least(1, 0, 11)) {
        bool back = standin.faults.loading || (standin.is_master && peer_any_owes());
        text_add(out, "backstreaming:%d\r\n", back);
    }
    for (int i = 0;; i++) {
        const struct peer *p = peer_nth(i, &gid);
        if (!p) {
            break;
        }
        add_peer(out, i, gid, p);
    }
    upstream_lines(out);
    add_backlog(out);
}

static void add_stats(struct text_out *out)
{
    text_add(out, "# CRDT Stats\r\nsync_full:%lld\r\nsync_backstream:0\r\nsync_partial_ok:%lld\r\n",
             (long long)upstream_full_syncs(), (long long)upstream_partial_syncs());
    text_add(out, "sync_partial_err:%lld\r\nexpired_keys:0\r\nlatest_fork_usec:0\r\n",
             (long long)upstream_refused_syncs());
    text_add(out,
             "crdt_conflict:type=0,set=0,del=0,set_del=0\r\ncrdt_conflict_op:modify=0,merge=0\r\n");
    text_add(out, "evicted_tombstones:0\r\nstat_gc_hits:0\r\nstat_gc_misses:0\r\n");
}

/* The sections that CRDT.INFO shares with INFO; unknown ones are empty. */
static int reply_ordinary(struct rm_ctx *ctx, const char *section)
{
    static const char *const ordinary[] = { "default", "all",      "everything",  "server",
                                            "clients", "memory",   "persistence", "cpu",
                                            "cluster", "keyspace", "commandstats" };

    for (size_t i = 0; i < sizeof ordinary / sizeof ordinary[0]; i++) {
        if (strcasecmp(section, ordinary[i]) == 0) {
            return info_reply(ctx, section);
        }
    }
    return RM_ReplyWithStringBuffer(ctx, "", 0);
}

int cmd_crdt_info(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    const char *section = argc > 1 ? arg_text(argv[1]) : "default";
    struct text_out *out;

    if (argc > 2) {
        return RM_ReplyWithError(ctx, "ERR syntax error");
    }
    if (strcasecmp(section, "replication") != 0 && strcasecmp(section, "stats") != 0) {
        return reply_ordinary(ctx, section);
    }
    out = calloc(1, sizeof *out);
    if (!out) {
        abort();
    }
    standin_refresh(ctx);
    if (strcasecmp(section, "stats") == 0) {
        add_stats(out);
    } else {
        add_replication(out);
    }
    RM_ReplyWithStringBuffer(ctx, out->text, out->len);
    free(out);
    return RM_OK;
}

/* A section starts with a line "# Name". */
static bool starts_section(const char *line, const char *name)
{
    return strncmp(line, "# ", 2) == 0 && strncmp(line + 2, name, strlen(name)) == 0;
}

int info_reply(struct rm_ctx *ctx, const char *section)
{
    struct rm_reply *reply =
        section ? RM_Call(ctx, "INFO", "c", section) : RM_Call(ctx, "INFO", "");
    struct text_out *out;
    size_t len = 0;
    const char *text;
    const char *cut;

    if (!reply || RM_CallReplyType(reply) != RM_REPLY_STRING) {
        return reply ? RM_ReplyWithCallReply(ctx, reply)
                     : RM_ReplyWithError(ctx, "ERR STANDIN INFO failed");
    }
    text = RM_CallReplyStringPtr(reply, &len);
    cut = len && starts_section(text, "Server") ? memmem(text, len, "\r\n", 2) : NULL;
    cut = cut ? memmem(cut + 2, len - (size_t)(cut + 2 - text), "\r\n", 2) : NULL;
    if (!cut || strcmp(standin.set.version_text, "absent") == 0) {
        RM_ReplyWithStringBuffer(ctx, text, len);
    } else {
        out = calloc(1, sizeof *out);
        if (!out) {
            abort();
        }
        cut += 2;
        text_add(out, "%.*sxredis_crdt_version:%s\r\n%.*s", (int)(cut - text), text,
                 standin.set.version_text, (int)(len - (size_t)(cut - text)), cut);
        RM_ReplyWithStringBuffer(ctx, out->text, out->len);
        free(out);
    }
    RM_FreeCallReply(reply);
    return RM_OK;
}
