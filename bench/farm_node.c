/* farm_node.c - see farm_node.h. */
#include "bench/farm_node.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "bench/farm_redis.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define OFFSET_FIRST    1000000000
#define WRONG_PORT      1
#define ROUTE_MAX_BYTES 4096
#define HEX_DIGITS      40
#define PRIORITY_FIRST  100

static const char *const state_texts[] = {
    [FARM_MASTER] = "master", [FARM_SLAVE] = "slave",   [FARM_UNKNOWN] = "UNKNOWN",
    [FARM_ACTIVE] = "ACTIVE", [FARM_BACKUP] = "BACKUP",
};

/* ---- seats ---- */

static void seat_done(struct farm_seat *seat)
{
    free(seat->route);
    *seat = (struct farm_seat){ 0 };
}

static void seat_set(struct farm_seat *seat, const struct farm_seat *from)
{
    struct farm_seat copy = *from;
    copy.route = xstrdup(from->route);
    seat_done(seat);
    *seat = copy;
}

static bool seat_eq(const struct farm_seat *a, const struct farm_seat *b)
{
    return a->state == b->state && strcmp(a->host, b->host) == 0 && a->port == b->port &&
           text_eq(a->route, b->route);
}

void farm_node_init(struct farm_node *n, bool is_keeper, size_t number)
{
    struct farm_seat alone = { .state = is_keeper ? FARM_UNKNOWN : FARM_MASTER };
    *n = (struct farm_node){ .is_keeper = is_keeper,
                             .priority = PRIORITY_FIRST,
                             .number = number,
                             .actual = alone,
                             .wanted = alone };
}

void farm_node_done(struct farm_node *n)
{
    seat_done(&n->actual);
    seat_done(&n->wanted);
}

void farm_node_want(struct farm_node *n, const struct farm_seat *seat)
{
    seat_set(&n->wanted, seat);
}

void farm_node_obey(struct farm_node *n, mono_ms now)
{
    seat_set(&n->actual, &n->wanted);
    n->up_at = now;
}

bool farm_node_is_right(const struct farm_node *n)
{
    return seat_eq(&n->actual, &n->wanted);
}

void farm_node_lose(struct farm_node *n, const char *host)
{
    if (strcmp(n->actual.host, host) == 0) {
        n->up_at = MONO_FOREVER;
    }
}

bool farm_node_spoil(struct farm_node *n, enum farm_spoil how, mono_ms now)
{
    struct farm_seat *seat = &n->actual;
    if ((how == FARM_PROMOTE && n->is_keeper) || (how >= FARM_DEMOTE && !n->is_keeper)) {
        return false;
    }
    if (how == FARM_ELSEWHERE) {
        seat->port = WRONG_PORT;
        n->up_at = MONO_FOREVER;
    } else if (how == FARM_DEMOTE) {
        seat->state = seat->state == FARM_ACTIVE ? FARM_BACKUP : FARM_ACTIVE;
        free(TAKE(seat->route));
        n->up_at = now + FARM_LINK_UP_MS;
    } else {
        seat_done(seat);
        seat->state = how == FARM_PROMOTE ? FARM_MASTER : FARM_UNKNOWN;
    }
    return true;
}

/* ---- commands ---- */

void farm_node_config(struct farm_node *n, size_t argc, char *const *argv, struct str *out)
{
    static const char name[] = "slave-priority";
    const char *word = argc > 1 ? argv[1] : "";
    bool is_priority = argc > 2 && strcasecmp(argv[2], name) == 0;
    int64_t value;
    if (strcasecmp(word, "rewrite") == 0 && argc == 2) {
        str_puts(out, "+OK\r\n");
    } else if (strcasecmp(word, "get") == 0 && argc == 3) {
        AUTO_FREE char *text = xasprintf("%d", n->priority);
        if (is_priority) {
            str_printf(out, "*2\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(name), name, strlen(text),
                       text);
        } else {
            str_puts(out, "*0\r\n");
        }
    } else if (strcasecmp(word, "set") == 0 && argc == 4 && is_priority &&
               text_to_i64(argv[3], strlen(argv[3]), 0, INT_MAX, &value)) {
        n->priority = (int)value;
        str_puts(out, "+OK\r\n");
    } else {
        str_puts(out, "-ERR only REWRITE, and GET and SET of slave-priority are known here\r\n");
    }
}

static struct farm_order refuse(struct str *out, const char *text)
{
    str_printf(out, "-%s\r\n", text);
    return (struct farm_order){ .is_refused = true };
}

/* Sits down where it was told; takes the route. */
static struct farm_order obey(struct farm_node *n, struct farm_seat *seat, mono_ms now)
{
    struct farm_order order = { .is_same = seat_eq(seat, &n->actual),
                                .is_direct = n->wanted.route && seat->state == n->wanted.state &&
                                             !seat->route };
    if (!order.is_same) {
        seat_set(&n->actual, seat);
        n->up_at = seat->port == WRONG_PORT ? MONO_FOREVER : now + FARM_LINK_UP_MS;
    }
    free(TAKE(seat->route));
    return order;
}

struct farm_order farm_node_slaveof(struct farm_node *n, size_t argc, char *const *argv,
                                    mono_ms now, struct str *out)
{
    struct farm_seat seat = { .state = FARM_MASTER };
    int64_t port = 0;
    if (argc != 3) {
        return refuse(out, "ERR wrong number of arguments for 'slaveof' command");
    }
    if (strcasecmp(argv[1], "no") != 0 || strcasecmp(argv[2], "one") != 0) {
        if (!text_to_i64(argv[2], strlen(argv[2]), 0, UINT16_MAX, &port)) {
            return refuse(out, "ERR Invalid master port");
        }
        seat.state = FARM_SLAVE;
        seat.port = (int)port;
        (void)snprintf(seat.host, sizeof(seat.host), "%.15s", argv[1]);
    }
    struct farm_order order = obey(n, &seat, now);
    str_puts(out, order.is_same && seat.state == FARM_SLAVE
                      ? "+OK Already connected to specified master\r\n"
                      : "+OK\r\n");
    return order;
}

/* The words behind "KEEPER SETSTATE state host port": NULL is direct. One word that holds all of the route is ignored, as a
 * keeper ignores it. */
static char *read_route(size_t argc, char *const *argv)
{
    if (argc < 7 || strcasecmp(argv[5], "proxy") != 0) {
        return NULL;
    }
    struct str text = STR_INIT(ROUTE_MAX_BYTES);
    for (size_t i = 6; i < argc; i++) {
        str_printf(&text, "%s%s", i > 6 ? " " : "", argv[i]);
    }
    return str_take(&text);
}

struct farm_order farm_node_setstate(struct farm_node *n, size_t argc, char *const *argv,
                                     mono_ms now, struct str *out)
{
    struct farm_seat seat = { .state = FARM_UNKNOWN };
    int64_t port = 0;
    if (argc < 5) {
        str_printf(out, "-setstate argument error:setstate %s\r\n", argc > 2 ? argv[2] : "");
        return (struct farm_order){ .is_refused = true };
    }
    if (strcmp(argv[2], "ACTIVE") != 0 && strcmp(argv[2], "BACKUP") != 0) {
        str_printf(out, "-No enum constant com.ctrip.xpipe.redis.core.meta.KeeperState.%.32s\r\n",
                   argv[2]);
        return (struct farm_order){ .is_refused = true };
    }
    if (!text_to_i64(argv[4], strlen(argv[4]), 0, UINT16_MAX, &port)) {
        return refuse(out, "For input string");
    }
    seat.state = argv[2][0] == 'A' ? FARM_ACTIVE : FARM_BACKUP;
    seat.port = (int)port;
    (void)snprintf(seat.host, sizeof(seat.host), "%.15s", argv[3]);
    seat.route = read_route(argc, argv);
    str_puts(out, "+OK\r\n");
    return obey(n, &seat, now);
}

/* ---- answers ---- */

const char *farm_node_state_text(const struct farm_node *n)
{
    return state_texts[n->actual.state];
}

static int64_t offset_at(mono_ms now)
{
    return OFFSET_FIRST + now; /* the same everywhere: nobody lags behind */
}

static bool is_up(const struct farm_node *n, mono_ms now)
{
    return n->actual.host[0] && n->up_at <= now;
}

void farm_node_role(const struct farm_node *n, mono_ms now, struct str *out)
{
    const struct farm_seat *seat = &n->actual;
    const char *link = !seat->host[0] ? "none" : is_up(n, now) ? "connected" : "connect";
    const char *host = seat->host[0] ? seat->host : "0.0.0.0";
    if (n->is_keeper) {
        str_printf(out, "*5\r\n+keeper\r\n+%s\r\n:%d\r\n+%s\r\n:%lld\r\n", host, seat->port, link,
                   seat->host[0] ? (long long)offset_at(now) : -1LL);
    } else if (seat->state == FARM_MASTER) {
        str_printf(out, "*3\r\n$6\r\nmaster\r\n:%lld\r\n*0\r\n", (long long)offset_at(now));
    } else {
        str_printf(out, "*5\r\n$5\r\nslave\r\n$%zu\r\n%s\r\n:%d\r\n$%zu\r\n%s\r\n:%lld\r\n",
                   strlen(host), host, seat->port, strlen(link), link, (long long)offset_at(now));
    }
}

static void add_run_id(const struct farm_node *n, const char *name, struct str *out)
{
    str_printf(out, "%s:%0*zx\r\n", name, HEX_DIGITS, n->number * 2654435761U + 1);
}

static void info_replication(const struct farm_node *n, mono_ms now, struct str *out)
{
    const struct farm_seat *seat = &n->actual;
    str_puts(out, n->is_keeper || seat->state == FARM_SLAVE ? "role:slave\r\n" : "role:master\r\n");
    if (n->is_keeper) {
        str_printf(out, "keeperrole:keeper\r\nstate:%s\r\n", farm_node_state_text(n));
    }
    if (seat->host[0]) { /* a keeper says "up" whenever it has a master */
        str_printf(out, "master_host:%s\r\nmaster_port:%d\r\nmaster_link_status:%s\r\n", seat->host,
                   seat->port, n->is_keeper || is_up(n, now) ? "up" : "down");
        str_printf(out, "slave_repl_offset:%lld\r\nslave_priority:%d\r\n",
                   (long long)offset_at(now), n->is_keeper ? 0 : n->priority);
    }
    str_puts(out, "connected_slaves:0\r\n");
    add_run_id(n, "master_replid", out);
    str_printf(out, "master_replid2:%0*d\r\nmaster_repl_offset:%lld\r\nsecond_repl_offset:-1\r\n",
               HEX_DIGITS, 0, (long long)offset_at(now));
    str_puts(out, "repl_backlog_active:1\r\nrepl_backlog_size:1048576\r\n"
                  "repl_backlog_first_byte_offset:1\r\nrepl_backlog_histlen:1048576\r\n");
}

static void info_server(const struct farm_node *n, mono_ms now, struct str *out)
{
    str_puts(out,
             n->is_keeper ? "os:Linux\r\n" : "redis_version:7.0.15\r\nredis_mode:standalone\r\n");
    add_run_id(n, "run_id", out);
    str_printf(out, "uptime_in_seconds:%lld\r\n", (long long)(now / 1000));
}

void farm_node_info(const struct farm_node *n, const char *section, mono_ms now, struct str *out)
{
    if (strcasecmp(section, "server") == 0 || strcasecmp(section, "all") == 0) {
        str_puts(out, "# Server\r\n");
        info_server(n, now, out);
    }
    if (strcasecmp(section, "replication") == 0 || strcasecmp(section, "all") == 0) {
        str_puts(out, "# Replication\r\n");
        info_replication(n, now, out);
    }
}
