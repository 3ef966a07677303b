/* keep_decide.c - see keep_decide.h: the rules, in order; the first that fits. */
#include "meta/primary/keep_decide.h"

#include <stddef.h>

#include "shared/base/err.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

bool keep_may_correct(const struct keep_facts *f)
{
    return !f->is_migrating || f->may_follow;
}

static bool past(const struct keep_facts *f)
{
    return f->is_fenced && f->is_past && !f->is_primary;
}

/* The next migration waits for the settings of the one before. */
bool keep_may_settle(const struct keep_facts *f)
{
    return keep_may_correct(f) || past(f);
}

/* The primary DC's; or the cluster is on its way and this shard was not told to follow yet. */
bool keep_is_in_force(const struct keep_facts *f)
{
    return f->is_fenced && !past(f) && (f->is_primary || !keep_may_correct(f));
}

static bool isolated(const struct keep_facts *f)
{
    return f->is_isolated && f->is_primary && !f->is_fenced;
}

static bool idle(const struct keep_facts *f)
{
    return !f->is_fenced && !f->is_stray_due && !f->has_settings && !f->is_find_due &&
           !f->is_look_wanted && !isolated(f);
}

static bool busy(const struct keep_facts *f)
{
    return f->is_busy;
}

/* What the metadata says does not end a hold of isolation, before the console has confirmed it. */
static bool ended(const struct keep_facts *f)
{
    return f->is_fenced && !f->is_isolation && f->is_ended && f->is_primary && !f->is_migrating;
}

/* Who ended the migration has perhaps released the master around us: it is not to be fenced anew, for as long as it takes to ask. */
static bool doubted(const struct keep_facts *f)
{
    return f->is_fenced && !f->is_isolation && f->is_doubted && f->is_primary && !f->is_migrating;
}

static bool reunited(const struct keep_facts *f)
{
    return f->is_fenced && f->is_isolation && f->is_confirmed && !f->is_isolated && f->is_primary &&
           !f->is_migrating;
}

bool keep_is_over(const struct keep_facts *f)
{
    return ended(f) || reunited(f);
}

static bool migrating(const struct keep_facts *f)
{
    return !keep_may_correct(f);
}

static bool past_settings(const struct keep_facts *f)
{
    return migrating(f) && past(f) && f->has_settings;
}

static bool past_fence(const struct keep_facts *f)
{
    return migrating(f) && past(f);
}

static bool stray(const struct keep_facts *f)
{
    return f->is_stray_due && !f->is_primary;
}

/* While the cluster migrates, the promotion is asked for again, and finds out itself. */
static bool find(const struct keep_facts *f)
{
    return f->is_find_due && f->is_primary && !f->is_migrating;
}

static bool settings(const struct keep_facts *f)
{
    return f->has_settings;
}

static bool over(const struct keep_facts *f)
{
    return f->is_fenced;
}

static bool look(const struct keep_facts *f)
{
    return f->is_look_wanted && !f->is_primary;
}

static bool always(const struct keep_facts *f)
{
    (void)f;
    return true;
}

static const struct {
    const char *rule;
    bool (*fits)(const struct keep_facts *);
    enum keep_duty duty;
    const char *why;
} rules[] = {
    /* clang-format off */
    { "K05", idle, KEEP_NOTHING, "nothing is fenced, held or to be given back" },
    { "K10", busy, KEEP_LATER, "a step, a run or a write is under way" },
    { "K15", ended, KEEP_RELEASE, "its migration is over, this DC stays the primary one: nobody else will end the fence" },
    { "K17", reunited, KEEP_RELEASE, "the console was heard again, and says that this DC is the primary one" },
    { "K18", doubted, KEEP_LATER, "its migration seems to be over, and the console is being asked" },
    { "K20", keep_is_in_force, KEEP_ASSERT, "a step or an isolation ordered the fence, and nothing has ended it" },
    { "K25", isolated, KEEP_ISOLATE, "the console was not heard for too long: another DC may be promoted meanwhile" },
    { "K27", past_settings, KEEP_SETTLE, "of an earlier migration: who follows gets its settings back, the next one waits for that" },
    { "K28", past_fence, KEEP_FORGET, "of an earlier migration, and it overwrote nothing" },
    { "K30", migrating, KEEP_NOTHING, "the cluster is being migrated, and this DC was not told to follow" },
    { "K40", stray, KEEP_HOLD, "a writable master in a backup DC, and what it should follow is not known" },
    { "K45", find, KEEP_FIND, "the others are to follow the promoted one, and it is not known" },
    { "K50", settings, KEEP_SETTLE, "who follows again gets its settings back" },
    { "K60", over, KEEP_FORGET, "the fence is over, and overwrote nothing" },
    { "K70", look, KEEP_SETTLE, "others may have fenced a Redis here" },
    { "K90", always, KEEP_NOTHING, "not now, or not in this DC" },
    /* clang-format on */
};

void keep_decide(const struct keep_facts *facts, struct keep_plan *ret_plan)
{
    size_t i = 0;
    while (!rules[i].fits(facts)) {
        i++; /* the last one always fits */
    }
    xp_check(i < ARRAY_LEN(rules));
    *ret_plan =
        (struct keep_plan){ .duty = rules[i].duty, .rule = rules[i].rule, .why = rules[i].why };
}
