/* monitor_decide.c - see monitor_decide.h.
 *
 * First row that fits; rules are stable, with gaps:
 *   M10 outside                         nothing    M30 primary, no single master        nothing
 *   M11 fenced by a switchover          as backup  M32 primary, absent                  add
 *   M12 migrating, not promoted here    nothing    M34 primary, watches the master      nothing
 *   M14 the sentinel did not answer     nothing
 *   M20 backup, absent                  nothing    M36 primary, differs, not for long   nothing
 *   M22 backup, present                 remove     M38 primary, differs, failing over   nothing
 *                                                  M40 primary, differs                 replace
 *                                                  M42 primary, differs, failing over   replace
 *                                                      for STUCK_FACTOR times as long
 */
#include "meta/primary/monitor_decide.h"

#include "shared/base/mem.h"

#include "shared/base/banned.h"

/* A sentinel gives a failover up after 3 minutes and tries again; one that lasts longer than 10 x 30 s watches a dead master that has
 * nothing to be promoted, and would do so for ever. */
#define STUCK_FACTOR 10

const char *monitor_action_text(enum monitor_action action)
{
    static const char *const texts[] = {
        [MONITOR_NOTHING] = "nothing",
        [MONITOR_ADD] = "add",
        [MONITOR_REMOVE] = "remove",
        [MONITOR_REPLACE] = "replace",
    };
    return texts[action];
}

static struct monitor_plan plan_of(enum monitor_action action, const char *rule)
{
    return (struct monitor_plan){ .action = action, .rule = rule };
}

static struct monitor_plan decide_backup(const struct monitor_facts *f)
{
    return f->seen == MONITOR_ABSENT ? plan_of(MONITOR_NOTHING, "M20")
                                     : plan_of(MONITOR_REMOVE, "M22");
}

static struct monitor_plan decide_differs(const struct monitor_facts *f)
{
    int64_t age_ms = f->differs_since == MONO_NEVER ? 0 : f->now - f->differs_since;
    if (age_ms < f->differs_ms) {
        return plan_of(MONITOR_NOTHING, "M36");
    }
    if (!f->is_failing_over) {
        return plan_of(MONITOR_REPLACE, "M40");
    }
    return age_ms / STUCK_FACTOR < f->differs_ms ? plan_of(MONITOR_NOTHING, "M38")
                                                 : plan_of(MONITOR_REPLACE, "M42");
}

static struct monitor_plan decide_primary(const struct monitor_facts *f)
{
    if (f->is_left) {
        return plan_of(MONITOR_NOTHING, "M31");
    }
    if (!f->is_single_master || addr_is_none(&f->master)) {
        return plan_of(MONITOR_NOTHING, "M30");
    }
    if (f->seen == MONITOR_ABSENT) {
        return plan_of(MONITOR_ADD, "M32");
    }
    return addr_eq(&f->watched, &f->master) ? plan_of(MONITOR_NOTHING, "M34") : decide_differs(f);
}

void monitor_decide(const struct monitor_facts *f, struct monitor_plan *ret_plan)
{
    if (f->place == TREE_OUTSIDE) {
        *ret_plan = plan_of(MONITOR_NOTHING, "M10");
    } else if (f->is_fenced && f->seen != MONITOR_UNKNOWN) {
        *ret_plan = plan_of(f->seen == MONITOR_PRESENT ? MONITOR_REMOVE : MONITOR_NOTHING, "M11");
    } else if (f->is_migrating && !f->is_promoted) {
        *ret_plan = plan_of(MONITOR_NOTHING, "M12");
    } else if (f->seen == MONITOR_UNKNOWN) {
        *ret_plan = plan_of(MONITOR_NOTHING, "M14");
    } else {
        *ret_plan = f->place == TREE_BACKUP ? decide_backup(f) : decide_primary(f);
    }
}
