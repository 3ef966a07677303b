/* standin_module.c - start of the stand-in: load arguments, role, and the parts in their order.
 *
 * loadmodule crdt_module.so gid 1 namespace default version 1.0.22 tick-ms 1000 sync-delay-ms 0
 * lazy-ms 11000
 *            ping-ms 10000 timeout-ms 60000 state-file PATH crash abort|flag
 * Only gid is required. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fakes/crdt_module/standin_control.h"
#include "tests/fakes/crdt_module/standin_info.h"
#include "tests/fakes/crdt_module/feed.h"
#include "tests/fakes/crdt_module/filter.h"
#include "tests/fakes/crdt_module/standin_link.h"
#include "tests/fakes/crdt_module/peer_table.h"
#include "tests/fakes/crdt_module/standin_peerof.h"
#include "tests/fakes/crdt_module/rdb_aux.h"
#include "tests/fakes/crdt_module/state_file.h"
#include "tests/fakes/crdt_module/upstream.h"

#include "shared/base/banned.h"

/* clang-format off */
struct standin standin = {
    .set = {
        .ns = "default", .version_text = "1.0.22", .version = {1, 0, 22}, .tick_ms = 1000,
        .lazy_ms = 11000,
        .ping_ms = 10000, .timeout_ms = 60000, .crash_aborts = true,
    },
    .is_master = true,
    .second_offset = -1,
};
/* clang-format on */

int RedisModule_OnLoad(struct rm_ctx *ctx, struct rm_string **argv, int argc);
int RedisModule_OnUnload(struct rm_ctx *ctx);

bool version_parse(const char *text, struct version *ret)
{
    int parts[3];

    for (int i = 0; i < 3; i++) {
        char *end = NULL;
        long number = strtol(text, &end, 10);
        if (end == text || number < 0 || number > 9999 || *end != (i < 2 ? '.' : '\0')) {
            return false;
        }
        parts[i] = (int)number;
        text = end + 1;
    }
    *ret = (struct version){ parts[0], parts[1], parts[2] };
    return true;
}

bool version_is_at_least(int major, int minor, int patch)
{
    const struct version *v = &standin.set.version;

    if (v->major != major) {
        return v->major > major;
    }
    return v->minor != minor ? v->minor > minor : v->patch >= patch;
}

bool standin_is_loading(void)
{
    return standin.faults.loading || (standin.is_master && peer_any_owes());
}

static void read_line(const char *info, const char *name, char *out, size_t size)
{
    const char *at = strstr(info, name);

    if (at) {
        at += strlen(name);
        text_copy(out, size, at, strcspn(at, "\r\n"));
    }
}

static void read_replication(struct rm_ctx *ctx)
{
    struct rm_reply *reply = RM_Call(ctx, "INFO", "c", "replication");
    char text[4096];
    char offset[32] = "-1";
    size_t len = 0;

    if (!reply || RM_CallReplyType(reply) != RM_REPLY_STRING) {
        return;
    }
    const char *info = RM_CallReplyStringPtr(reply, &len);
    /* The wanted lines are the last ones; a server with many replicas has a long answer. */
    size_t skip = len >= sizeof text ? len - sizeof text + 1 : 0;
    text_copy(text, sizeof text, info + skip, len - skip);
    read_line(text, "\nmaster_replid:", standin.run_replid, sizeof standin.run_replid);
    read_line(text, "\nmaster_replid2:", standin.run_replid2, sizeof standin.run_replid2);
    read_line(text, "\nsecond_repl_offset:", offset, sizeof offset);
    standin.second_offset = strtoll(offset, NULL, 10);
    RM_FreeCallReply(reply);
}

static void set_role(struct rm_ctx *ctx, bool is_master)
{
    int gid = 0;

    if (standin.is_master == is_master) {
        return;
    }
    standin.is_master = is_master;
    if (!is_master) {
        peer_cut_all();
        upstream_cut_all(ctx);
        return;
    }
    feed_jump(0);
    peer_take_over();
    for (int i = 0; peer_nth(i, &gid); i++) {
        link_thread_start(gid);
    }
}

void standin_refresh(struct rm_ctx *ctx)
{
    set_role(ctx, (RM_GetContextFlags(ctx) & RM_CTX_MASTER) != 0);
    read_replication(ctx);
}

static void on_role(struct rm_ctx *ctx, struct rm_event event, uint64_t sub, void *data)
{
    (void)event;
    (void)data;
    set_role(ctx, sub == RM_SUB_NOW_MASTER);
}

static void read_config(struct rm_ctx *ctx, const char *name, char *out, size_t size)
{
    struct rm_reply *reply = RM_Call(ctx, "CONFIG", "cc", "GET", name);
    size_t len = 0;

    out[0] = '\0';
    if (reply && RM_CallReplyType(reply) == RM_REPLY_ARRAY && RM_CallReplyLength(reply) == 2) {
        const char *text = RM_CallReplyStringPtr(RM_CallReplyArrayElement(reply, 1), &len);
        text_copy(out, size, text, len);
    }
    if (reply) {
        RM_FreeCallReply(reply);
    }
}

/* A master that starts without any data, but with peers, owes its clients the data those peers
 * have (8.1). */
static void owe_if_empty(struct rm_ctx *ctx)
{
    struct rm_reply *reply = RM_Call(ctx, "DBSIZE", "");
    bool is_empty = reply && RM_CallReplyInteger(reply) == 0;
    int gid = 0;

    if (reply) {
        RM_FreeCallReply(reply);
    }
    if (!is_empty || !standin.is_master) {
        return;
    }
    for (int i = 0;; i++) {
        struct peer *p = peer_nth(i, &gid);
        if (!p) {
            break;
        }
        p->owes = true;
        p->owed_clock = 0;
        p->has_replid = false;
    }
}

/* Once, when the event loop runs: data files are loaded and the port is known. 'restarted' comes
 * as data. */
static void on_first_tick(struct rm_ctx *ctx, void *restarted)
{
    char port[16];
    int gid = 0;

    read_config(ctx, "port", port, sizeof port);
    standin.listening_port = (int)strtol(port, NULL, 10);
    read_config(ctx, "replica-announce-ip", standin.announce_ip, sizeof standin.announce_ip);
    standin_refresh(ctx);
    if (restarted) {
        owe_if_empty(ctx);
    }
    for (int i = 0; peer_nth(i, &gid); i++) {
        link_thread_start(gid);
    }
}

static int read_arguments(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    if (argc % 2 != 0) {
        RM_Log(ctx, "warning", "standin: load arguments are pairs of name and value");
        return RM_ERR;
    }
    for (int i = 0; i < argc; i += 2) {
        if (!setting_apply(arg_text(argv[i]), arg_text(argv[i + 1]))) {
            RM_Log(ctx, "warning", "standin: bad load argument: %s %s", arg_text(argv[i]),
                   arg_text(argv[i + 1]));
            return RM_ERR;
        }
    }
    if (standin.set.gid == 0) {
        RM_Log(ctx, "warning", "standin: load argument 'gid' (1..15) is missing");
        return RM_ERR;
    }
    return RM_OK;
}

static int start_parts(struct rm_ctx *ctx, bool restarted)
{
    static const char flags[] = "admin no-monitor allow-loading allow-stale";

    if (feed_start(ctx) != RM_OK || rdb_aux_start(ctx, restarted) != RM_OK ||
        peerof_start(ctx) != RM_OK || upstream_start(ctx) != RM_OK || control_start(ctx) != RM_OK ||
        filter_start(ctx) != RM_OK) {
        return RM_ERR;
    }
    if (RM_CreateCommand(ctx, "crdt.info", cmd_crdt_info, flags, 0, 0, 0) != RM_OK) {
        return RM_ERR;
    }
    return RM_SubscribeToServerEvent(ctx, (struct rm_event){ RM_EVENT_ROLE, 1 }, on_role);
}

int RedisModule_OnLoad(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    const char *missing = redis_api_load(ctx);
    bool restarted = false;
    static char is_restart;

    if (missing) {
        (void)fprintf(stderr, "standin: this Redis has no module function %s; 7.0 is needed\n",
                      missing);
        return RM_ERR;
    }
    RM_SetModuleAttribs(ctx, "crdt-standin", 1, RM_API_VERSION);
    standin.is_master = (RM_GetContextFlags(ctx) & RM_CTX_MASTER) != 0;
    standin.thread_ctx = RM_GetDetachedThreadSafeContext(ctx);
    srandom((unsigned)now_wall_us());
    if (read_arguments(ctx, argv, argc) != RM_OK || !state_file_load(&restarted) ||
        start_parts(ctx, restarted) != RM_OK) {
        return RM_ERR;
    }
    RM_CreateTimer(ctx, 1, on_first_tick, restarted ? &is_restart : NULL);
    return RM_OK;
}

/* The link threads live as long as the process. */
int RedisModule_OnUnload(struct rm_ctx *ctx)
{
    (void)ctx;
    return RM_ERR;
}
