/* tree_commands.c - see tree_commands.h. */
#include "shared/switch/tree_commands.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { TEXT_MAX = 4096 };

void tree_command_done(struct tree_command *command)
{
    free(command->route);
}

static void add(struct tree_command *command, const char *word)
{
    xp_check(command->count < TREE_WORDS_MAX);
    command->words[command->count++] = word;
}

static void add_target(struct tree_command *command, const struct addr *target)
{
    (void)snprintf(command->number, sizeof(command->number), "%d", target->port);
    add(command, target->host);
    add(command, command->number);
}

/* Every word of the route is an argument of its own: as one argument a keeper ignores it and connects directly. */
static void add_route(struct tree_command *command, const char *route)
{
    command->route = xstrdup(route);
    add(command, "PROXY");
    add(command, "ROUTE");
    char *rest = command->route;
    for (char *word; (word = strtok_r(rest, " ", &rest));) {
        add(command, word);
    }
    add(command, "TCP");
}

void tree_command_build(const struct tree_order *order, struct tree_command *command)
{
    *command = (struct tree_command){ .count = 0 };
    switch (order->kind) {
    case TREE_COMMAND_SET_ACTIVE:
    case TREE_COMMAND_SET_BACKUP:
        add(command, "KEEPER");
        add(command, "SETSTATE");
        add(command, order->kind == TREE_COMMAND_SET_ACTIVE ? "ACTIVE" : "BACKUP");
        add_target(command, order->target);
        if (!text_is_empty(order->route)) {
            add_route(command, order->route);
        }
        break;
    case TREE_COMMAND_FOLLOW:
        add(command, order->verb);
        add_target(command, order->target);
        break;
    case TREE_COMMAND_PROMOTE:
        add(command, order->verb);
        add(command, "NO");
        add(command, "ONE");
        break;
    case TREE_COMMAND_SET_PRIORITY:
        (void)snprintf(command->number, sizeof(command->number), "%d", order->priority);
        add(command, "CONFIG");
        add(command, "SET");
        add(command, TREE_PRIORITY_KEY);
        add(command, command->number);
        break;
    }
}

char *tree_command_text(const struct tree_order *order)
{
    CLEANUP(tree_command_done) struct tree_command command;
    struct str text = STR_INIT(TEXT_MAX);
    tree_command_build(order, &command);
    for (size_t i = 0; i < command.count; i++) {
        str_printf(&text, "%s%s", i ? " " : "", command.words[i]);
    }
    return str_take(&text);
}
