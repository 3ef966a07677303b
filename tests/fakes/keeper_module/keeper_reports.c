/* keeper_reports.c - ROLE, INFO and KINFO of a keeper (4.3, 4.4), made of what redis-server says about itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tests/fakes/keeper_module/keeper_standin.h"
#include "tests/fakes/redis_module/text_out.h"

#include "shared/base/banned.h"

enum { INFO_MAX = 32 * 1024 };

static const char no_replid[] = "0000000000000000000000000000000000000000";
static int64_t started_ms;

/* ---- ROLE ---- */

/* Element 3 (link) and 4 (offset) of redis-server's own answer. */
static void read_link(struct rm_ctx *ctx, char *link, size_t size, long long *ret_offset)
{
    struct rm_reply *reply = RM_Call(ctx, "ROLE", "");
    size_t len = 0;

    if (reply && RM_CallReplyType(reply) == RM_REPLY_ARRAY && RM_CallReplyLength(reply) == 5) {
        const char *text = RM_CallReplyStringPtr(RM_CallReplyArrayElement(reply, 3), &len);
        text_copy(link, size, text, len);
        *ret_offset = RM_CallReplyInteger(RM_CallReplyArrayElement(reply, 4));
    }
    if (reply) {
        RM_FreeCallReply(reply);
    }
}

static int cmd_role(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    bool has_master = keeper.target.port > 0;
    char link[32] = "none";
    long long offset = -1;

    (void)argv;
    (void)argc;
    read_link(ctx, link, sizeof link, &offset);
    RM_ReplyWithArray(ctx, 5);
    RM_ReplyWithSimpleString(ctx, "keeper");
    RM_ReplyWithSimpleString(ctx, has_master ? keeper.target.host : "0.0.0.0");
    RM_ReplyWithLongLong(ctx, keeper.target.port);
    RM_ReplyWithSimpleString(ctx, link);
    return RM_ReplyWithLongLong(ctx, offset);
}

/* ---- INFO ---- */

/* What redis-server says in a section, as text. */
static void read_info(struct rm_ctx *ctx, const char *section, char *out, size_t size)
{
    struct rm_reply *reply = RM_Call(ctx, "INFO", "c", section);
    size_t len = 0;

    out[0] = '\0';
    if (reply && RM_CallReplyType(reply) == RM_REPLY_STRING) {
        const char *text = RM_CallReplyStringPtr(reply, &len);
        text_copy(out, size, text, len);
    }
    if (reply) {
        RM_FreeCallReply(reply);
    }
}

static void field(const char *info, const char *name, char *out, size_t size)
{
    char key[64];
    const char *at;

    (void)snprintf(key, sizeof key, "\n%s:", name);
    at = strstr(info, key);
    out[0] = '\0';
    if (at) {
        at += strlen(key);
        text_copy(out, size, at, strcspn(at, "\r\n"));
    }
}

static long long number(const char *info, const char *name)
{
    char text[32];

    field(info, name, text, sizeof text);
    return strtoll(text, NULL, 10);
}

/* The "slaveN" lines, with the names that a keeper has for their states. remotePort is the one thing redis-server does not tell. */
static void add_replicas(struct text_out *out, const char *info)
{
    static const char busy[] = "state=wait_bgsave";
    long long count = number(info, "connected_slaves");

    text_add(out, "connected_slaves:%lld\r\n", count);
    for (long long i = 0; i < count; i++) {
        char name[32], line[TEXT_MAX];
        (void)snprintf(name, sizeof name, "slave%lld", i);
        field(info, name, line, sizeof line);
        char *wait = strstr(line, busy);
        if (wait) {
            text_add(out, "%s:%.*sstate=wait_rdb_dumping%s\r\n", name, (int)(wait - line), line,
                     wait + sizeof busy - 1);
        } else {
            text_add(out, "%s:%s\r\n", name, line);
        }
    }
}

static void add_replication(struct text_out *out, struct rm_ctx *ctx)
{
    static char info[INFO_MAX];

    read_info(ctx, "replication", info, sizeof info);
    text_add(out, "# Replication\r\nrole:slave\r\nkeeperrole:keeper\r\nstate:%s\r\n",
             keeper_state_text(keeper.state));
    if (keeper.target.port > 0) {
        text_add(out, "master_host:%s\r\nmaster_port:%d\r\nmaster_link_status:up\r\n",
                 keeper.target.host, keeper.target.port);
    }
    text_add(out, "slave_repl_offset:%lld\r\nslave_priority:0\r\n",
             number(info, "master_repl_offset"));
    add_replicas(out, info);
    text_add(out, "master_replid:%s\r\nmaster_replid2:%s\r\n", no_replid, no_replid);
    text_add(out, "master_repl_offset:%lld\r\nsecond_repl_offset:%lld\r\n",
             number(info, "master_repl_offset"), number(info, "second_repl_offset"));
    text_add(out,
             "repl_backlog_active:1\r\nrepl_backlog_first_byte_offset:%lld\r\n"
             "repl_backlog_size:%lld\r\nrepl_backlog_histlen:%lld\r\n",
             number(info, "repl_backlog_first_byte_offset"),
             number(info, "repl_backlog_histlen") + 1, number(info, "repl_backlog_histlen"));
    text_add(out, "rordb_file_size:0\r\nrdb_file_size:0\r\nrordb_last_offset:0\r\n"
                  "rdb_last_offset:0\r\nrordb_gtid_set:\r\nrdb_gtid_set:\r\n");
}

static void add_server(struct text_out *out, struct rm_ctx *ctx)
{
    (void)ctx;
    text_add(out, "# Server\r\nos:Linux\r\nrun_id:%s\r\nuptime_in_seconds:%lld\r\n",
             keeper.set.run_id, (long long)(now_mono_ms() - started_ms) / 1000);
}

static void add_stats(struct text_out *out, struct rm_ctx *ctx)
{
    static const char *const names[] = {
        "sync_full",
        "sync_partial_ok",
        "sync_partial_err",
        "total_net_input_bytes",
        "total_net_output_bytes",
        "instantaneous_input_kbps",
        "instantaneous_output_kbps",
    };
    static char info[INFO_MAX];

    read_info(ctx, "stats", info, sizeof info);
    text_add(out, "# Stats\r\n");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char value[32];
        field(info, names[i], value, sizeof value);
        text_add(out, "%s:%s\r\n", names[i], value);
    }
}

static void add_gtid(struct text_out *out, struct rm_ctx *ctx)
{
    static char info[INFO_MAX];
    char replid[RUN_ID_LEN + 1], replid2[RUN_ID_LEN + 1];
    long long begin;

    read_info(ctx, "replication", info, sizeof info);
    field(info, "master_replid", replid, sizeof replid);
    field(info, "master_replid2", replid2, sizeof replid2);
    begin = number(info, "repl_backlog_first_byte_offset");
    text_add(out,
             "# Gtid\r\ngtid_master_uuid:\r\ngtid_executed:\r\ngtid_lost:\r\n"
             "cur_repl:PSYNC|%s:%lld:0;%s:%lld\r\nprev_repl:\r\n",
             replid, begin, replid2, number(info, "second_repl_offset"));
}

static void add_keeper(struct text_out *out, struct rm_ctx *ctx)
{
    (void)ctx;
    text_add(out, "# Keeper\r\nmaster_type:%s\r\n",
             keeper.state == KEEPER_BACKUP ? "keeper" : "redis");
}

static const struct {
    const char *name;
    bool needs_data; /* a real keeper fails where it looks into its empty store */
    void (*add)(struct text_out *, struct rm_ctx *);
} sections[] = {
    { "server", false, add_server }, { "replication", true, add_replication },
    { "stats", false, add_stats },   { "gtid", true, add_gtid },
    { "keeper", false, add_keeper },
};

static bool section_is_asked(const char *asked, const char *name)
{
    return strcasecmp(asked, "all") == 0 || strcasecmp(asked, name) == 0;
}

static int cmd_info(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    static struct text_out out;
    const char *asked = argc > 2 ? arg_text(argv[2]) : "all";
    int count = 0;

    out.len = 0;
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (!section_is_asked(asked, sections[i].name)) {
            continue;
        }
        if (sections[i].needs_data && !keeper.has_data) {
            return RM_ReplyWithError(
                ctx,
                "Cannot invoke \"com.ctrip.xpipe.redis.core.store.ReplStage.getBegOffsetRepl()\" "
                "because \"replStage\" is null");
        }
        text_add(&out, "%s", count++ > 0 ? "\r\n" : "");
        sections[i].add(&out, ctx);
    }
    return count > 0 ? RM_ReplyWithStringBuffer(ctx, out.text, out.len)
                     : RM_ReplyWithError(
                           ctx, "Cannot invoke \"InfoHandler$Section.info()\" because it is null");
}

static int cmd_kinfo(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    char text[TEXT_MAX];

    (void)argv;
    (void)argc;
    (void)snprintf(text, sizeof text, "{\"keeperRunid\":\"%s\",\"keeperState\":\"%s\"}",
                   keeper.set.run_id, keeper_state_text(keeper.state));
    return RM_ReplyWithCString(ctx, text);
}

int keeper_reports_start(struct rm_ctx *ctx)
{
    static const char flags[] = "admin no-monitor allow-loading allow-stale";

    started_ms = now_mono_ms();
    return RM_CreateCommand(ctx, "standin.role", cmd_role, flags, 0, 0, 0) == RM_OK &&
                   RM_CreateCommand(ctx, "standin.info", cmd_info, flags, 0, 0, 0) == RM_OK &&
                   RM_CreateCommand(ctx, "kinfo", cmd_kinfo, flags, 0, 0, 0) == RM_OK
               ? RM_OK
               : RM_ERR;
}
