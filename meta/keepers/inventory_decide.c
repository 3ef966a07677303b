/* inventory_decide.c - see inventory_decide.h. The first rule that applies counts.
 *
 *   N10 the document has it                                                          wanted
 *   N20 the document is from the disk, or was not confirmed for fresh_ms             waits
 *   N22 changes of the document are held back                                        waits
 *   N30 its cluster is in migration                                                  waits
 *   N32 the document has another keeper of the shard on this container               waits
 *   N40 seen in too few rounds, or for less than grace_ms                            waits
 *   N42 the document was not confirmed since it was first seen                       waits
 *   N50 no document of ours ever had it, and the mode is not remove                  reported
 *   N52 mode report, or off                                                          reported
 *   N54 no document had it, and clusters of the document cannot be read              waits
 *   N60 its slot is not ours: its owner decides the same by itself                   waits
 *   N62 the shard is there, and not all of its keepers live                          waits
 *   N70 the limit of the round is reached                                            waits
 *   N80                                                                              removed
 */
#include "meta/keepers/inventory_decide.h"

#include "shared/base/banned.h"

#define OUTCOME(v, r, w)                                                                           \
    ((struct inventory_outcome){ .verdict = ORPHAN_##v, .rule = (r), .why = (w) })

const char *orphan_verdict_text(enum orphan_verdict verdict)
{
#define ORPHAN_VERDICT_TEXT(name, text) [ORPHAN_##name] = (text),
    static const char *const texts[] = { ORPHAN_VERDICTS(ORPHAN_VERDICT_TEXT) };
    return texts[verdict];
}

/* What speaks against believing that it is an orphan at all. */
static struct inventory_outcome doubt(const struct inventory_facts *f,
                                      const struct inventory_item *item)
{
    if (item->is_wanted) {
        return OUTCOME(WANTED, "N10", "the document has it");
    }
    if (mono_age(f->now, f->confirmed_at) > f->fresh_ms) {
        return OUTCOME(WAITS, "N20", "the console did not confirm the document lately");
    }
    if (f->held > 0) {
        return OUTCOME(WAITS, "N22", "changes of the document wait for an operator");
    }
    if (item->is_migrating) {
        return OUTCOME(WAITS, "N30", "its cluster is in migration");
    }
    if (item->is_place_wanted) {
        return OUTCOME(WAITS, "N32",
                       "the document has another keeper of the shard on this container");
    }
    if (item->rounds < f->rounds || mono_age(f->now, item->first_seen) < f->grace_ms) {
        return OUTCOME(WAITS, "N40", "not seen for long enough");
    }
    if (f->confirmed_at < item->first_seen) {
        return OUTCOME(WAITS, "N42", "the document was not confirmed since it was first seen");
    }
    return OUTCOME(REMOVED, "N80", "no shard of the document has it");
}

static struct inventory_outcome permission(const struct inventory_facts *f,
                                           const struct inventory_item *item)
{
    if (!item->was_ours && f->mode != ORPHANS_REMOVE) {
        return OUTCOME(
            REPORTED, "N50",
            "no document that is remembered here had it: of another console, or removed long ago");
    }
    if (f->mode < ORPHANS_KNOWN) {
        return OUTCOME(REPORTED, "N52", "orphans are only reported here");
    }
    if (!item->was_ours && f->problems > 0) {
        return OUTCOME(WAITS, "N54",
                       "clusters of the document cannot be read, and it may be theirs");
    }
    if (!item->is_owned) {
        return OUTCOME(WAITS, "N60",
                       "another metaserver owns its slot, or this one may not act now");
    }
    if (item->is_shard_present && !item->is_settled) {
        return OUTCOME(WAITS, "N62", "not every keeper of its shard lives");
    }
    return OUTCOME(REMOVED, "N80", "no shard of the document has it");
}

void inventory_decide(const struct inventory_facts *facts, struct inventory_outcome *ret_outcomes)
{
    int removals = 0;
    for (size_t i = 0; i < facts->count; i++) {
        struct inventory_outcome outcome = doubt(facts, &facts->items[i]);
        if (outcome.verdict == ORPHAN_REMOVED) {
            outcome = permission(facts, &facts->items[i]);
        }
        if (outcome.verdict == ORPHAN_REMOVED && removals++ >= facts->limit) {
            outcome = OUTCOME(WAITS, "N70", "enough for one round");
        }
        ret_outcomes[i] = outcome;
    }
}

void inventory_print(const struct inventory_outcome *outcomes, size_t count, struct str *out)
{
    for (size_t i = 0; i < count; i++) {
        str_printf(out, "%s %s: %s\n", outcomes[i].rule, orphan_verdict_text(outcomes[i].verdict),
                   outcomes[i].why);
    }
}
