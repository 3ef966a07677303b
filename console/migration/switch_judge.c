/* switch_judge.c - see switch_judge.h.
 *
 * All rules are looked at; E blocks, W warns, P blocks in planned mode and warns in disaster mode.
 *   J10 E the destination does not answer                J30 P no replica of the destination can become master: links, priorities
 *   J12 W the source does not answer                     J32 P it has other data: another replication id
 *   J14 W another DC does not answer                     J34 P it is further behind than allowed
 *   J16 W a metaserver that tells no details             J36 P the data would not arrive within the drain's time
 *   J18 W the destination is primary already             J38 E it is still fenced by an earlier switch, would refuse writes
 *   J20 E the destination says no                        J40 W a replica of the destination is dead, or its link is down
 *   J22 E two or more masters in the destination         J42 W slave-read-only is no
 *   J24 E a master in the destination                    J44 W the source is fenced already
 *   J26 P no living master in the source                 J50 W keepers: none active, not linked, not all living
 *   J28 P two or more masters in the source                 J41 W a full synchronization is under way in the destination
 *   J43 W a replica of the destination has priority 0: others go before it, whatever it has
 *   J46 W the candidate has no backlog, or less than is behind: whoever follows it synchronizes in full
 *
 * What may pass by itself (PASSING): settings of an earlier switch that are about to be put back, links, other data (a Redis that follows the
 * new master in a moment), lag, a Redis that is silent for a moment.
 */
#include "console/migration/switch_judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"

#include "shared/base/banned.h"

/* A fence, a promotion, what they are proved by, one after the other: CONFIG SET, INFO twice, DEL; INFO; SLAVEOF, INFO, DEL; ROLE and INFO,
 * SLAVEOF, ROLE. */
enum { OUTAGE_COMMANDS = 11, ADDRS_MAX = 120 };

enum weight { ERROR, WARN, PLANNED };

static const char *const PASSING[] = { "J26", "J30", "J32", "J34", "J36", "J38" };

struct judging {
    const struct judge_facts *facts;
    struct judge_verdict *verdict;
    const struct judge_dc *source; /* NULL */
    const struct judge_dc *dest;
    const struct check_redis *master; /* of the source; NULL: none, several, nobody knows */
};

static bool is_passing(const char *rule)
{
    for (size_t i = 0; i < ARRAY_LEN(PASSING); i++) {
        if (text_eq(rule, PASSING[i])) {
            return true;
        }
    }
    return false;
}

static void found(struct judging *j, enum weight weight, const char *rule, const char *fmt, ...)
    XP_PRINTF(4, 5);

static void found(struct judging *j, enum weight weight, const char *rule, const char *fmt, ...)
{
    struct judge_verdict *v = j->verdict;
    bool is_error = weight == ERROR || (weight == PLANNED && !j->facts->is_disaster);
    v->is_not_yet = is_error ? (v->may || v->is_not_yet) && is_passing(rule) : v->is_not_yet;
    v->may &= !is_error;
    if (v->count == JUDGE_FINDINGS_MAX) {
        return;
    }
    struct judge_finding *finding = &v->findings[v->count++];
    *finding = (struct judge_finding){ .is_error = is_error, .rule = rule };
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(finding->text, sizeof(finding->text), fmt, args);
    va_end(args);
    for (char *feed = finding->text; (feed = strchr(feed, '\n')); feed++) {
        *feed = ' '; /* one finding, one line of the log */
    }
}

static bool has_details(const struct judge_dc *dc)
{
    return dc && dc->check && dc->check->is_ours;
}

/* Living masters of a DC, and their addresses for a text. */
static size_t masters_of(const struct judge_dc *dc, char ret_addrs[ADDRS_MAX],
                         const struct check_redis **ret_first)
{
    size_t count = 0;
    ret_addrs[0] = '\0';
    *ret_first = NULL;
    for (size_t i = 0; i < dc->check->redis_count; i++) {
        const struct check_redis *redis = &dc->check->redis[i];
        if (!redis->is_alive || !redis->is_master) {
            continue;
        }
        size_t length = strlen(ret_addrs);
        (void)snprintf(ret_addrs + length, ADDRS_MAX - length, "%s%s", count ? ", " : "",
                       ADDR_TEXT(&redis->addr));
        *ret_first = count == 0 ? redis : *ret_first;
        count++;
    }
    return count;
}

/* ---- who answers ---- */

static void judge_answer(struct judging *j, const struct judge_dc *dc)
{
    const char *why = dc->error ? dc->error : dc->was_asked ? "no answer" : "was not asked";
    if (!dc->check) {
        enum weight weight = dc->is_dest ? ERROR : WARN;
        const char *rule = dc->is_dest ? "J10" : dc->is_source ? "J12" : "J14";
        const char *then = dc->is_dest     ? ""
                           : dc->is_source ? "; can it be fenced?"
                                           : "; it follows when it is back";
        found(j, weight, rule, "dc %s: no answer: %.120s%s", dc->dc, why, then);
        return;
    }
    if (!dc->check->is_ours) {
        found(j, WARN, "J16", "dc %s: its metaserver tells no details", dc->dc);
    }
}

/* ---- the source ---- */

static void judge_source(struct judging *j)
{
    char addrs[ADDRS_MAX];
    const struct check_redis *first = NULL;
    if (!has_details(j->source)) {
        return;
    }
    const char *dc = j->source->dc;
    size_t count = masters_of(j->source, addrs, &first);
    if (count == 0) {
        found(j, PLANNED, "J26", "dc %s: no living master, there is nothing to fence", dc);
    } else if (count > 1) {
        found(j, PLANNED, "J28", "dc %s: %zu masters: %s", dc, count, addrs);
    } else {
        j->master = first;
    }
    if (j->master && !j->master->is_read_only) {
        found(j, WARN, "J42", "dc %s: slave-read-only is no on %s: the fence sets it", dc,
              ADDR_TEXT(&j->master->addr));
    }
    enum fence_state fence = j->source->check->fence;
    if (fence == FENCE_HELD || fence == FENCE_FROZEN) {
        found(j, WARN, "J44", "dc %s: fenced already (%s) by an earlier switch", dc,
              fence_state_text(fence));
    }
}

/* ---- the destination ---- */

/* Unknown ids do not differ. */
static bool has_other_data(const struct judging *j, const struct check_redis *redis)
{
    return j->master && j->master->repl_id[0] && redis->repl_id[0] &&
           strcmp(j->master->repl_id, redis->repl_id) != 0;
}

/* In a backup DC without keepers every Redis has priority 0 (meta's priority_decide.h): then it says nothing (promote_decide.c, too). */
static bool is_priority_told(const struct judging *j)
{
    for (size_t i = 0; i < j->dest->check->redis_count; i++) {
        const struct check_redis *redis = &j->dest->check->redis[i];
        if (redis->is_alive && redis->priority != 0) {
            return true;
        }
    }
    return false;
}

static bool may_be_master(const struct check_redis *redis, bool is_priority_told)
{
    return redis->is_alive && !redis->is_master && (redis->priority != 0 || !is_priority_told);
}

/* Better data first, then a link, then the offset; ties keep the order of the document. */
static int rank(const struct judging *j, const struct check_redis *redis)
{
    return (has_other_data(j, redis) ? 0 : 2) + (redis->is_link_up ? 1 : 0);
}

static const struct check_redis *choose_candidate(const struct judging *j)
{
    const struct check_redis *best = NULL;
    bool is_told = is_priority_told(j);
    for (size_t i = 0; i < j->dest->check->redis_count; i++) {
        const struct check_redis *redis = &j->dest->check->redis[i];
        if (!may_be_master(redis, is_told)) {
            continue;
        }
        bool is_better = !best || rank(j, redis) > rank(j, best) ||
                         (rank(j, redis) == rank(j, best) && redis->offset > best->offset);
        best = is_better ? redis : best;
    }
    return best;
}

static void predict(struct judging *j, const struct check_redis *candidate)
{
    struct judge_verdict *v = j->verdict;
    int64_t rate = j->facts->bytes_per_s;
    v->candidate = candidate->addr;
    v->commands = OUTAGE_COMMANDS;
    if (!j->master || j->master->offset < 0 || candidate->offset < 0 ||
        has_other_data(j, candidate)) {
        return;
    }
    int64_t lag = j->master->offset - candidate->offset;
    v->lag_bytes = lag > 0 ? lag : 0;
    if (v->lag_bytes == 0) {
        v->drain_ms = 0;
    } else if (rate > 0) {
        v->drain_ms = v->lag_bytes / rate * 1000 + v->lag_bytes % rate * 1000 / rate;
    }
}

static void judge_candidate(struct judging *j, const struct check_redis *candidate)
{
    const struct judge_facts *f = j->facts;
    const struct judge_verdict *v = j->verdict;
    const char *dc = j->dest->dc;
    const char *addr = ADDR_TEXT(&candidate->addr);
    if (!candidate->is_link_up) {
        found(j, j->master ? PLANNED : WARN, "J30", "dc %s: replica link down: %s", dc, addr);
    }
    if (has_other_data(j, candidate)) {
        found(j, PLANNED, "J32", "dc %s: %s has other data than %s: replication id %.8s, not %.8s",
              dc, addr, ADDR_TEXT(&j->master->addr), candidate->repl_id, j->master->repl_id);
    }
    if (f->max_lag_bytes > 0 && v->lag_bytes > f->max_lag_bytes) {
        found(j, PLANNED, "J34", "dc %s: %s is %lld bytes behind, more than %lld", dc, addr,
              (long long)v->lag_bytes, (long long)f->max_lag_bytes);
    }
    if (f->drain_ms > 0 && v->drain_ms > f->drain_ms) {
        found(j, PLANNED, "J36", "dc %s: %s needs about %lld ms to catch up, more than %lld", dc,
              addr, (long long)v->drain_ms, (long long)f->drain_ms);
    }
    if (candidate->min_slaves == INT32_MAX) {
        found(j, ERROR, "J38",
              "dc %s: %s is still fenced, it would refuse writes: min-slaves-to-write %lld", dc,
              addr, (long long)candidate->min_slaves);
    }
}

/* Unknown (-1) says nothing. */
static void judge_backlog(struct judging *j, const struct check_redis *candidate)
{
    int64_t backlog = candidate->backlog_bytes;
    int64_t lag = j->verdict->lag_bytes;
    if (backlog == 0 || (backlog > 0 && lag > backlog)) {
        found(j, WARN, "J46",
              "dc %s: %s has a backlog of %lld bytes: who follows it after the switch synchronizes "
              "in full",
              j->dest->dc, ADDR_TEXT(&candidate->addr), (long long)backlog);
    }
}

static void judge_replicas(struct judging *j, const struct check_redis *candidate)
{
    const char *dc = j->dest->dc;
    for (size_t i = 0; i < j->dest->check->redis_count; i++) {
        const struct check_redis *redis = &j->dest->check->redis[i];
        if (redis->is_alive && redis->is_syncing) {
            found(j, WARN, "J41", "dc %s: %s is in a full synchronization", dc,
                  ADDR_TEXT(&redis->addr));
        }
        if (redis->is_alive && redis->priority == 0 && is_priority_told(j)) {
            found(j, WARN, "J43", "dc %s: %s has priority 0: it is not promoted", dc,
                  ADDR_TEXT(&redis->addr));
        }
        if (!redis->is_alive) {
            found(j, WARN, "J40", "dc %s: %s does not answer", dc, ADDR_TEXT(&redis->addr));
        } else if (!redis->is_master && !redis->is_link_up && redis != candidate) {
            found(j, WARN, "J40", "dc %s: replica link down: %s", dc, ADDR_TEXT(&redis->addr));
        }
        if (redis->is_alive && !redis->is_read_only) {
            found(j, WARN, "J42", "dc %s: slave-read-only is no on %s", dc,
                  ADDR_TEXT(&redis->addr));
        }
    }
}

static void judge_dest(struct judging *j)
{
    if (!j->dest || !j->dest->check) {
        return;
    }
    const struct switch_check *check = j->dest->check;
    const char *dc = j->dest->dc;
    if (check->type == CHECK_ALREADY_NEW) {
        found(j, WARN, "J18", "dc %s is primary already", dc);
        return;
    }
    if (check->type == CHECK_FAIL) {
        found(j, ERROR, "J20", "dc %s: %.180s", dc, check->message ? check->message : "refused");
    }
    if (!check->is_ours) {
        return;
    }
    char addrs[ADDRS_MAX];
    const struct check_redis *first = NULL;
    size_t masters = masters_of(j->dest, addrs, &first);
    if (masters > 1) {
        found(j, ERROR, "J22", "dc %s: %zu masters: %s", dc, masters, addrs);
    } else if (masters == 1) {
        found(j, ERROR, "J24", "dc %s: %s is a master already", dc, addrs);
    }
    const struct check_redis *candidate = choose_candidate(j);
    if (candidate) {
        predict(j, candidate);
        judge_candidate(j, candidate);
        judge_backlog(j, candidate);
    } else if (masters == 0) {
        found(j, ERROR, "J30", "dc %s: no living replica that may become master", dc);
    }
    judge_replicas(j, candidate);
}

/* ---- keepers ---- */

static void judge_keepers(struct judging *j, const struct judge_dc *dc)
{
    if (!has_details(dc) || dc->check->keepers == 0) {
        return;
    }
    const struct switch_check *check = dc->check;
    if (!check->has_active_keeper) {
        found(j, WARN, "J50", "dc %s: no active keeper", dc->dc);
    } else if (!check->is_active_keeper_linked) {
        found(j, WARN, "J50", "dc %s: the active keeper's link is down", dc->dc);
    }
    if (check->keepers_living < check->keepers) {
        found(j, WARN, "J50", "dc %s: %d of %d keepers live", dc->dc, check->keepers_living,
              check->keepers);
    }
}

void switch_judge(const struct judge_facts *facts, struct judge_verdict *ret_verdict)
{
    *ret_verdict = (struct judge_verdict){ .may = true, .lag_bytes = -1, .drain_ms = -1 };
    struct judging j = { .facts = facts, .verdict = ret_verdict };
    for (size_t i = 0; i < facts->count; i++) {
        j.source = facts->dcs[i].is_source ? &facts->dcs[i] : j.source;
        j.dest = facts->dcs[i].is_dest ? &facts->dcs[i] : j.dest;
        judge_answer(&j, &facts->dcs[i]);
    }
    judge_source(&j);
    judge_dest(&j);
    for (size_t i = 0; i < facts->count; i++) {
        judge_keepers(&j, &facts->dcs[i]);
    }
    if (!j.dest) {
        found(&j, ERROR, "J10", "the destination is not among the DCs that were asked");
    }
}

void judge_verdict_print(const struct judge_verdict *v, struct str *out)
{
    for (size_t i = 0; i < v->count; i++) {
        const struct judge_finding *finding = &v->findings[i];
        str_printf(out, "[%s]%s %s\n", finding->is_error ? "error" : "warn", finding->rule,
                   finding->text);
    }
    if (!addr_is_none(&v->candidate)) {
        str_printf(out, "[info]%s would become master", ADDR_TEXT(&v->candidate));
        if (v->lag_bytes >= 0) {
            str_printf(out, ", %lld bytes behind", (long long)v->lag_bytes);
        }
        if (v->drain_ms >= 0) {
            str_printf(out, ", drained in about %lld ms", (long long)v->drain_ms);
        }
        str_printf(out, ", %d round trips while writes are refused\n", v->commands);
    }
    if (v->may) {
        str_puts(out, "[info]Check success\n");
    }
}
