/* master_choice.c - see master_choice.h. */
#include "meta/peers/master_choice.h"

#include "shared/crdt/crdt_info.h"

#include "shared/base/banned.h"

static enum node_role fresh_role(const struct master_facts *f, const struct node_fact *node)
{
    return mono_age(f->now, node->role_at) <= f->fresh_ms ? node->role : ROLE_UNKNOWN;
}

static enum master_verdict judge_single(const struct master_facts *f, const struct node_fact *node)
{
    if (node->own_gid == 0) {
        return MASTER_WAIT;
    }
    if (node->own_gid < CRDT_GID_MIN || node->own_gid > CRDT_GID_MAX) {
        return MASTER_BAD_GID;
    }
    bool is_same = addr_eq(&node->addr, &f->current.addr) && node->own_gid == f->current.gid;
    return is_same ? MASTER_KEEP : MASTER_CHANGE;
}

/* Metadata may name a Redis twice; it is one master all the same. */
static bool is_repeated(const struct master_facts *f, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (addr_eq(&f->nodes[i].addr, &f->nodes[index].addr)) {
            return true;
        }
    }
    return false;
}

void master_choose(const struct master_facts *f, struct master_choice *ret_choice)
{
    struct master_choice choice = { .verdict = MASTER_NONE };
    bool is_untried = false;
    for (size_t i = 0; i < f->count; i++) {
        enum node_role role = fresh_role(f, &f->nodes[i]);
        if (is_repeated(f, i)) {
            continue;
        }
        is_untried |= f->nodes[i].is_untried;
        if (role == ROLE_UNKNOWN) {
            choice.unknown++;
        } else if (role == ROLE_MASTER) {
            choice.masters++;
            choice.index = i;
        }
    }
    if (choice.masters == 1) {
        choice.verdict = judge_single(f, &f->nodes[choice.index]);
        /* Of two masters the one that answers first is not the right one for that. */
        if (choice.verdict == MASTER_CHANGE && is_untried && addr_is_none(&f->current.addr)) {
            choice.verdict = MASTER_WAIT;
        }
    } else if (choice.masters > 1) {
        choice.verdict = MASTER_SEVERAL;
    }
    *ret_choice = choice;
}

const char *master_verdict_text(enum master_verdict verdict)
{
    static const char *const texts[] = {
        [MASTER_KEEP] = "OK",         [MASTER_CHANGE] = "CHANGED",
        [MASTER_NONE] = "NO_MASTER",  [MASTER_SEVERAL] = "MULTI_MASTER",
        [MASTER_BAD_GID] = "BAD_GID", [MASTER_WAIT] = "READING_GID",
    };
    return texts[verdict];
}
