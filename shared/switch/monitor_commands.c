/* monitor_commands.c - see monitor_commands.h. */
#include "shared/switch/monitor_commands.h"

#include <stdio.h>

#include "shared/base/mem.h"

#include "shared/base/banned.h"

enum { TEXT_MAX = 1024 };

static bool has_addr(const struct addr *addrs, size_t count, const struct addr *addr)
{
    for (size_t i = 0; i < count; i++) {
        if (addr_eq(&addrs[i], addr)) {
            return true;
        }
    }
    return false;
}

size_t sentinel_addrs(const char *address, struct addr ret_addrs[SENTINELS_MAX], struct str *bad)
{
    const char *cursor = address;
    const char *part = NULL;
    size_t length = 0;
    size_t count = 0;
    while (count < SENTINELS_MAX && text_next_part(&cursor, ",", &part, &length)) {
        struct addr addr;
        if (addr_parse(part, length, &addr, NULL) == 0 && addr_is_numeric(&addr)) {
            if (!has_addr(ret_addrs, count, &addr)) {
                ret_addrs[count++] = addr;
            }
        } else if (bad) {
            str_printf(bad, "%s%.*s", bad->len > 0 ? "," : "", (int)length, part);
        }
    }
    return count;
}

int sentinel_quorum(size_t sentinels)
{
    return (int)sentinels / 2 + 1;
}

void monitor_command_build(const char *name, const struct addr *master, int quorum,
                           struct monitor_command *ret_command)
{
    struct monitor_command *c = ret_command;
    *c = (struct monitor_command){ .words = { "SENTINEL", master ? "MONITOR" : "REMOVE", name },
                                   .count = 3 };
    if (master) {
        (void)snprintf(c->port, sizeof(c->port), "%d", master->port);
        (void)snprintf(c->quorum, sizeof(c->quorum), "%d", quorum);
        c->words[c->count++] = master->host;
        c->words[c->count++] = c->port;
        c->words[c->count++] = c->quorum;
    }
}

char *monitor_command_text(const char *name, const struct addr *master, int quorum)
{
    struct monitor_command command;
    struct str text = STR_INIT(TEXT_MAX);
    monitor_command_build(name, master, quorum, &command);
    for (size_t i = 0; i < command.count; i++) {
        str_printf(&text, "%s%s", i ? " " : "", command.words[i]);
    }
    return str_take(&text);
}
