/* migration_engine_pick.c - which migrations are next: slots, policies of events, the items of a turn (see migration_engine_internal.h).
 *
 * A slot is held from the start of a cluster by its event to its publication, return or pause. A cluster that was asked for by itself begins
 * without one; it gets one before its fence: the results of its check wait for that, and for the gate of its two DCs. What is in its outage never
 * waits. */
#include "console/migration/migration_engine_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

bool status_is_outage(enum migration_status status)
{
    return status == MIG_MIGRATING || status == MIG_PARTIAL_SUCCESS || status == MIG_PUBLISH ||
           status == MIG_ROLL_BACK;
}

static bool is_before_outage(enum migration_status status)
{
    return status == MIG_INITIATED || status == MIG_CHECKING || status == MIG_CHECKING_FAIL ||
           status == MIG_PRE_MIGRATING;
}

/* ---- slots ---- */

static bool take_slot(struct migration_engine *e, struct mig *m)
{
    if (!m->has_slot && e->slots < e->o.parallel) {
        m->has_slot = true;
        e->slots++;
    }
    return m->has_slot;
}

void settle_slot(struct migration_engine *e, struct mig *m)
{
    const struct migration_status_info *info = migration_status_info(m->status);
    bool is_resting = info->is_paused || info->is_terminal ||
                      (m->status == MIG_INITIATED && list_is_empty(&m->asks));
    if (m->has_slot && is_resting) {
        m->has_slot = false;
        e->slots--;
    } else if (!m->has_slot && status_is_outage(m->status)) { /* more than the limit, then */
        m->has_slot = true;
        e->slots++;
    }
}

/* ---- gates ---- */

static uint64_t pair_key(const struct mig *m)
{
    return (uint64_t)m->source_dc_id << 32 | (uint64_t)m->dest_dc_id;
}

static struct dc_pair *pair_of(struct migration_engine *e, const struct mig *m)
{
    struct dc_pair *pair = map_get_n(&e->pairs, pair_key(m));
    if (!pair) {
        pair = xcalloc(1, sizeof(*pair));
        gate_init(&pair->gate);
        map_put_n(&e->pairs, pair_key(m), pair);
    }
    pair->gate.target_ms = e->settings.outage_target_ms;
    return pair;
}

static int64_t stay_left_ms(const struct dc_pair *pair, const struct mig *m, mono_ms now)
{
    return m->entered_at + gate_stay_ms(&pair->gate) - now;
}

static void count_inside(struct migration_engine *e, mono_ms now)
{
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&e->pairs, &at))) {
        struct dc_pair *pair = slot->value;
        pair->is_wanted = false;
        gate_count(&pair->gate, 0);
    }
    list_for_each (it, &e->migs) {
        const struct mig *m = LIST_ENTRY(it, struct mig, link);
        struct dc_pair *pair = m->is_inside ? pair_of(e, m) : NULL;
        if (pair && stay_left_ms(pair, m, now) > 0) {
            gate_count(&pair->gate, pair->gate.inside + m->shard_count);
        }
    }
}

int64_t keeps_out_ms(const struct migration_engine *e, const struct mig *m, mono_ms now)
{
    const struct dc_pair *pair = m->is_inside ? map_get_n(&e->pairs, pair_key(m)) : NULL;
    int64_t left_ms = pair && pair->is_wanted ? stay_left_ms(pair, m, now) : 0;
    return left_ms > 0 ? left_ms : INT64_MAX;
}

static bool enter_gate(struct migration_engine *e, struct mig *m, mono_ms now)
{
    if (m->is_inside || m->is_disaster) {
        return true;
    }
    struct dc_pair *pair = pair_of(e, m);
    m->is_inside = gate_enter(&pair->gate, m->shard_count);
    m->entered_at = now;
    pair->is_wanted |= !m->is_inside;
    return m->is_inside;
}

void leave_gate(struct migration_engine *e, struct mig *m, mono_ms now)
{
    if (m->is_inside) {
        struct dc_pair *pair = pair_of(e, m);
        m->is_inside = false;
        gate_left(&pair->gate, m->shard_count, now - m->entered_at, pair->is_wanted);
    }
}

static bool all_are_ok(const struct mig *m)
{
    for (size_t i = 0; i < m->result_count; i++) {
        if (m->results[i].outcome != OUTCOME_OK) {
            return false;
        }
    }
    return true;
}

/* With these results its check is over, and its fence begins. */
static bool is_at_gate(const struct mig *m)
{
    return m->status == MIG_CHECKING && m->result_count > 0 && all_are_ok(m);
}

/* Nothing is promoted before every shard is fenced, and nothing published before every shard is promoted: a commit for each answer would only
 * keep the last one waiting. What goes wrong, or was asked for, does not wait. */
int64_t gather_left_ms(const struct migration_engine *e, const struct mig *m, mono_ms now)
{
    bool is_moving = m->status == MIG_MIGRATING || m->status == MIG_PARTIAL_SUCCESS;
    bool is_wanted = m->wants_look || e->is_stopped || !list_is_empty(&m->asks);
    if (!is_moving || is_wanted || m->result_count == 0 || m->active_calls == 0 || !all_are_ok(m)) {
        return 0;
    }
    int64_t left_ms = e->settings.gather_ms - mono_age(now, m->first_result_at);
    return left_ms > 0 ? left_ms : 0;
}

/* The results of a check are taken together: nothing comes of one alone. */
bool must_wait(struct migration_engine *e, struct mig *m, mono_ms now)
{
    if (!is_before_outage(m->status)) {
        return gather_left_ms(e, m, now) > 0;
    }
    bool is_missing = m->status == MIG_CHECKING && m->active_calls > 0;
    return is_missing || !take_slot(e, m) || (is_at_gate(m) && !enter_gate(e, m, now));
}

/* ---- policies ---- */

static struct mig *first_open(const struct migration_engine *e, const struct event *ev)
{
    list_for_each (it, &e->migs) {
        struct mig *m = LIST_ENTRY(it, struct mig, link);
        if (m->event == ev && !migration_status_info(m->status)->is_terminal) {
            return m;
        }
    }
    return NULL;
}

/* The first cluster of an event, by id, is its canary; it starts by itself only if nobody of the event has begun. */
static bool may_start(const struct migration_engine *e, const struct mig *m)
{
    const struct event *ev = m->event;
    if (!ev->is_started || m->status != MIG_INITIATED || m->in_turn || !list_is_empty(&m->asks)) {
        return false;
    }
    return ev->policy == POLICY_ALL || ev->success_count > 0 ||
           (ev->begun_count == 0 && first_open(e, ev) == m);
}

void start_waiting(struct migration_engine *e)
{
    list_for_each (it, &e->migs) {
        struct mig *m = LIST_ENTRY(it, struct mig, link);
        if (e->slots >= e->o.parallel || e->is_stopped) {
            return;
        }
        if (may_start(e, m) && take_slot(e, m)) {
            list_push_back(&m->asks, &ask_own(e, m, ASK_PROCESS)->link);
        }
    }
}

static void give_to_canary(struct event *ev, struct mig *canary)
{
    struct list *link;
    while ((link = list_pop_front(&ev->asks))) {
        struct ask *ask = LIST_ENTRY(link, struct ask, link);
        ask->id = canary->id;
        list_push_back(&canary->asks, &ask->link);
    }
    log_info("migration.canary", "event", log_int(ev->id), "cluster", canary->cluster);
}

/* Asked for again: what is paused is tried again, too. */
static void retry_paused(struct migration_engine *e, const struct event *ev)
{
    list_for_each (it, &e->migs) {
        struct mig *m = LIST_ENTRY(it, struct mig, link);
        if (m->event == ev && migration_status_info(m->status)->is_paused &&
            list_is_empty(&m->asks)) {
            list_push_back(&m->asks, &ask_own(e, m, ASK_PROCESS)->link);
        }
    }
}

void event_was_started(struct migration_engine *e, struct event *ev)
{
    struct mig *first = first_open(e, ev);
    ev->is_started = true;
    if (first && ev->policy == POLICY_CANARY && ev->success_count == 0) {
        give_to_canary(ev, first);
        return;
    }
    retry_paused(e, ev);
    struct list *link;
    while ((link = list_pop_front(&ev->asks))) {
        ask_answer(LIST_ENTRY(link, struct ask, link), 0, NULL);
    }
}

/* ---- the items of a turn ---- */

static bool has_work(struct migration_engine *e, struct mig *m, mono_ms now)
{
    if (m->in_turn || now < m->retry_at) {
        return false;
    }
    if (e->is_stopped) { /* only what refuses writes now is brought to its end */
        return m->result_count > 0 && status_is_outage(m->status);
    }
    if (!list_is_empty(&m->asks) || m->wants_look) {
        return true;
    }
    return m->result_count > 0 && !must_wait(e, m, now);
}

static size_t pick_some(struct migration_engine *e, mono_ms now, bool is_outage, struct mig **ret,
                        size_t max)
{
    size_t count = 0;
    list_for_each (it, &e->migs) {
        struct mig *m = LIST_ENTRY(it, struct mig, link);
        if (count == max) {
            break;
        }
        if (!m->is_suspect && status_is_outage(m->status) == is_outage && has_work(e, m, now)) {
            ret[count++] = m;
        }
    }
    return count;
}

static struct mig *pick_suspect(struct migration_engine *e, mono_ms now)
{
    list_for_each (it, &e->migs) {
        struct mig *m = LIST_ENTRY(it, struct mig, link);
        if (m->is_suspect && has_work(e, m, now)) {
            return m;
        }
    }
    return NULL;
}

/* Suspects, each alone, and all others take turns. */
size_t pick_migs(struct migration_engine *e, mono_ms now, struct mig **ret, size_t max)
{
    count_inside(e, now);
    struct mig *suspect = e->was_suspect ? NULL : pick_suspect(e, now);
    if (!suspect) {
        size_t count = pick_some(e, now, true, ret, max);
        size_t others = count > 0 && max - count > TURN_OTHERS_MAX ? TURN_OTHERS_MAX : max - count;
        count += pick_some(e, now, false, ret + count, others);
        suspect = count == 0 ? pick_suspect(e, now) : NULL;
        e->was_suspect = suspect != NULL;
        if (!suspect) {
            return count;
        }
    }
    e->was_suspect = true;
    ret[0] = suspect;
    return 1;
}
