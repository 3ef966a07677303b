/* migration_table.c - the table of a migration as text, and what must hold of it. See migration_decide.h. */
#include <stdio.h>
#include <string.h>

#include "console/migration/migration_decide_internal.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

static const char *status_text(int status)
{
    return migration_status_info((enum migration_status)status)->text;
}

/* ---- text ---- */

static const char *const ask_texts[] = {
    [ASK_NONE] = "",
    [ASK_PROCESS] = "process",
    [ASK_ROLLBACK] = "rollback",
    [ASK_FORCE_PROCESS] = "forceProcess",
    [ASK_FORCE_END] = "forceEnd",
};

static const struct {
    enum migration_effect effect;
    const char *text;
} effect_texts[] = {
    { EFFECT_CLEAR_CHECK, "check forgotten" },
    { EFFECT_CLEAR_FAILED, "what failed is forgotten, what is proved stays" },
    { EFFECT_SWITCH_ACTIVE, "active DC and master flags switched" },
    { EFFECT_BECOME_DISASTER, "disaster for the unreachable shards" },
    { EFFECT_FORCE_PUBLISH, "force publish" },
    { EFFECT_FOLLOW_ALL, "every other DC is to follow" },
    { EFFECT_END, "unlocked" },
};

static void put_statuses(const struct migration_rule *rule, struct str *out)
{
    const char *comma = "";
    for (int i = 0; i < MIG_STATUSES; i++) {
        if (rule->in & STATUS_BIT(i)) {
            str_printf(out, "%s%s", comma, status_text(i));
            comma = ", ";
        }
    }
}

static void put_when(const struct migration_rule *rule, struct str *out)
{
    const char *comma = "";
    if (rule->ask != ASK_NONE) {
        str_printf(out, "asked: %s", ask_texts[rule->ask]);
        comma = ", ";
    }
    if (rule->is_resumed) {
        str_printf(out, "%safter a restart", comma);
        comma = ", ";
    }
    if (!text_is_empty(rule->when_text)) {
        str_printf(out, "%s%s", comma, rule->when_text);
    }
}

static void put_what(const struct migration_rule *rule, struct str *out)
{
    const char *comma = "";
    if (rule->calls_text) {
        str_printf(out, "calls: %s", rule->calls_text);
        comma = "; ";
    }
    for (size_t i = 0; i < ARRAY_LEN(effect_texts); i++) {
        if (rule->effects & EFFECT_BIT(effect_texts[i].effect)) {
            str_printf(out, "%s%s", comma, effect_texts[i].text);
            comma = "; ";
        }
    }
}

static void put_rule(const struct migration_rule *rule, struct str *out)
{
    str_printf(out, "| %s | ", rule->id);
    put_statuses(rule, out);
    str_puts(out, " | ");
    put_when(rule, out);
    str_printf(out, " | %s | ",
               rule->to >= 0          ? status_text(rule->to)
               : rule->to == MIG_WAIT ? "(waits)"
                                      : "");
    put_what(rule, out);
    str_puts(out, " |\n");
}

static void put_status(enum migration_status status, struct str *out)
{
    const struct migration_status_info *info = migration_status_info(status);
    str_printf(out, "| %s | %s | %d | %s | %s | %s |\n", info->text, info->cluster_status,
               info->percent, info->type, info->ticket,
               info->is_paused     ? "waits for an operator"
               : info->is_terminal ? "the end"
                                   : "");
}

char *migration_table_text(void)
{
    struct str out = STR_INIT(256UL * 1024);
    str_puts(&out, "# A migration's states\n\n"
                   "Written by `make docs-states` from the rules in "
                   "`console/migration/migration_decide.c`: do not edit.\n\n"
                   "| status | cluster | percent | type | checkstatus | |\n| --- | --- | --- | --- "
                   "| --- | --- |\n");
    for (int i = 0; i < MIG_STATUSES; i++) {
        put_status((enum migration_status)i, &out);
    }
    str_puts(&out, "\n## Rules\n\n"
                   "The first rule that fits is carried out, then the table is read again, until "
                   "none fits or one waits: all of that is "
                   "one transaction. Calls are sent after it was committed.\n\n"
                   "| rule | in | when | to | what |\n| --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < migration_rule_count; i++) {
        put_rule(&migration_rules[i], &out);
    }
    xp_check(!out.overflow);
    return str_take(&out);
}

/* ---- check ---- */

static int check_ids(struct xp_err *err)
{
    int last = 0;
    for (size_t i = 0; i < migration_rule_count; i++) {
        int64_t number = 0;
        const char *id = migration_rules[i].id;
        if (id[0] != 'G' || !text_to_i64(id + 1, strlen(id + 1), last + 1, 999, &number)) {
            return xp_fail(err, XP_INTERNAL, "rule %s: ids must be unique and ascend", id);
        }
        last = (int)number;
    }
    return 0;
}

static bool leads_to(const struct migration_rule *rule, int status)
{
    return rule->to == status && (rule->in & ~STATUS_BIT(status)) != 0;
}

static int check_reachable(struct xp_err *err)
{
    unsigned reached = STATUS_BIT(MIG_INITIATED);
    for (int round = 0; round < MIG_STATUSES; round++) {
        for (size_t i = 0; i < migration_rule_count; i++) {
            const struct migration_rule *rule = &migration_rules[i];
            if (rule->to >= 0 && (rule->in & reached)) {
                reached |= STATUS_BIT(rule->to);
            }
        }
    }
    for (int i = 0; i < MIG_STATUSES; i++) {
        if (!(reached & STATUS_BIT(i))) {
            return xp_fail(err, XP_INTERNAL, "status %s is not reachable", status_text(i));
        }
    }
    return 0;
}

/* Left again; by itself where nobody is waited for; paused ones on request only; terminal ones never. */
static int check_left(int status, struct xp_err *err)
{
    const struct migration_status_info *info = migration_status_info((enum migration_status)status);
    bool is_left = false;
    bool is_left_anyhow = false;
    for (size_t i = 0; i < migration_rule_count; i++) {
        const struct migration_rule *rule = &migration_rules[i];
        if (!(rule->in & STATUS_BIT(status)) || rule->to < 0 || rule->to == status) {
            continue;
        }
        if (info->is_terminal || (info->is_paused && rule->ask == ASK_NONE)) {
            return xp_fail(err, XP_INTERNAL, "rule %s leaves %s without being asked", rule->id,
                           info->text);
        }
        is_left = true;
        is_left_anyhow |= rule->ask == ASK_NONE && !rule->when && !rule->is_resumed;
    }
    if (!info->is_terminal && !is_left) {
        return xp_fail(err, XP_INTERNAL, "status %s is never left", info->text);
    }
    bool is_transient = !info->is_terminal && !info->is_paused && status != MIG_INITIATED;
    if (is_transient && !is_left_anyhow) {
        return xp_fail(err, XP_INTERNAL, "status %s may be stuck", info->text);
    }
    return 0;
}

/* What may be asked according to the words is what a rule answers to. */
static int check_asks(int status, struct xp_err *err)
{
    const struct migration_status_info *info = migration_status_info((enum migration_status)status);
    unsigned asks = 0;
    for (size_t i = 0; i < migration_rule_count; i++) {
        if (migration_rules[i].in & STATUS_BIT(status)) {
            asks |= 1u << (unsigned)migration_rules[i].ask;
        }
    }
    if (((asks >> ASK_ROLLBACK) & 1u) != (info->no_rollback == NULL) ||
        ((asks >> ASK_FORCE_PROCESS) & 1u) != info->may_force_process ||
        ((asks >> ASK_FORCE_END) & 1u) != info->may_force_end) {
        return xp_fail(err, XP_INTERNAL,
                       "status %s: rules and words disagree about what may be asked", info->text);
    }
    return 0;
}

static int check_effects(struct xp_err *err)
{
    const unsigned published = STATUS_BIT(MIG_PUBLISH) | STATUS_BIT(MIG_PUBLISH_FAIL);
    for (size_t i = 0; i < migration_rule_count; i++) {
        const struct migration_rule *rule = &migration_rules[i];
        bool is_end =
            rule->to >= 0 && migration_status_info((enum migration_status)rule->to)->is_terminal;
        bool is_switch = leads_to(rule, MIG_PUBLISH) && !(rule->in & published);
        if (is_end != ((rule->effects & EFFECT_BIT(EFFECT_END)) != 0) ||
            is_switch != ((rule->effects & EFFECT_BIT(EFFECT_SWITCH_ACTIVE)) != 0)) {
            return xp_fail(err, XP_INTERNAL, "rule %s: effects do not fit where it leads",
                           rule->id);
        }
        if ((rule->in & published) && (rule->to == MIG_ROLL_BACK || rule->to == MIG_ABORTED)) {
            return xp_fail(err, XP_INTERNAL, "rule %s rolls back what was switched", rule->id);
        }
    }
    return 0;
}

int migration_table_check(struct xp_err *err)
{
    int rc = check_ids(err);
    if (rc == 0) {
        rc = check_reachable(err);
    }
    for (int i = 0; rc == 0 && i < MIG_STATUSES; i++) {
        rc = check_left(i, err);
        if (rc == 0) {
            rc = check_asks(i, err);
        }
    }
    return rc == 0 ? check_effects(err) : rc;
}
