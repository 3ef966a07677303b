/* migration_engine_pick.c - which migrations are next: slots, policies of events, the items of a turn (see migration_engine_internal.h).
 *
 * A slot is held from the start of a cluster by its event to its publication, return or pause. A cluster that was asked for by itself begins
 * without one; it gets one before its fence: the results of its check wait for that. What is in its outage never waits. */
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

bool must_wait_for_slot(struct migration_engine *e, struct mig *m)
{
    return is_before_outage(m->status) && !take_slot(e, m);
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
    return m->result_count > 0 && !must_wait_for_slot(e, m);
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
    struct mig *suspect = e->was_suspect ? NULL : pick_suspect(e, now);
    if (!suspect) {
        size_t count = pick_some(e, now, true, ret, max);
        count += pick_some(e, now, false, ret + count, max - count);
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
