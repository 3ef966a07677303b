/* source_choose.c - see source_choose.h.
 *
 *   primary DC, by ROLE of its Redis                                   backup DC
 *   S10 one master, the known one                     KEEP            S40 told the known one, or nothing    KEEP
 *   S12 one master, another one or the first known    CHANGE          S42 told another one                  CHANGE
 *   S14 one master, the first known, while others     UNKNOWN         S44 told one of our own instances     LOOP
 *       were not asked yet                                            S46 nothing told, nothing known       UNKNOWN
 *   S16 one master, but the known one, silent to us,  SEVERAL
 *       is followed by a replica whose link is up                     outside
 *   S20 several masters                               SEVERAL         S50                                   UNKNOWN
 *   S30 none, one is known                            NONE
 *   S32 none, none known, all Redis are replicas:     CHANGE, alert
 *       the first of the document
 *   S34 none, none known                              UNKNOWN
 */
#include "meta/keepers/source_choose.h"

#include "shared/base/banned.h"

const char *source_verdict_text(enum source_verdict verdict)
{
    static const char *const texts[] = {
        [SOURCE_KEEP] = "OK",
        [SOURCE_CHANGE] = "CHANGED",
        [SOURCE_UNKNOWN] = "UNKNOWN",
        [SOURCE_NONE] = "NO_MASTER",
        [SOURCE_SEVERAL] = "MULTI_MASTER",
        [SOURCE_LOOP] = "LOOP",
    };
    return texts[verdict];
}

struct observed { /* the Redis of this DC, together */
    int masters;
    int silent;
    int replicas;
    int redises;
    bool is_untried;
    const struct tree_node *master; /* one of them */
};

/* Metadata may name a Redis twice; it is one all the same. */
static bool is_repeated(const struct tree_facts *f, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (addr_eq(&f->nodes[i].addr, &f->nodes[index].addr)) {
            return true;
        }
    }
    return false;
}

static struct observed observe(const struct tree_facts *f)
{
    struct observed seen = { 0 };
    for (size_t i = 0; i < f->redis_count; i++) {
        const struct tree_node *node = &f->nodes[i];
        if (is_repeated(f, i)) {
            continue;
        }
        seen.redises++;
        seen.is_untried |= !node->was_tried;
        if (!tree_node_is_fresh(f, node)) {
            seen.silent++;
        } else if (node->role.kind == ROLE_KIND_MASTER) {
            seen.masters++;
            seen.master = node;
        } else if (node->role.kind == ROLE_KIND_REPLICA) {
            seen.replicas++;
        }
    }
    return seen;
}

/* A replica hears it, so it lives, and its silence is between it and us. (Not asked of keepers: they hold on to a dead
 * link for a minute, and no sentinel points them elsewhere.) */
static bool is_heard_by_a_replica(const struct tree_facts *f, const struct addr *master)
{
    for (size_t i = 0; i < f->redis_count; i++) {
        const struct tree_node *node = &f->nodes[i];
        if (tree_node_is_fresh(f, node) && node->role.kind == ROLE_KIND_REPLICA &&
            tree_link_of(&node->role) == TREE_LINK_UP && addr_eq(&node->role.master, master)) {
            return true;
        }
    }
    return false;
}

static bool is_silent(const struct tree_facts *f, const struct addr *addr)
{
    for (size_t i = 0; i < f->redis_count; i++) {
        if (addr_eq(&f->nodes[i].addr, addr)) {
            return !tree_node_is_fresh(f, &f->nodes[i]);
        }
    }
    return false;
}

static void conclude(struct source_choice *choice, const char *rule, enum source_verdict verdict,
                     const struct addr *addr)
{
    choice->rule = rule;
    choice->verdict = verdict;
    if (verdict == SOURCE_CHANGE) {
        choice->addr = *addr;
    }
}

static void judge_single(const struct tree_facts *f, const struct observed *seen,
                         struct source_choice *choice)
{
    const struct addr *master = &seen->master->addr;
    if (!tree_has_source(f)) {
        bool may_wait = seen->is_untried;
        conclude(choice, may_wait ? "S14" : "S12", may_wait ? SOURCE_UNKNOWN : SOURCE_CHANGE,
                 master);
    } else if (addr_eq(master, &f->source)) {
        conclude(choice, "S10", SOURCE_KEEP, master);
    } else if (is_silent(f, &f->source) && is_heard_by_a_replica(f, &f->source)) {
        conclude(choice, "S16", SOURCE_SEVERAL, master);
    } else {
        conclude(choice, "S12", SOURCE_CHANGE, master);
    }
}

static void choose_in_primary(const struct tree_facts *f, const struct observed *seen,
                              struct source_choice *choice)
{
    if (seen->masters == 1) {
        judge_single(f, seen, choice);
    } else if (seen->masters > 1) {
        conclude(choice, "S20", SOURCE_SEVERAL, NULL);
    } else if (tree_has_source(f)) {
        conclude(choice, "S30", SOURCE_NONE, NULL);
    } else if (seen->redises > 0 && seen->replicas == seen->redises) {
        conclude(choice, "S32", SOURCE_CHANGE, &f->nodes[0].addr);
    } else {
        conclude(choice, "S34", SOURCE_UNKNOWN, NULL);
    }
}

static void choose_in_backup(const struct tree_facts *f, struct source_choice *choice)
{
    bool is_told = !addr_is_none(&f->told);
    if (is_told && tree_is_ours(f, &f->told)) {
        conclude(choice, "S44", SOURCE_LOOP, NULL);
    } else if (is_told && !addr_eq(&f->told, &f->source)) {
        conclude(choice, "S42", SOURCE_CHANGE, &f->told);
    } else if (tree_has_source(f)) {
        conclude(choice, "S40", SOURCE_KEEP, NULL);
    } else {
        conclude(choice, "S46", SOURCE_UNKNOWN, NULL);
    }
}

void source_choose(const struct tree_facts *facts, struct source_choice *ret_choice)
{
    struct observed seen = observe(facts);
    struct source_choice choice = { .masters = seen.masters, .silent = seen.silent };
    if (facts->place == TREE_PRIMARY) {
        choose_in_primary(facts, &seen, &choice);
    } else if (facts->place == TREE_BACKUP) {
        choose_in_backup(facts, &choice);
    } else {
        conclude(&choice, "S50", SOURCE_UNKNOWN, NULL);
    }
    *ret_choice = choice;
}
