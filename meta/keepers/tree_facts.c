/* tree_facts.c - see tree_facts.h. */
#include "meta/keepers/tree_facts.h"

#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

static const char *const state_words[] = {
    [KEEPER_UNSEEN] = "-",
    [KEEPER_UNKNOWN] = "UNKNOWN",
    [KEEPER_ACTIVE] = "ACTIVE",
    [KEEPER_BACKUP] = "BACKUP",
    [KEEPER_PRE_ACTIVE] = "PRE_ACTIVE",
    [KEEPER_PRE_BACKUP] = "PRE_BACKUP",
};

const char *tree_place_text(enum tree_place place)
{
    static const char *const texts[] = {
        [TREE_OUTSIDE] = "OUTSIDE",
        [TREE_PRIMARY] = "PRIMARY",
        [TREE_BACKUP] = "BACKUP",
    };
    return texts[place];
}

const char *keeper_state_text(enum keeper_state state)
{
    return state_words[state];
}

enum keeper_state keeper_state_from_text(const char *text)
{
    for (size_t i = KEEPER_UNKNOWN; i < ARRAY_LEN(state_words); i++) {
        if (text_eq(text, state_words[i])) {
            return (enum keeper_state)i;
        }
    }
    return KEEPER_UNSEEN;
}

enum tree_link tree_link_of(const struct redis_role *role)
{
    return role->link == ROLE_LINK_CONNECTED ? TREE_LINK_UP
           : role->link == ROLE_LINK_SYNC    ? TREE_LINK_SYNCING
                                             : TREE_LINK_DOWN;
}

void tree_node_note_role(struct tree_node *node, const struct redis_role *role, mono_ms now)
{
    if (node->role.kind != role->kind || tree_link_of(&node->role) != tree_link_of(role) ||
        !addr_eq(&node->role.master, &role->master)) {
        node->link_since = now;
    }
    if (role->offset >= 0) {
        node->last_offset = role->offset;
    }
    node->role = *role;
    node->role_at = now;
    node->was_tried = true;
    node->silent_since = MONO_NEVER;
}

bool tree_node_is_fresh(const struct tree_facts *facts, const struct tree_node *node)
{
    return mono_age(facts->now, node->role_at) <= facts->fresh_ms &&
           node->role.kind != ROLE_KIND_UNKNOWN;
}

static bool is_named(const struct shard_meta *shard, const struct addr *addr, bool keepers_too)
{
    for (size_t i = 0; i < shard->redises.count; i++) {
        if (addr_eq(&shard->redises.items[i].addr, addr)) {
            return true;
        }
    }
    for (size_t i = 0; keepers_too && i < shard->keepers.count; i++) {
        if (addr_eq(&shard->keepers.items[i].addr, addr)) {
            return true;
        }
    }
    return false;
}

bool tree_is_ours(const struct tree_facts *facts, const struct addr *addr)
{
    for (size_t i = 0; i < facts->node_count; i++) {
        if (addr_eq(&facts->nodes[i].addr, addr)) {
            return true;
        }
    }
    return is_named(facts->shard, addr, true);
}

bool tree_has_source(const struct tree_facts *facts)
{
    if (addr_is_none(&facts->source) || facts->place == TREE_OUTSIDE) {
        return false;
    }
    return facts->place == TREE_PRIMARY ? is_named(facts->shard, &facts->source, false)
                                        : !tree_is_ours(facts, &facts->source);
}
