/* monitor_commands.h - the words by which sentinels are told what to watch: sent by the metaserver (meta/primary/sentinel_monitors.c), foretold by
 * the console's plan of a migration. Decides nothing. Thread: any. */
#ifndef SHARED_SWITCH_MONITOR_COMMANDS_H
#define SHARED_SWITCH_MONITOR_COMMANDS_H

#include "shared/base/addr.h"
#include "shared/base/str.h"

#define SENTINELS_MAX     5 /* of a group that are used: the first ones */
#define MONITOR_WORDS_MAX 6

/* "ip:port,ip:port": numeric ones, each once. What else stands there is added to 'bad', joined by commas (NULL: not wanted). */
size_t sentinel_addrs(const char *address, struct addr ret_addrs[SENTINELS_MAX], struct str *bad);
/* A majority: 3 of 5, 2 of 3, 1 of 1. */
int sentinel_quorum(size_t sentinels);

struct monitor_command {
    const char *words[MONITOR_WORDS_MAX]; /* borrow from name, master and the two below */
    size_t count;
    char port[12];
    char quorum[12];
};
/* SENTINEL MONITOR name ip port quorum; without a master: SENTINEL REMOVE name. */
void monitor_command_build(const char *name, const struct addr *master, int quorum,
                           struct monitor_command *ret_command);
/* For people; owned. */
char *monitor_command_text(const char *name, const struct addr *master, int quorum);

#endif
