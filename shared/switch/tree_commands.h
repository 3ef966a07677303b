/* tree_commands.h - the words of the commands that make instances of a one-way shard follow each other (proxy-and-keeper.md 4.2): sent by the
 * metaserver's tree duty, foretold by the console's plan of a migration. Decides nothing. Thread: any. */
#ifndef SHARED_SWITCH_TREE_COMMANDS_H
#define SHARED_SWITCH_TREE_COMMANDS_H

#include "shared/base/addr.h"

#define TREE_WORDS_MAX    32 /* of a command, those of its route included */
#define TREE_PRIORITY_KEY "slave-priority"

enum tree_command_kind {
    TREE_COMMAND_SET_ACTIVE, /* KEEPER SETSTATE ACTIVE ip port [PROXY ROUTE ... TCP] */
    TREE_COMMAND_SET_BACKUP, /* KEEPER SETSTATE BACKUP ip port [...] */
    TREE_COMMAND_FOLLOW,     /* <verb> ip port */
    TREE_COMMAND_PROMOTE,    /* <verb> NO ONE */
    TREE_COMMAND_SET_PRIORITY,
};

struct tree_order { /* borrowed */
    enum tree_command_kind kind;
    /* FOLLOW, PROMOTE: "XSLAVEOF" (x-pipe's builds, which keep the data over it) or "SLAVEOF" */
    const char *verb;
    const struct addr *target; /* all but PROMOTE, SET_PRIORITY */
    const char *route;         /* SET_ACTIVE, SET_BACKUP: words of a route; NULL or "": none */
    int priority;
};

struct tree_command {
    const char *words[TREE_WORDS_MAX]; /* borrow from the order, or from the two below */
    size_t count;
    char number[16]; /* its port, or its priority */
    char *route;     /* owned, cut at its blanks */
};
void tree_command_build(const struct tree_order *, struct tree_command *ret_command);
void tree_command_done(struct tree_command *);
/* For people; owned. */
char *tree_command_text(const struct tree_order *);

#endif
