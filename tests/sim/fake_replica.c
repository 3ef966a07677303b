/* fake_replica.c - see fake_replica.h. */
#include "tests/sim/fake_replica.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

void fake_replica_init(struct fake_replica *r, const struct addr *addr, bool is_keeper)
{
    *r = (struct fake_replica){
        .addr = *addr,
        .is_keeper = is_keeper,
        .is_up = true,
        .linked_at = MONO_NEVER,
        .sync_until = MONO_NEVER,
        .state = is_keeper ? KEEPER_UNKNOWN : KEEPER_UNSEEN,
        .started_at = clock_mono_ms() - 100000,
        .repl_id = "8a5c1e6fd0b9473e8a5c1e6fd0b9473e8a5c1e6f",
        .offset = 1000,
        .priority = 100,
        .changed_at = MONO_NEVER,
        .commanded_at = MONO_NEVER,
        .answers_at = MONO_NEVER,
    };
}

void fake_replica_point(struct fake_replica *r, const struct addr *master)
{
    r->master = *master;
    r->linked_at = clock_mono_ms();
    r->changed_at = clock_mono_ms();
    r->sync_until = r->linked_at + FAKE_LINK_MS + r->sync_ms;
}

void fake_replica_restart(struct fake_replica *r)
{
    r->min_slaves = 0; /* it has no config file */
    r->run++;
    r->started_at = clock_mono_ms();
    r->changed_at = clock_mono_ms();
    r->linked_at = clock_mono_ms();
    r->route[0] = '\0';
    if (r->is_keeper) {
        r->state = r->state == KEEPER_ACTIVE   ? KEEPER_PRE_ACTIVE
                   : r->state == KEEPER_BACKUP ? KEEPER_PRE_BACKUP
                                               : KEEPER_UNKNOWN;
    }
}

enum role_link fake_replica_link(const struct fake_replica *r)
{
    mono_ms now = clock_mono_ms();
    if (addr_is_none(&r->master)) {
        return ROLE_LINK_NONE;
    }
    if (now < r->linked_at + FAKE_LINK_MS || !r->upstream_is_up(&r->master, r->arg)) {
        return ROLE_LINK_CONNECT;
    }
    return now < r->sync_until ? ROLE_LINK_SYNC : ROLE_LINK_CONNECTED;
}

/* ---- answers ---- */

static struct rreply *answer(enum rreply_type type, const char *text)
{
    return rreply_new_text(type, text, strlen(text));
}

static struct rreply *answer_role(struct fake_replica *r)
{
    r->roles++;
    if (r->role_instead) {
        return answer(RREPLY_ERROR, r->role_instead);
    }
    enum role_link link = fake_replica_link(r);
    if (!r->is_keeper && addr_is_none(&r->master)) {
        struct rreply *parts[] = { answer(RREPLY_BULK, "master"), rreply_new_integer(r->offset),
                                   rreply_new_array(NULL, 0) };
        return rreply_new_array(parts, ARRAY_LEN(parts));
    }
    bool is_none = addr_is_none(&r->master);
    struct rreply *parts[] = {
        answer(RREPLY_BULK, r->is_keeper ? "keeper" : "slave"),
        answer(RREPLY_BULK, is_none ? "0.0.0.0" : r->master.host),
        rreply_new_integer(r->master.port),
        answer(RREPLY_BULK, role_link_text(link)),
        rreply_new_integer(link == ROLE_LINK_CONNECTED ? r->offset : -1),
    };
    return rreply_new_array(parts, ARRAY_LEN(parts));
}

static struct rreply *answer_info(const struct fake_replica *r, const char *section)
{
    struct str text = STR_INIT(4096);
    if (text_eq_nocase(section, "server")) {
        /* A keeper keeps its run id. */
        str_printf(&text, "# Server\r\nredis_version:7.0.15\r\nrun_id:%040d\r\n",
                   r->is_keeper ? 7 : r->run);
        str_printf(&text, "uptime_in_seconds:%lld\r\n",
                   (long long)(clock_mono_ms() - r->started_at) / 1000);
    } else {
        str_printf(&text, "# Replication\r\nrole:%s\r\nmaster_replid:%s\r\n",
                   addr_is_none(&r->master) ? "master" : "slave", r->repl_id);
        str_printf(&text, "slave_priority:%d\r\nslave_repl_offset:%lld\r\n", r->priority,
                   (long long)r->offset);
        str_printf(&text, "master_repl_offset:%lld\r\n", (long long)r->offset);
    }
    struct rreply *reply = rreply_new_text(RREPLY_BULK, str_text(&text), text.len);
    str_done(&text);
    return reply;
}

static struct rreply *answer_priority(const struct fake_replica *r, size_t argc,
                                      const char *const *argv)
{
    xp_check(!r->is_keeper && argc == 3 && text_eq(argv[2], "slave-priority"));
    AUTO_FREE char *value = xasprintf("%d", r->priority);
    struct rreply *parts[] = { answer(RREPLY_BULK, argv[2]), answer(RREPLY_BULK, value) };
    return rreply_new_array(parts, ARRAY_LEN(parts));
}

/* ---- what a fence asks and sets ---- */

static struct rreply *answer_settings(const struct fake_replica *r)
{
    AUTO_FREE char *min_slaves = xasprintf("%lld", (long long)r->min_slaves);
    AUTO_FREE char *priority = xasprintf("%d", r->priority);
    struct rreply *parts[] = {
        answer(RREPLY_BULK, "min-slaves-to-write"), answer(RREPLY_BULK, min_slaves),
        answer(RREPLY_BULK, "min-slaves-max-lag"),  answer(RREPLY_BULK, "10"),
        answer(RREPLY_BULK, "slave-read-only"),     answer(RREPLY_BULK, "yes"),
        answer(RREPLY_BULK, "slave-priority"),      answer(RREPLY_BULK, priority),
    };
    return rreply_new_array(parts, ARRAY_LEN(parts));
}

static struct rreply *answer_write(const struct fake_replica *r)
{
    if (!addr_is_none(&r->master)) {
        return answer(RREPLY_ERROR, "READONLY You can't write against a read only replica.");
    }
    return r->min_slaves > 0 ? answer(RREPLY_ERROR, "NOREPLICAS Not enough good replicas to write.")
                             : rreply_new_integer(0);
}

/* NULL: it is something else. */
static struct rreply *answer_fence(struct fake_replica *r, size_t argc, const char *const *argv)
{
    bool is_config = text_eq_nocase(argv[0], "CONFIG") && argc >= 3;
    if (text_eq_nocase(argv[0], "DEL")) {
        return answer_write(r);
    }
    if (is_config && text_eq_nocase(argv[1], "GET") && !text_eq(argv[2], "slave-priority")) {
        return answer_settings(r);
    }
    if (is_config && text_eq_nocase(argv[1], "SET") && text_has_prefix(argv[2], "min-slaves-")) {
        bool is_write = text_eq(argv[2], "min-slaves-to-write");
        r->min_slaves = is_write ? strtoll(argv[3], NULL, 10) : r->min_slaves;
        return answer(RREPLY_STATUS, "OK");
    }
    return NULL;
}

/* ---- changes ---- */

static void set_master(struct fake_replica *r, const char *host, const char *port)
{
    int64_t number = 0;
    xp_check(text_to_i64(port, strlen(port), 1, 65535, &number));
    struct addr addr = addr_of(host, (int)number);
    if (!addr_eq(&addr, &r->master)) {
        fake_replica_point(r, &addr);
    }
}

static const char *carry_out_slaveof(struct fake_replica *r, size_t argc, const char *const *argv)
{
    xp_check(argc == 3);
    if (text_eq_nocase(argv[1], "no") && text_eq_nocase(argv[2], "one")) {
        struct addr none = { 0 };
        fake_replica_point(r, &none);
    } else {
        set_master(r, argv[1], argv[2]);
    }
    return "OK";
}

/* A route is a word for each hop; one word that holds all of it would be ignored by a keeper. */
static const char *carry_out_setstate(struct fake_replica *r, size_t argc, const char *const *argv)
{
    xp_check(argc >= 5);
    enum keeper_state state = keeper_state_from_text(argv[2]);
    xp_check(state == KEEPER_ACTIVE || state == KEEPER_BACKUP);
    r->state = state;
    r->changed_at = clock_mono_ms();
    r->route[0] = '\0';
    for (size_t i = 5; i < argc; i++) {
        xp_check(strchr(argv[i], ' ') == NULL);
        size_t used = strlen(r->route);
        (void)snprintf(r->route + used, sizeof(r->route) - used, "%s%s", used ? " " : "", argv[i]);
    }
    if (argc > 5) {
        xp_check(text_eq(argv[5], "PROXY") && text_eq(argv[6], "ROUTE") &&
                 text_eq(argv[argc - 1], "TCP"));
    }
    set_master(r, argv[3], argv[4]);
    return "OK";
}

static const char *carry_out(struct fake_replica *r, size_t argc, const char *const *argv)
{
    if (fake_replica_is_priority(argc, argv)) {
        r->priority = (int)strtol(argv[3], NULL, 10);
        r->has_kept_priority = false;
        return "OK";
    }
    return text_eq_nocase(argv[0], "KEEPER") ? carry_out_setstate(r, argc, argv)
                                             : carry_out_slaveof(r, argc, argv);
}

static void note_change(struct fake_replica *r, size_t argc, const char *const *argv)
{
    r->last[0] = '\0';
    for (size_t i = 0; i < argc; i++) {
        size_t used = strlen(r->last);
        (void)snprintf(r->last + used, sizeof(r->last) - used, "%s%s", i ? " " : "", argv[i]);
    }
    bool is_priority = fake_replica_is_priority(argc, argv);
    r->priorities += is_priority;
    r->commands += !is_priority;
    r->has_kept_priority |= is_priority;
    r->commanded_at = clock_mono_ms();
}

static struct rreply *answer_change(struct fake_replica *r, size_t argc, const char *const *argv)
{
    xp_check(text_eq_nocase(argv[0], "KEEPER") == r->is_keeper);
    if (text_eq_nocase(argv[0], "XSLAVEOF") && !r->has_xslaveof) {
        r->xslaveofs++;
        return answer(RREPLY_ERROR, "ERR unknown command 'XSLAVEOF'");
    }
    note_change(r, argc, argv);
    bool is_priority = fake_replica_is_priority(argc, argv) && r->trick == FAKE_REPLICA_HONEST;
    switch (is_priority ? r->keeps_priority : r->trick) {
    case FAKE_REPLICA_REFUSES:
        return answer(RREPLY_ERROR, "ERR not now");
    case FAKE_REPLICA_PRETENDS:
        return answer(RREPLY_STATUS, "OK");
    case FAKE_REPLICA_HANGS:
        return NULL;
    case FAKE_REPLICA_SWALLOWS:
        (void)carry_out(r, argc, argv);
        return NULL;
    case FAKE_REPLICA_HONEST:
        break;
    }
    return answer(RREPLY_STATUS, carry_out(r, argc, argv));
}

bool fake_replica_is_priority(size_t argc, const char *const *argv)
{
    return argc == 4 && text_eq_nocase(argv[0], "CONFIG") && text_eq_nocase(argv[1], "SET") &&
           text_eq_nocase(argv[2], "slave-priority");
}

bool fake_replica_is_change(size_t argc, const char *const *argv)
{
    if (fake_replica_is_priority(argc, argv)) {
        return true;
    }
    return text_eq_nocase(argv[0], "SLAVEOF") || text_eq_nocase(argv[0], "XSLAVEOF") ||
           (argc > 1 && text_eq_nocase(argv[0], "KEEPER") && text_eq_nocase(argv[1], "SETSTATE"));
}

struct rreply *fake_replica_command(struct fake_replica *r, size_t argc, const char *const *argv)
{
    if (r->is_loading) {
        return answer(RREPLY_ERROR, "LOADING Redis is loading the dataset in memory");
    }
    if (text_eq_nocase(argv[0], "ROLE")) {
        return answer_role(r);
    }
    if (text_eq_nocase(argv[0], "INFO")) {
        return answer_info(r, argc > 1 ? argv[1] : "everything");
    }
    struct rreply *fence = r->is_keeper ? NULL : answer_fence(r, argc, argv);
    if (fence) {
        return fence;
    }
    if (fake_replica_is_change(argc, argv)) {
        return answer_change(r, argc, argv);
    }
    if (text_eq_nocase(argv[0], "KEEPER")) {
        xp_check(r->is_keeper && argc == 2 && text_eq_nocase(argv[1], "GETSTATE"));
        return answer(RREPLY_STATUS, keeper_state_text(r->state));
    }
    if (text_eq_nocase(argv[0], "CONFIG") && text_eq_nocase(argv[1], "GET")) {
        return answer_priority(r, argc, argv);
    }
    if (text_eq_nocase(argv[0], "CONFIG")) {
        xp_check(argc == 2 && text_eq_nocase(argv[1], "REWRITE"));
        r->rewrites++;
        return answer(RREPLY_ERROR, "ERR The server is running without a config file");
    }
    xp_check(text_eq_nocase(argv[0], "CLIENT"));
    return answer(RREPLY_STATUS, "OK");
}
