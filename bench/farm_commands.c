/* farm_commands.c - commands to answers, and the faults that take the answer's place. A new fault is a row of 'faults', a new command
 * one of 'commands', with what CRDT Redis, plain Redis and keepers make of it. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "bench/farm.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define BULK_BYTES     (100LL * 1024 * 1024)
#define INFO_MAX_BYTES 8192

/* ---- answers ---- */

static void add_bulk(struct str *out, const char *text, size_t length)
{
    str_printf(out, "$%zu\r\n", length);
    str_add(out, text, length);
    str_puts(out, "\r\n");
}

static void answer_role(struct farm *f, const struct farm_call *call, struct str *out)
{
    (void)f;
    if (call->redis->is_slave) {
        str_puts(out,
                 "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:6379\r\n$9\r\nconnected\r\n:456\r\n");
    } else {
        str_puts(out, "*3\r\n$6\r\nmaster\r\n:456\r\n*1\r\n"
                      "*3\r\n$9\r\n127.0.0.1\r\n$4\r\n6380\r\n$3\r\n456\r\n");
    }
}

static void answer_info(struct farm *f, const struct farm_call *call, struct str *out)
{
    (void)f;
    const struct farm_redis *r = call->redis;
    char text[512];
    int length = snprintf(text, sizeof(text),
                          "# Server\r\nredis_version:4.0.8\r\nxredis_crdt_version:1.0.22\r\n"
                          "redis_git_sha1:ecf2a7b7\r\nredis_git_dirty:0\r\n"
                          "redis_build_id:22f839f50957ff86\r\nredis_mode:standalone\r\n"
                          "os:Linux x86_64\r\nprocess_id:%zu\r\nrun_id:%040zx\r\ntcp_port:6379\r\n"
                          "uptime_in_seconds:86400\r\nuptime_in_days:1\r\n",
                          r->number + 1, r->number * 2654435761U);
    add_bulk(out, text, (size_t)length);
}

static void answer_peerof(struct farm *f, const struct farm_call *call, struct str *out)
{
    struct farm_redis *r = call->redis;
    mono_ms now = loop_now(f->loop);
    bool was_broken = r->broken_at != MONO_NEVER;
    int64_t took_ms = was_broken ? now - r->broken_at : 0;
    f->report.harmful += farm_redis_is_harmful(r, call->argc, call->argv);
    str_puts(out, farm_redis_peerof(r, call->argc, call->argv, now));
    bool is_right = farm_redis_is_right(r);
    farm_client_commanded(f, r, *call->client,
                          !was_broken ? FARM_NEEDLESS
                          : is_right  ? FARM_CORRECTED
                                      : FARM_NOT_MENDED,
                          took_ms);
    if (was_broken && is_right) {
        farm_report_corrected(f, took_ms);
        r->broken_at = MONO_NEVER;
        r->mended_at = now;
    } else if (!was_broken) {
        f->report.needless++;
        r->broken_at = is_right ? MONO_NEVER : now;
    }
}

static void answer_crdt_info(struct farm *f, const struct farm_call *call, struct str *out)
{
    struct farm_redis *r = call->redis;
    if (call->argc != 2 || strcasecmp(call->argv[1], "replication") != 0) {
        str_puts(out, "$0\r\n\r\n");
        return;
    }
    const struct str *info = farm_redis_info(r, loop_now(f->loop));
    add_bulk(out, info->buf, info->len);
    farm_report_poll(f, r);
    farm_client_polled(f, r, *call->client);
}

static void answer_client(struct farm *f, const struct farm_call *call, struct str *out)
{
    bool is_name = call->argc == 3 && strcasecmp(call->argv[1], "SETNAME") == 0;
    bool ok = is_name && farm_client_named(f, call->redis, call->argv[2], call->client);
    str_puts(out, ok ? "+OK\r\n" : "-ERR only CLIENT SETNAME with a plain name is known here\r\n");
}

static void answer_ok(struct farm *f, const struct farm_call *call, struct str *out)
{
    (void)f;
    (void)call;
    str_puts(out, "+OK\r\n");
}

static void answer_pong(struct farm *f, const struct farm_call *call, struct str *out)
{
    (void)f;
    (void)call;
    str_puts(out, "+PONG\r\n");
}

/* ---- plain Redis and keepers ---- */

static void answer_node_role(struct farm *f, const struct farm_call *call, struct str *out)
{
    farm_node_role(call->redis->node, loop_now(f->loop), out);
    farm_report_poll(f, call->redis);
    farm_client_polled(f, call->redis, *call->client);
}

static void answer_node_info(struct farm *f, const struct farm_call *call, struct str *out)
{
    const struct farm_node *n = call->redis->node;
    struct str text = STR_INIT(INFO_MAX_BYTES);
    if (n->is_keeper && n->actual.state == FARM_UNKNOWN) { /* its store is empty */
        str_puts(out, "-Cannot invoke \"ReplStage.getBegOffsetRepl()\" because it is null\r\n");
        return;
    }
    farm_node_info(n, call->argc > 1 ? call->argv[1] : "all", loop_now(f->loop), &text);
    add_bulk(out, str_text(&text), text.len);
    str_done(&text);
}

static void answer_node_config(struct farm *f, const struct farm_call *call, struct str *out)
{
    (void)f;
    farm_node_config(call->redis->node, call->argc, call->argv, out);
}

static void answer_slaveof(struct farm *f, const struct farm_call *call, struct str *out)
{
    struct farm_order order =
        farm_node_slaveof(call->redis->node, call->argc, call->argv, loop_now(f->loop), out);
    farm_tree_told(f, call, &order);
}

static void answer_keeper(struct farm *f, const struct farm_call *call, struct str *out)
{
    struct farm_node *n = call->redis->node;
    const char *word = call->argc > 1 ? call->argv[1] : "";
    if (strcasecmp(word, "getstate") == 0) {
        f->report.commands[FARM_GETSTATE]++;
        str_printf(out, "+%s\r\n", farm_node_state_text(n));
    } else if (strcasecmp(word, "setstate") == 0) {
        f->report.commands[FARM_SETSTATE]++;
        struct farm_order order =
            farm_node_setstate(n, call->argc, call->argv, loop_now(f->loop), out);
        farm_tree_told(f, call, &order);
    } else if (word[0]) { /* "keeper" alone is not answered */
        str_printf(out, "-unknown command:%.64s\r\n", word);
    }
}

typedef void answer_fn(struct farm *, const struct farm_call *, struct str *out);

static const struct {
    const char *name;
    enum farm_command command;
    answer_fn *crdt; /* NULL: unknown to it */
    answer_fn *plain;
    answer_fn *keeper;
} commands[] = {
    { "ROLE", FARM_ROLE, answer_role, answer_node_role, answer_node_role },
    { "CRDT.INFO", FARM_CRDT_INFO, answer_crdt_info, NULL, NULL },
    { "INFO", FARM_INFO, answer_info, answer_node_info, answer_node_info },
    { "PEEROF", FARM_PEEROF, answer_peerof, NULL, NULL },
    { "SLAVEOF", FARM_SLAVEOF, NULL, answer_slaveof, NULL },
    { "REPLICAOF", FARM_SLAVEOF, NULL, answer_slaveof, NULL },
    { "KEEPER", FARM_COMMANDS, NULL, NULL, answer_keeper },         /* counted by its second word */
    { "CONFIG", FARM_CONFIG, answer_ok, answer_node_config, NULL }, /* REWRITE; priority */
    { "CLIENT", FARM_CLIENT, answer_client, answer_client, answer_client },
    { "AUTH", FARM_AUTH, answer_ok, answer_ok, NULL },
    { "PING", FARM_PING, answer_pong, answer_pong, answer_pong },
};

static void answer_unknown(const struct farm_call *call, struct str *out)
{
    const struct farm_node *n = call->redis->node;
    if (n && n->is_keeper) {
        str_printf(out, "-unsupported command:%.64s\r\n", call->argv[0]);
        return;
    }
    str_printf(out, "-ERR unknown command '%.64s'", call->argv[0]);
    if (n) { /* Redis 7 */
        str_puts(out, ", with args beginning with: ");
        for (size_t i = 1; i < call->argc; i++) {
            str_printf(out, "'%.64s' ", call->argv[i]);
        }
    }
    str_puts(out, "\r\n");
}

static void answer(struct farm *f, const struct farm_call *call, struct str *out)
{
    const struct farm_node *n = call->redis->node;
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        answer_fn *fn = !n             ? commands[i].crdt
                        : n->is_keeper ? commands[i].keeper
                                       : commands[i].plain;
        if (fn && strcasecmp(call->argv[0], commands[i].name) == 0) {
            if (commands[i].command != FARM_COMMANDS) {
                f->report.commands[commands[i].command]++;
            }
            fn(f, call, out);
            return;
        }
    }
    f->report.commands[FARM_OTHER]++;
    answer_unknown(call, out);
}

/* ---- faults: what becomes of an answer that begins at 'from' of 'a->out' ---- */

static void cut(struct str *out, size_t length)
{
    if (out->buf) {
        out->len = length;
        out->buf[length] = '\0';
    }
}

static enum farm_effect fault_none(struct farm *f, size_t from, struct farm_answer *a)
{
    (void)f;
    (void)from;
    (void)a;
    return FARM_ANSWER;
}

static enum farm_effect fault_mute(struct farm *f, size_t from, struct farm_answer *a)
{
    (void)f;
    cut(a->out, from);
    return FARM_SILENCE;
}

/* The command is carried out, and half of the answer comes. */
static enum farm_effect fault_half(struct farm *f, size_t from, struct farm_answer *a)
{
    (void)f;
    cut(a->out, from + (a->out->len - from) / 2);
    return FARM_SILENCE;
}

static enum farm_effect fault_cut(struct farm *f, size_t from, struct farm_answer *a)
{
    (void)fault_half(f, from, a);
    return FARM_CLOSE;
}

static enum farm_effect fault_garbage(struct farm *f, size_t from, struct farm_answer *a)
{
    cut(a->out, from);
    for (size_t i = 0; i < 32; i++) {
        uint64_t bytes = farm_random(f);
        str_add(a->out, &bytes, sizeof(bytes));
    }
    return FARM_ANSWER;
}

static enum farm_effect fault_twice(struct farm *f, size_t from, struct farm_answer *a)
{
    (void)f;
    size_t length = a->out->len - from;
    AUTO_FREE char *copy = xmemdup(a->out->buf + from, length);
    str_add(a->out, copy, length);
    return FARM_ANSWER;
}

static enum farm_effect fault_loading(struct farm *f, size_t from, struct farm_answer *a)
{
    (void)f;
    cut(a->out, from);
    str_puts(a->out, "-LOADING Redis is loading the dataset in memory\r\n");
    return FARM_ANSWER;
}

static enum farm_effect fault_bulk(struct farm *f, size_t from, struct farm_answer *a)
{
    (void)f;
    cut(a->out, from);
    str_printf(a->out, "$%lld\r\n", BULK_BYTES);
    a->stream_bytes = BULK_BYTES;
    return FARM_STREAM;
}

static enum farm_effect fault_line(struct farm *f, size_t from, struct farm_answer *a)
{
    (void)f;
    cut(a->out, from);
    str_putc(a->out, '+');
    a->stream_bytes = INT64_MAX;
    return FARM_STREAM;
}

static const struct {
    const char *name;
    enum farm_effect (*apply)(struct farm *, size_t from, struct farm_answer *);
} faults[] = {
    { "none", fault_none },       { "mute", fault_mute },   { "half", fault_half },
    { "cut", fault_cut },         { "twice", fault_twice }, { "garbage", fault_garbage },
    { "loading", fault_loading }, { "bulk", fault_bulk },   { "line", fault_line },
};

size_t farm_fault_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        if (strcmp(name, faults[i].name) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

const char *farm_fault_names(void)
{
    return "none, mute, half, cut, twice, garbage, loading, bulk, line";
}

enum farm_effect farm_answer(struct farm *f, const struct farm_call *call,
                             struct farm_answer *ret_answer)
{
    size_t from = ret_answer->out->len;
    size_t fault = call->redis->fault;
    if (faults[fault].apply == fault_mute) { /* a hung server does not carry out what it is told */
        f->report.unanswered++;
        return FARM_SILENCE;
    }
    answer(f, call, ret_answer->out);
    return faults[fault].apply(f, from, ret_answer);
}
