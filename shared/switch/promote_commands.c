/* promote_commands.c - the words of a promotion (see promote_internal.h). The commands of an order go in one write.
 *
 * XSLAVEOF exists in x-pipe's builds only, where the SLAVEOF behind it finds everything done. */
#include "shared/base/mem.h"
#include "shared/switch/promote_internal.h"

#include "shared/base/banned.h"

struct batch {
    size_t node;
    struct party_order *orders;
    struct promote_step *steps;
    size_t count;
};

static void add(struct batch *b, enum promote_ask ask, struct party_order order)
{
    order.member = b->node;
    while (order.count < ARRAY_LEN(order.words) && order.words[order.count]) {
        order.count++;
    }
    b->orders[b->count] = order;
    b->steps[b->count++] = (struct promote_step){ .node = b->node, .ask = ask };
}
#define ADD(b, ask, ...) add((b), (ask), (struct party_order){ .words = { __VA_ARGS__ } })

size_t promote_commands(size_t node, enum promote_order_kind kind, struct party_order *ret_orders,
                        struct promote_step *ret_steps)
{
    struct batch b = { node, ret_orders, ret_steps, 0 };
    switch (kind) {
    case PROMOTE_ORDER_LOOK:
        ADD(&b, PROMOTE_ASK_ROLE, "ROLE");
        ADD(&b, PROMOTE_ASK_REPLICATION, "INFO", "replication");
        ADD(&b, PROMOTE_ASK_SETTINGS, "CONFIG", "GET", "*slave*");
        ADD(&b, PROMOTE_ASK_SERVER, "INFO", "server");
        break;
    case PROMOTE_ORDER_OFFSET:
        ADD(&b, PROMOTE_ASK_ROLE, "ROLE");
        ADD(&b, PROMOTE_ASK_REPLICATION, "INFO", "replication");
        break;
    case PROMOTE_ORDER_PROMOTE:
        ADD(&b, PROMOTE_ASK_XSLAVEOF, "XSLAVEOF", "NO", "ONE");
        ADD(&b, PROMOTE_ASK_SLAVEOF, "SLAVEOF", "NO", "ONE");
        break;
    case PROMOTE_ORDER_ROLE:
        ADD(&b, PROMOTE_ASK_ROLE_AFTER, "ROLE");
        break;
    case PROMOTE_ORDER_REWRITE:
        ADD(&b, PROMOTE_ASK_REWRITE, "CONFIG", "REWRITE");
        break;
    }
    xp_check(b.count <= PROMOTE_COMMANDS_MAX);
    return b.count;
}
