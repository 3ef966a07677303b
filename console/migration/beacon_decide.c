/* beacon_decide.c - see beacon_decide.h. */
#include "console/migration/beacon_decide.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

void beacon_groups_done(struct beacon_groups *groups)
{
    for (size_t i = 0; i < groups->count; i++) {
        free(groups->items[i].name);
        free(groups->items[i].dc);
        free(groups->items[i].az);
        names_done(&groups->items[i].nodes);
    }
    free(groups->items);
    *groups = (struct beacon_groups){ 0 };
}

/* ---- verdicts ---- */

static void answer(struct beacon_verdict *v, int code, const char *fmt, ...) XP_PRINTF(3, 4);

static void answer(struct beacon_verdict *v, int code, const char *fmt, ...)
{
    va_list args;
    v->action = BEACON_ANSWER;
    v->code = code;
    va_start(args, fmt);
    (void)vsnprintf(v->msg, sizeof(v->msg), fmt, args);
    va_end(args);
}

void beacon_just_finished(const char *cluster, const char *active, struct beacon_verdict *v)
{
    v->rule = "B70";
    v->why = "the active DC changed before the event was made: skip";
    answer(v, BEACON_SKIP, "migration just finish, %.128s now active dc is %.128s", cluster,
           active);
}

void beacon_at_rest(const char *cluster, enum migration_status status, struct beacon_verdict *v)
{
    v->rule = status == MIG_SUCCESS ? "B72" : "B74";
    v->why = "the migration is over, or waits for an operator";
    if (status == MIG_SUCCESS) {
        answer(v, BEACON_DONE, "success");
    } else {
        answer(v, BEACON_FAILED, "%.128s migration stopped with %s", cluster,
               migration_status_info(status)->text);
    }
}

/* ---- groups ---- */

static bool has_name(const struct names *names, const char *name)
{
    for (size_t i = 0; names && i < names->count; i++) {
        if (text_eq_nocase(names->items[i], name)) {
            return true;
        }
    }
    return false;
}

static bool are_same_nodes(const struct names *a, const struct names *b)
{
    bool is_same = a->count == b->count;
    for (size_t i = 0; is_same && i < a->count; i++) {
        is_same = has_name(a, b->items[i]) && has_name(b, a->items[i]);
    }
    return is_same;
}

/* Redis without an availability zone, or in several of them, are not compared by it; neither is a monitor that tells none. */
static bool is_same_az(const struct beacon_group *own, const struct beacon_group *reported)
{
    return text_is_empty(own->az) || text_is_empty(reported->az) ||
           text_eq_nocase(own->az, reported->az);
}

/* Does the monitor look at what is in the metadata? Only then is what it says about this cluster. */
static bool are_groups_ours(const struct beacon_facts *f)
{
    struct map by_name CLEANUP(map_done) = MAP_INIT(MAP_TEXT_NOCASE);
    for (size_t i = 0; i < f->own->count; i++) {
        (void)map_put(&by_name, f->own->items[i].name, &f->own->items[i]);
    }
    bool is_same = f->reported->count == f->own->count;
    for (size_t i = 0; is_same && i < f->reported->count; i++) {
        const struct beacon_group *reported = &f->reported->items[i];
        const struct beacon_group *own = map_remove(&by_name, reported->name);
        is_same = own && text_eq_nocase(own->dc, reported->dc) && is_same_az(own, reported) &&
                  are_same_nodes(&own->nodes, &reported->nodes);
    }
    return is_same;
}

static bool is_group_down_in(const struct beacon_facts *f, const char *dc)
{
    for (size_t i = 0; i < f->reported->count; i++) {
        if (f->reported->items[i].is_down && text_eq_nocase(f->reported->items[i].dc, dc)) {
            return true;
        }
    }
    return false;
}

static bool is_failover_from(const struct beacon_facts *f, const char *dc)
{
    for (size_t i = 0; i < f->reported->count; i++) {
        const struct beacon_group *group = &f->reported->items[i];
        if (text_eq_nocase(group->dc, dc) && has_name(f->failover, group->name)) {
            return true;
        }
    }
    return false;
}

static bool has_redises(const struct beacon_facts *f, const char *dc)
{
    for (size_t i = 0; i < f->own->count; i++) {
        if (text_eq_nocase(f->own->items[i].dc, dc)) {
            return true;
        }
    }
    return false;
}

/* ---- DCs ---- */

static const struct beacon_dc *find(const struct beacon_facts *f, const char *name)
{
    for (size_t i = 0; i < f->dc_count; i++) {
        if (text_eq_nocase(f->dcs[i].name, name)) {
            return &f->dcs[i];
        }
    }
    return NULL;
}

static bool is_healthy(const struct beacon_facts *f, const char *dc)
{
    bool is_named = f->available->count == 0 || has_name(f->available, dc);
    return is_named && !is_group_down_in(f, dc);
}

static const char *source(const struct beacon_facts *f)
{
    return f->running.id ? f->running.from : f->active;
}

static bool is_other_zone(const struct beacon_facts *f, const struct beacon_dc *dc)
{
    const struct beacon_dc *from = find(f, source(f));
    return from && from->zone_id != dc->zone_id;
}

static bool may_be_target(const struct beacon_facts *f, const struct beacon_dc *dc)
{
    return !text_eq_nocase(dc->name, f->active) && dc->is_usable && !is_other_zone(f, dc) &&
           is_healthy(f, dc->name) && has_redises(f, dc->name);
}

/* One of the nearest, as checkandprepare chooses; NULL: there is none. */
static const struct beacon_dc *choose(const struct beacon_facts *f)
{
    const struct beacon_dc *candidates[DCS_PER_CLUSTER_MAX] = { NULL };
    int32_t distances[DCS_PER_CLUSTER_MAX];
    const struct beacon_dc *from = find(f, f->active);
    size_t count = 0;
    size_t at = 0;
    for (size_t i = 0; i < f->dc_count && count < ARRAY_LEN(candidates); i++) {
        if (may_be_target(f, &f->dcs[i])) {
            distances[count] = from ? from->distances[i] : DC_DISTANCE_ALIKE;
            candidates[count++] = &f->dcs[i];
        }
    }
    return dc_relations_pick(distances, count, f->cluster_id, &at) ? candidates[at] : NULL;
}

/* Another one of the cluster is well, and clients of this DC may be sent there. */
static bool has_refuge(const struct beacon_facts *f, const struct beacon_dc *from)
{
    for (size_t i = 0; i < f->dc_count; i++) {
        const char *name = f->dcs[i].name;
        if (!is_group_down_in(f, name) && is_healthy(f, name) && has_redises(f, name) &&
            from->distances[i] >= 0) {
            return true;
        }
    }
    return false;
}

/* A DC that is down may be taken out while another one of the cluster is well. */
static size_t excludable(const struct beacon_facts *f, const char **ret_dcs)
{
    size_t count = 0;
    for (size_t i = 0; i < f->dc_count; i++) {
        if (is_group_down_in(f, f->dcs[i].name) && has_refuge(f, &f->dcs[i])) {
            ret_dcs[count++] = f->dcs[i].name;
        }
    }
    return count;
}

/* ---- when ---- */

static bool is_not_allowed(const struct beacon_facts *f)
{
    return !f->is_auto_allowed;
}

static bool is_unwell(const struct beacon_facts *f)
{
    return f->unhealthy != NULL;
}

static bool is_unknown(const struct beacon_facts *f)
{
    return !f->is_found;
}

static bool is_wrong_type(const struct beacon_facts *f)
{
    return !f->is_type_ok;
}

static bool is_mismatch(const struct beacon_facts *f)
{
    return !f->is_forced && !are_groups_ours(f);
}

static bool has_nothing_to_exclude(const struct beacon_facts *f)
{
    const char *dcs[DCS_PER_CLUSTER_MAX];
    return f->is_bi && excludable(f, dcs) == 0;
}

static bool is_bi(const struct beacon_facts *f)
{
    return f->is_bi;
}

static bool is_locked_by_nobody(const struct beacon_facts *f)
{
    return f->is_locked && !f->running.id;
}

static bool is_locked_by_the_past(const struct beacon_facts *f)
{
    return f->is_locked && f->running.is_over;
}

static bool is_not_needed(const struct beacon_facts *f)
{
    return !f->is_forced && !is_failover_from(f, source(f));
}

static bool is_target_unknown(const struct beacon_facts *f)
{
    return f->is_forced && !find(f, f->target);
}

static bool is_conflict(const struct beacon_facts *f)
{
    return f->is_forced && f->running.id && !text_eq_nocase(f->target, f->running.to);
}

static bool is_there(const struct beacon_facts *f)
{
    return f->is_forced && !f->running.id && text_eq_nocase(f->target, f->active);
}

static bool is_cross_zone(const struct beacon_facts *f)
{
    const struct beacon_dc *target = find(f, f->target);
    return f->is_forced && target && is_other_zone(f, target);
}

static bool is_running_to_the_sick(const struct beacon_facts *f)
{
    return !f->is_forced && f->running.id && !is_healthy(f, f->running.to);
}

static bool is_running(const struct beacon_facts *f)
{
    return f->running.id != 0;
}

static bool has_no_target(const struct beacon_facts *f)
{
    return !f->is_forced && !choose(f);
}

static bool always(const struct beacon_facts *f)
{
    (void)f;
    return true;
}

/* ---- then ---- */

static void say_not_allowed(const struct beacon_facts *f, struct beacon_verdict *v)
{
    (void)f;
    answer(v, BEACON_SKIP, "auto migration not allow");
}

static void say_unwell(const struct beacon_facts *f, struct beacon_verdict *v)
{
    answer(v, BEACON_SKIP, "%s", f->unhealthy);
}

static void say_unknown(const struct beacon_facts *f, struct beacon_verdict *v)
{
    answer(v, BEACON_SKIP, "cluster not found:%.128s", f->cluster);
}

static void say_wrong_type(const struct beacon_facts *f, struct beacon_verdict *v)
{
    answer(v, BEACON_SKIP, "cluster %.128s not support migration", f->cluster);
}

static void say_mismatch(const struct beacon_facts *f, struct beacon_verdict *v)
{
    answer(v, BEACON_SKIP, "cluster meta not match for %.128s", f->cluster);
}

static void say_no_choice(const struct beacon_facts *f, struct beacon_verdict *v)
{
    (void)f;
    answer(v, BEACON_FAILED, "[bi migrate] cannot make a choice");
}

static void exclude(const struct beacon_facts *f, struct beacon_verdict *v)
{
    v->action = BEACON_EXCLUDE;
    v->dc_count = excludable(f, v->dcs);
}

static void say_no_event(const struct beacon_facts *f, struct beacon_verdict *v)
{
    answer(v, BEACON_FAILED, "unexpect migration data for %.128s-%lld: on migration but no event",
           f->cluster, (long long)f->running.event_id);
}

static void say_event_over(const struct beacon_facts *f, struct beacon_verdict *v)
{
    answer(v, BEACON_FAILED,
           "unexpect migration data for %.128s-%lld: on migration but event finish", f->cluster,
           (long long)f->running.event_id);
}

static void say_done(const struct beacon_facts *f, struct beacon_verdict *v)
{
    (void)f;
    answer(v, BEACON_DONE, "success");
}

static void say_target_unknown(const struct beacon_facts *f, struct beacon_verdict *v)
{
    answer(v, BEACON_SKIP, "unknown target dc %.128s for migration for %.128s",
           f->target ? f->target : "null", f->cluster);
}

static void say_conflict(const struct beacon_facts *f, struct beacon_verdict *v)
{
    answer(v, BEACON_SKIP,
           "%.128s migration conflict, my target dc %.128s, but current migration target dc %.128s",
           f->cluster, f->target, f->running.to);
}

static void say_cross_zone(const struct beacon_facts *f, struct beacon_verdict *v)
{
    answer(v, BEACON_SKIP, "%.128s migration %.128s->%.128s cross zone", f->cluster, source(f),
           find(f, f->target)->name);
}

static void say_no_dc(const struct beacon_facts *f, struct beacon_verdict *v)
{
    answer(v, BEACON_SKIP, "no available dc for migration for %.128s", f->cluster);
}

static void go_on(const struct beacon_facts *f, struct beacon_verdict *v)
{
    v->action = BEACON_CONTINUE;
    v->to = f->running.to;
}

/* Who says that the DC is down takes what a dead source costs (9.2 (2)); a drill on a living one does not. */
static void create(const struct beacon_facts *f, struct beacon_verdict *v)
{
    bool is_down = is_group_down_in(f, f->active) || is_failover_from(f, f->active);
    v->action = BEACON_CREATE;
    v->to = f->is_forced ? find(f, f->target)->name : choose(f)->name;
    v->mode = is_down ? MODE_DISASTER : MODE_AUTO;
}

/* ---- the table ---- */

struct rule {
    const char *id;
    bool (*when)(const struct beacon_facts *);
    void (*then)(const struct beacon_facts *, struct beacon_verdict *);
    const char *what;
};

/* clang-format off */
static const struct rule rules[] = {
    { "B10", is_not_allowed, say_not_allowed, "allow.migration.auto is off: skip" },
    { "B12", is_unwell, say_unwell, "the machinery of migrations is unwell, and that is not ignored: skip" },
    { "B14", is_unknown, say_unknown, "no such cluster: skip" },
    { "B16", is_wrong_type, say_wrong_type, "its type cannot do that: skip" },
    { "B18", is_mismatch, say_mismatch, "not forced, and the monitor looks at other groups than the metadata has: skip" },
    { "B20", has_nothing_to_exclude, say_no_choice, "bi: no DC is down, or no other one is well: failed" },
    { "B22", is_bi, exclude, "bi: the DCs that are down go out of client routing" },
    { "B30", is_locked_by_nobody, say_no_event, "locked by an event that does not have it: failed" },
    { "B32", is_locked_by_the_past, say_event_over, "locked by an event that is over: failed" },
    { "B34", is_not_needed, say_done, "not forced, and not from where it is active (or comes from): done" },
    { "B40", is_target_unknown, say_target_unknown, "forced to a DC that is none of its own: skip" },
    { "B42", is_conflict, say_conflict, "forced to another DC than where it is on its way to: skip" },
    { "B44", is_there, say_done, "forced to where it is: done" },
    { "B46", is_cross_zone, say_cross_zone, "forced to another zone: skip" },
    { "B50", is_running_to_the_sick, say_no_dc, "not forced, and on its way to a DC that is down: skip" },
    { "B52", is_running, go_on, "on its way: go on, wait" },
    { "B54", has_no_target, say_no_dc, "not forced, and no other DC of the zone is well: skip" },
    { "B60", always, create, "an event, go, wait; mode disaster when the monitor says that the active DC is down, else auto" },
};
/* clang-format on */

void beacon_decide(const struct beacon_facts *facts, struct beacon_verdict *ret_verdict)
{
    *ret_verdict = (struct beacon_verdict){ .mode = MODE_AUTO };
    const struct rule *rule = rules;
    while (!rule->when(facts)) {
        rule++; /* the last one fits always */
    }
    ret_verdict->rule = rule->id;
    ret_verdict->why = rule->what;
    rule->then(facts, ret_verdict);
}
