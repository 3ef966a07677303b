/* upstream.c - see upstream.h. */
#include "tests/fakes/crdt_module/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tests/fakes/crdt_module/feed.h"
#include "tests/fakes/crdt_module/peer_table.h"
#include "tests/fakes/redis_module/text_out.h"

#include "shared/base/banned.h"

enum { PULLERS_MAX = 64 };

enum puller_state { PULLER_AUTH, PULLER_WAIT_SYNC, PULLER_SENDING, PULLER_ONLINE };

struct puller {
    uint64_t client; /* 0: free slot */
    enum puller_state state;
    char ip[64];
    int port;
    bool gives_back; /* it asked for its own data */
    int back_gid;
    int64_t min_clock; /* what it claims to know of the own gid */
    int64_t acked;
    int64_t last_ms;
    bool answered_once; /* on this sync */
    struct rm_blocked *held;
};

static struct {
    struct puller pullers[PULLERS_MAX];
    bool was_pulled;
    int64_t full_count, partial_count, refused_count;
} up;

static struct puller *puller_of(uint64_t client)
{
    for (int i = 0; i < PULLERS_MAX; i++) {
        if (up.pullers[i].client == client) {
            return &up.pullers[i];
        }
    }
    return NULL;
}

static struct puller *puller_add(struct rm_ctx *ctx)
{
    uint64_t client = RM_GetClientId(ctx);
    struct rm_client_info info = { .version = 1 };
    struct puller *p = puller_of(client);

    if (p) {
        return p;
    }
    p = puller_of(0);
    if (p && RM_GetClientInfoById(&info, client) == RM_OK) {
        *p = (struct puller){ .client = client, .last_ms = now_mono_ms() };
        text_copy(p->ip, sizeof p->ip, info.addr, strnlen(info.addr, sizeof info.addr));
        return p;
    }
    return NULL;
}

static void release(struct puller *p)
{
    struct rm_blocked *held = p->held;

    p->held = NULL;
    if (held) {
        RM_UnblockClient(held, NULL);
    }
}

static void on_client_event(struct rm_ctx *ctx, struct rm_event event, uint64_t sub, void *data)
{
    const struct rm_client_info *info = data;
    struct puller *p = sub == RM_SUB_CLIENT_GONE && info->id ? puller_of(info->id) : NULL;

    (void)ctx;
    (void)event;
    if (p) {
        p->client = 0;
        release(p);
    }
}

void upstream_cut_all(struct rm_ctx *ctx)
{
    for (int i = 0; i < PULLERS_MAX; i++) {
        if (up.pullers[i].client) {
            RM_DeauthenticateAndCloseClient(ctx, up.pullers[i].client);
        }
    }
}

void upstream_wake(void)
{
    for (int i = 0; i < PULLERS_MAX; i++) {
        if (up.pullers[i].client && up.pullers[i].state == PULLER_ONLINE) {
            release(&up.pullers[i]);
        }
    }
}

static int cmd_auth(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    long long gid;

    if (argc != 3) {
        return RM_WrongArity(ctx);
    }
    if (RM_StringToLongLong(argv[2], &gid) != RM_OK) {
        return RM_ReplyWithError(ctx, "ERR syntax error");
    }
    if (strcmp(arg_text(argv[1]), standin.set.ns) != 0) {
        return RM_ReplyWithError(ctx, "ERR invalid namespace");
    }
    if (gid != standin.set.gid) {
        return RM_ReplyWithError(ctx, "ERR invalid gid");
    }
    return RM_ReplyWithSimpleString(ctx, "OK");
}

static int64_t clock_of(const char *clocks, int gid)
{
    char want[16];
    size_t len = (size_t)snprintf(want, sizeof want, "%d:", gid);

    for (const char *at = clocks; at && *at; at = strchr(at, ';')) {
        at += *at == ';';
        if (strncmp(at, want, len) == 0) {
            return strtoll(at + len, NULL, 10);
        }
    }
    return 0;
}

static void take_option(struct puller *p, const char *name, const char *value)
{
    if (strcasecmp(name, "listening-port") == 0) {
        p->port = (int)strtol(value, NULL, 10);
    } else if (strcasecmp(name, "ip-address") == 0) {
        text_copy(p->ip, sizeof p->ip, value, strlen(value));
    } else if (strcasecmp(name, "min-vc") == 0) {
        p->min_clock = clock_of(value, standin.set.gid);
    } else if (strcasecmp(name, "backstream") == 0) {
        p->gives_back = true;
        p->back_gid = (int)strtol(value, NULL, 10);
    } else if (strcasecmp(name, "ack") == 0) {
        p->acked = strtoll(value, NULL, 10);
    }
    p->last_ms = now_mono_ms();
}

static int cmd_replconf(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    struct puller *p;

    if (argc < 3 || argc % 2 == 0) {
        return RM_ReplyWithError(ctx, "ERR syntax error");
    }
    p = puller_add(ctx);
    if (!p) {
        return RM_ReplyWithError(ctx, "ERR STANDIN too many pullers");
    }
    for (int i = 1; i < argc; i += 2) {
        take_option(p, arg_text(argv[i]), arg_text(argv[i + 1]));
    }
    return RM_ReplyWithSimpleString(ctx, "OK");
}

static int full_resync(struct rm_ctx *ctx)
{
    struct puller *p = puller_of(RM_GetClientId(ctx));
    char line[80];

    if (p) {
        p->state = PULLER_SENDING;
        p->held = NULL;
    }
    up.full_count++;
    (void)snprintf(line, sizeof line, "FULLRESYNC %s 0", standin.run_replid);
    return RM_ReplyWithSimpleString(ctx, line);
}

/* The wait before a full sync is over. */
static int on_sync_delay(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    struct puller *p = puller_of(RM_GetClientId(ctx));

    (void)argv;
    (void)argc;
    if (p) {
        release(p);
    }
    return full_resync(ctx);
}

static bool knows_history(const char *replid)
{
    return strcmp(replid, standin.run_replid) == 0 ||
           (standin.second_offset >= 0 && strcmp(replid, standin.run_replid2) == 0);
}

static int refuse_lost_data(struct rm_ctx *ctx, const struct puller *p)
{
    char text[TEXT_MAX];

    up.refused_count++;
    (void)snprintf(
        text, sizeof text,
        "ERR CRDT.SYNC and CRDT.PSYNC Slave vectorClock , gid(%d) client vc(%d:%lld) > local "
        "vc(%d:%lld)",
        standin.set.gid, standin.set.gid, (long long)p->min_clock, standin.set.gid,
        (long long)feed_clock());
    return RM_ReplyWithError(ctx, text);
}

static int cmd_psync(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    struct puller *p = puller_of(RM_GetClientId(ctx));
    int flags = RM_GetContextFlags(ctx);
    char line[64];

    if (argc != 3) {
        return RM_WrongArity(ctx);
    }
    if (!standin.is_master && (flags & RM_CTX_STALE)) {
        return RM_ReplyWithError(ctx, "NOMASTERLINK Can't SYNC while not connected with my master");
    }
    if (!p || !p->port) {
        return RM_ReplyWithError(ctx, "ERR STANDIN send CRDT.REPLCONF listening-port first");
    }
    if (p->min_clock > feed_clock()) {
        return refuse_lost_data(ctx, p);
    }
    standin_refresh(ctx);
    up.was_pulled = true;
    p->answered_once = false;
    if (knows_history(arg_text(argv[1]))) {
        up.partial_count++;
        p->state = PULLER_ONLINE;
        (void)snprintf(line, sizeof line, "CONTINUE %s", standin.run_replid);
        return RM_ReplyWithSimpleString(ctx, line);
    }
    p->state = PULLER_WAIT_SYNC;
    if (standin.set.sync_delay_ms == 0) {
        return full_resync(ctx);
    }
    p->held = RM_BlockClient(ctx, NULL, on_sync_delay, NULL, standin.set.sync_delay_ms);
    return RM_OK;
}

static int64_t known_clock(int gid)
{
    const struct peer *peer = peer_get(gid);

    return peer && peer->used ? peer->offset : 0;
}

static int answer_pull(struct rm_ctx *ctx, struct puller *p)
{
    bool more;

    p->held = NULL;
    more = feed_reply(ctx, p->back_gid, p->acked, p->gives_back, known_clock(p->back_gid));
    p->answered_once = !more;
    p->state = more ? PULLER_SENDING : PULLER_ONLINE;
    p->last_ms = now_mono_ms();
    return RM_OK;
}

static int on_new_data(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    struct puller *p = puller_of(RM_GetClientId(ctx));

    (void)argv;
    (void)argc;
    return p ? answer_pull(ctx, p) : RM_ReplyWithError(ctx, "ERR STANDIN not a puller");
}

static int on_ping_period(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    struct puller *p = puller_of(RM_GetClientId(ctx));

    if (p) {
        release(p);
    }
    return on_new_data(ctx, argv, argc);
}

/* STANDIN.PULL <gid of the puller> <clock it has> */
static int cmd_pull(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    struct puller *p = puller_of(RM_GetClientId(ctx));
    long long gid, clock;

    if (argc != 3) {
        return RM_WrongArity(ctx);
    }
    if (RM_StringToLongLong(argv[1], &gid) != RM_OK ||
        RM_StringToLongLong(argv[2], &clock) != RM_OK) {
        return RM_ReplyWithError(ctx, "ERR value is not an integer or out of range");
    }
    if (!p || (p->state != PULLER_SENDING && p->state != PULLER_ONLINE)) {
        return RM_ReplyWithError(ctx, "ERR STANDIN send CRDT.PSYNC first");
    }
    p->back_gid = (int)gid;
    p->acked = clock;
    if (!p->answered_once || (standin.is_master && feed_has_after(clock))) {
        return answer_pull(ctx, p);
    }
    p->held = RM_BlockClient(ctx, on_new_data, on_ping_period, NULL,
                             standin.is_master ? standin.set.ping_ms : 0);
    return RM_OK;
}

static int cmd_clock(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    char text[64];

    (void)argv;
    if (argc != 1) {
        return RM_WrongArity(ctx);
    }
    (void)snprintf(text, sizeof text, "%d:%lld", standin.set.gid, (long long)feed_clock());
    return RM_ReplyWithCString(ctx, text);
}

static int64_t lag_s(const struct puller *p)
{
    /* An open PULL is a sign of life, as the ACK once per second is with CRDT Redis. */
    return p->held ? 0 : (now_mono_ms() - p->last_ms) / 1000;
}

void upstream_lines(struct text_out *out)
{
    static const char *const names[] = { "", "wait_bgsave", "send_bulk", "online" };
    int count = 0;
    int n = 0;

    for (int i = 0; i < PULLERS_MAX; i++) {
        count += up.pullers[i].client && up.pullers[i].state != PULLER_AUTH;
    }
    text_add(out, "connected_slaves:%d\r\n", count);
    for (int i = 0; i < PULLERS_MAX; i++) {
        const struct puller *p = &up.pullers[i];
        if (p->client && p->state != PULLER_AUTH) {
            text_add(out, "slave%d:ip=%s,port=%d,state=%s,offset=%lld,lag=%lld\r\n", n++, p->ip,
                     p->port, names[p->state], (long long)p->acked, (long long)lag_s(p));
        }
    }
}

bool upstream_was_pulled(void)
{
    return up.was_pulled;
}

int64_t upstream_full_syncs(void)
{
    return up.full_count;
}

int64_t upstream_partial_syncs(void)
{
    return up.partial_count;
}

int64_t upstream_refused_syncs(void)
{
    return up.refused_count;
}

int upstream_start(struct rm_ctx *ctx)
{
    static const struct {
        const char *name;
        rm_command_fn *run;
    } commands[] = {
        { "crdt.auth", cmd_auth }, { "crdt.replconf", cmd_replconf }, { "crdt.psync", cmd_psync },
        { "crdt.vc", cmd_clock },  { "standin.pull", cmd_pull },
    };

    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (RM_CreateCommand(ctx, commands[i].name, commands[i].run, "admin no-monitor allow-stale",
                             0, 0, 0) != RM_OK) {
            return RM_ERR;
        }
    }
    return RM_SubscribeToServerEvent(ctx, (struct rm_event){ RM_EVENT_CLIENT, 1 }, on_client_event);
}
