/* migration_engine.c - see migration_engine.h: the rows it looks after, asks, turns, and the calls that turns committed. */
#include "console/migration/migration_engine.h"

#include <stdio.h>

#include "console/migration/migration_engine_internal.h"
#include "console/store/query.h"
#include "shared/base/fault.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"
#include "shared/base/banned.h"

#define RETRY_MIN_MS    50
#define RETRY_MAX_MS    2000
#define LOOK_AT_MOST_MS 60000 /* a wall clock that is set does not delay a look for longer */
#define LOOK_AGAIN_MS   1000  /* at a moment that has passed, and was looked at */

static void plan_next(struct migration_engine *e);

static int64_t backoff_ms(int failures)
{
    int64_t wait = RETRY_MIN_MS;
    for (int i = 1; i < failures && wait < RETRY_MAX_MS; i++) {
        wait *= 2;
    }
    return wait < RETRY_MAX_MS ? wait : RETRY_MAX_MS;
}

/* ---- asks ---- */

static void refuse_all(struct list *asks)
{
    struct list *link;
    while ((link = list_pop_front(asks))) {
        ask_refuse(LIST_ENTRY(link, struct ask, link), XP_UNAVAILABLE,
                   "the console is shutting down, try again");
    }
}

struct ask *ask_own(struct migration_engine *e, struct mig *m, enum migration_ask what)
{
    struct ask *a = xcalloc(1, sizeof(*a));
    *a = (struct ask){
        .engine = e, .event_id = m->event->id, .id = m->id, .what = what, .actor = xstrdup("policy")
    };
    return a;
}

/* ---- migrations and events ---- */

static struct event *event_of(struct migration_engine *e, int64_t id)
{
    struct event *ev = map_get_n(&e->events, (uint64_t)id);
    if (!ev) {
        ev = xcalloc(1, sizeof(*ev));
        ev->id = id;
        list_init(&ev->asks);
        map_put_n(&e->events, (uint64_t)id, ev);
    }
    return ev;
}

static void event_left(struct migration_engine *e, struct event *ev)
{
    if (--ev->rows > 0) {
        return;
    }
    struct list *link;
    while ((link = list_pop_front(&ev->asks))) { /* all of it is over: nothing is left to do */
        ask_answer(LIST_ENTRY(link, struct ask, link), 0, NULL);
    }
    map_remove_n(&e->events, (uint64_t)ev->id);
    free(ev);
}

static void results_free(struct mig *m)
{
    for (size_t i = 0; i < m->result_count; i++) {
        migration_result_done(&m->results[i]);
    }
    free(m->results);
    m->results = NULL;
    m->result_count = 0;
}

/* Asks that are left go back to where unknown ones are: the rows say what becomes of them. */
static void mig_forget(struct migration_engine *e, struct mig *m)
{
    migration_calls_forget(e->o.calls, m->id);
    map_remove_n(&e->by_id, (uint64_t)m->id);
    list_remove(&m->link);
    e->slots -= m->has_slot;
    struct list *link;
    while ((link = list_pop_front(&m->asks))) {
        list_push_back(&e->inbox, link);
    }
    results_free(m);
    event_left(e, m->event);
    free(m->cluster);
    free(m);
}

static bool comes_before(const struct mig *a, const struct mig *b)
{
    return a->event->id != b->event->id ? a->event->id < b->event->id
                                        : a->cluster_id < b->cluster_id;
}

static void insert_in_order(struct migration_engine *e, struct mig *m)
{
    struct list *at = e->migs.prev;
    while (at != &e->migs && comes_before(m, LIST_ENTRY(at, struct mig, link))) {
        at = at->prev;
    }
    list_push_front(at, &m->link);
}

static void mig_add(struct migration_engine *e, const struct loaded_row *row, bool is_resumed)
{
    if (map_get_n(&e->by_id, (uint64_t)row->id)) {
        return;
    }
    struct mig *m = xcalloc(1, sizeof(*m));
    m->id = row->id;
    m->cluster_id = row->cluster_id;
    m->cluster = xstrdup(row->cluster);
    m->event = event_of(e, row->event_id);
    m->event->rows++;
    m->status = row->status;
    m->is_resumed = is_resumed;
    m->wants_look = true;
    m->retry_at = MONO_NEVER;
    list_init(&m->asks);
    map_put_n(&e->by_id, (uint64_t)m->id, m);
    insert_in_order(e, m);
    settle_slot(e, m);
}

static void take_loaded(struct migration_engine *e, const struct load_job *l)
{
    bool is_first = e->epoch == 0;
    e->epoch = l->epoch;
    for (size_t i = 0; i < l->event_count; i++) {
        const struct loaded_event *from = &l->events[i];
        if (!map_get_n(&e->events, (uint64_t)from->id)) {
            struct event *ev = event_of(e, from->id);
            ev->policy = from->policy;
            ev->is_started = from->is_started;
            ev->begun_count = from->begun_count;
            ev->success_count = from->success_count;
        }
    }
    for (size_t i = 0; i < l->count; i++) {
        mig_add(e, &l->rows[i], is_first);
    }
    if (is_first) {
        log_info("migration.engine_started", "epoch", log_int(e->epoch), "unfinished",
                 log_int((int64_t)l->count));
    }
}

/* ---- where an ask belongs ---- */

static void route_ask(struct migration_engine *e, struct ask *a)
{
    struct mig *m = a->id ? map_get_n(&e->by_id, (uint64_t)a->id) : NULL;
    struct event *ev = a->id ? NULL : map_get_n(&e->events, (uint64_t)a->event_id);
    if (!a->id && a->what != ASK_PROCESS) {
        ask_refuse(a, XP_INVALID, "an event can only be processed; name a cluster");
    } else if (m) {
        list_push_back(&m->asks, &a->link);
    } else if (ev) {
        list_push_back(&ev->asks, &a->link);
    } else if (!a->was_looked_for) {
        e->wants_load = true;
        list_push_back(&e->inbox, &a->link);
    } else {
        look_for(e, a);
    }
}

static void route_inbox(struct migration_engine *e)
{
    struct list waiting;
    list_init(&waiting);
    struct list *link;
    while ((link = list_pop_front(&e->inbox))) {
        list_push_back(&waiting, link);
    }
    while ((link = list_pop_front(&waiting))) {
        route_ask(e, LIST_ENTRY(link, struct ask, link));
    }
}

static void ask_arrived(struct loop_msg *msg)
{
    struct ask *a = CONTAINER_OF(msg, struct ask, msg);
    struct migration_engine *e = a->engine;
    if (e->is_stopped) {
        ask_refuse(a, XP_UNAVAILABLE, "the console is shutting down, try again");
        return;
    }
    log_info("migration.asked", "event", log_int(a->event_id), "migration", log_int(a->id), "ask",
             log_int(a->what), "actor", a->actor);
    route_ask(e, a);
    plan_next(e);
}

static void ask_dropped(struct loop_msg *msg)
{
    ask_free(CONTAINER_OF(msg, struct ask, msg));
}

void migration_engine_ask(struct migration_engine *e, int64_t event_id,
                          int64_t migration_cluster_id, enum migration_ask what, const char *actor,
                          migration_asked_fn *done, void *arg)
{
    struct ask *a = xcalloc(1, sizeof(*a));
    *a = (struct ask){ .msg = { .deliver = ask_arrived, .drop = ask_dropped },
                       .engine = e,
                       .event_id = event_id,
                       .id = migration_cluster_id,
                       .what = what,
                       .actor = xstrdup(actor ? actor : ""),
                       .done = done,
                       .arg = arg };
    loop_post_reserved(e->o.loop, &a->msg); /* bounded by the requests that wait for it */
}

/* ---- a turn ---- */

struct turn_job {
    struct job job;
    struct migration_engine *engine;
    struct migration_settings settings;
    struct migration_turn turn;
    struct mig **migs; /* of the items */
    struct ask **asks; /* of the items; NULL: none */
    int64_t *events;   /* to be marked as started */
    size_t event_count;
    int64_t started_us;
    int64_t duration_us;
    int rc;
    struct xp_err err;
};

static int mark_events(struct db *db, void *arg, struct xp_err *err)
{
    const struct turn_job *t = arg;
    for (size_t i = 0; i < t->event_count; i++) {
        if (query_run(db, Q_ENGINE_EVENT_START, QUERY_ARGS(QI(t->events[i])), err) < 0) {
            return err->code;
        }
    }
    return 0;
}

static int run_both(struct turn_job *t)
{
    struct store *store = t->turn.catalog->store;
    if (fault_hit(FAULT_migration_before_commit)) {
        return xp_fail(&t->err, XP_UNAVAILABLE, "fault point before the commit");
    }
    if (t->event_count > 0 && store_bookkeep(store, mark_events, t, &t->err) < 0) {
        return t->err.code;
    }
    int rc = t->turn.count > 0 ? migration_turn_run(&t->turn, &t->err) : 0;
    (void)fault_hit(FAULT_migration_after_commit);
    return rc;
}

static void turn_run(struct job *job)
{
    struct turn_job *t = CONTAINER_OF(job, struct turn_job, job);
    t->started_us = clock_mono_us();
    t->rc = run_both(t);
    t->duration_us = clock_mono_us() - t->started_us;
}

static void turn_free(struct turn_job *t)
{
    for (size_t i = 0; i < t->turn.count; i++) {
        turn_item_done(&t->turn.items[i]);
    }
    free(t->turn.items);
    free(t->migs);
    free(t->asks);
    free(t->events);
    free(t);
}

static void fill_item(struct migration_engine *e, struct turn_job *t, size_t at)
{
    struct mig *m = t->migs[at];
    struct turn_item *item = &t->turn.items[at];
    bool waits = must_wait(e, m, loop_now(e->o.loop)); /* an ask takes the results with it */
    struct list *link = list_pop_front(&m->asks);
    t->asks[at] = link ? LIST_ENTRY(link, struct ask, link) : NULL;
    item->migration_cluster_id = m->id;
    item->is_resumed = m->is_resumed;
    item->ask = t->asks[at] ? t->asks[at]->what : ASK_NONE;
    item->actor = t->asks[at] ? t->asks[at]->actor : NULL;
    if (!waits) {
        item->results = TAKE(m->results);
        item->result_count = m->result_count;
        m->result_count = 0;
    }
    m->in_turn = true;
    m->wants_look = false;
}

/* Of the change log: one actor when there is one. The timeline names each. */
static const char *actor_of(const struct turn_job *t)
{
    const char *actor = NULL;
    for (size_t i = 0; i < t->turn.count; i++) {
        const char *own = t->asks[i] ? t->asks[i]->actor : NULL;
        if (own && actor && !text_eq(own, actor)) {
            return "migration";
        }
        actor = own ? own : actor;
    }
    return text_is_empty(actor) ? "migration" : actor;
}

static void collect_events(struct migration_engine *e, struct turn_job *t)
{
    size_t at = 0;
    const struct map_slot *slot;
    t->events = xcalloc(map_count(&e->events) + 1, sizeof(*t->events));
    while ((slot = map_next(&e->events, &at))) {
        const struct event *ev = slot->value;
        if (!list_is_empty(&ev->asks)) {
            t->events[t->event_count++] = ev->id;
        }
    }
}

static struct turn_job *turn_new(struct migration_engine *e)
{
    struct turn_job *t = xcalloc(1, sizeof(*t));
    t->engine = e;
    t->settings = e->settings;
    t->migs = xcalloc(TURN_ITEMS_MAX, sizeof(struct mig *));
    t->asks = xcalloc(TURN_ITEMS_MAX, sizeof(struct ask *));
    t->turn = (struct migration_turn){ .catalog = e->o.catalog,
                                       .settings = &t->settings,
                                       .epoch = e->epoch };
    t->turn.items = xcalloc(TURN_ITEMS_MAX, sizeof(*t->turn.items));
    t->turn.count = pick_migs(e, loop_now(e->o.loop), t->migs, TURN_ITEMS_MAX);
    for (size_t i = 0; i < t->turn.count; i++) {
        fill_item(e, t, i);
    }
    t->turn.actor = actor_of(t);
    collect_events(e, t);
    return t;
}

/* ---- a turn that failed: everything goes back, in front of what has come since ---- */

/* It was committed perhaps, and what it wanted to send was not sent: as after a restart. */
static void resume(struct migration_engine *e, struct mig *m)
{
    m->is_resumed = true;
    m->active_calls = 0;
    migration_calls_leave(e->o.calls, m->id);
}

static void give_back(struct turn_job *t, size_t at)
{
    struct mig *m = t->migs[at];
    struct turn_item *item = &t->turn.items[at];
    m->in_turn = false;
    m->wants_look = true;
    if (item->is_resumed && !m->is_resumed) {
        resume(t->engine, m);
    }
    if (t->asks[at]) {
        list_push_front(&m->asks, &TAKE(t->asks[at])->link);
    }
    if (item->result_count > 0) {
        size_t count = item->result_count + m->result_count;
        item->results = xrealloc(item->results, count, sizeof(*item->results));
        for (size_t i = 0; i < m->result_count; i++) { /* there may be none: no memcpy */
            item->results[item->result_count + i] = m->results[i];
        }
        free(m->results);
        m->results = TAKE(item->results);
        m->result_count = count;
        item->result_count = 0;
    }
}

static void turn_failed(struct migration_engine *e, struct turn_job *t)
{
    mono_ms now = loop_now(e->o.loop);
    bool is_of_all = t->rc == XP_UNAVAILABLE || t->turn.count != 1;
    bool is_of_one = t->rc != XP_UNAVAILABLE && t->turn.count > 1;
    for (size_t i = 0; i < t->turn.count; i++) {
        t->migs[i]->is_suspect = t->migs[i]->is_suspect || is_of_one;
        give_back(t, i);
    }
    if (is_of_all) {
        e->failures++;
        e->retry_at = is_of_one ? MONO_NEVER : now + backoff_ms(e->failures);
        log_error("migration.turn_failed", "clusters", log_int((int64_t)t->turn.count), "why",
                  t->err.msg);
        return;
    }
    struct mig *m = t->migs[0]; /* this one alone: the others go on */
    m->failures++;
    m->retry_at = now + backoff_ms(m->failures);
    log_error("migration.cluster_failed", "event", log_int(m->event->id), "cluster", m->cluster,
              "why", t->err.msg);
}

/* ---- a turn that is committed ---- */

static void on_called(struct migration_result *take_result, int64_t id, void *arg)
{
    struct migration_engine *e = arg;
    struct mig *m = map_get_n(&e->by_id, (uint64_t)id);
    if (!m) { /* migration_calls_forget left none */
        migration_result_done(take_result);
        return;
    }
    m->active_calls -= !take_result->goes_on;
    if (take_result->outcome == OUTCOME_NONE) { /* was sent by itself, and is not wanted any more */
        migration_result_done(take_result);
        plan_next(e);
        return;
    }
    report_result(m, take_result);
    if (take_result->call == CALL_PUBLISH && take_result->outcome == OUTCOME_OK) {
        leave_gate(e, m, loop_now(e->o.loop)); /* writes are accepted, and clients know where */
    }
    m->first_result_at = m->result_count > 0 ? m->first_result_at : loop_now(e->o.loop);
    m->results = xrealloc(m->results, m->result_count + 1, sizeof(*m->results));
    m->results[m->result_count++] = *take_result;
    plan_next(e);
}

static void answer_item(struct ask *a, const struct turn_item *item)
{
    struct xp_err err = { .code = item->rc };
    (void)snprintf(err.msg, sizeof(err.msg), "%s", item->err_text);
    ask_answer(a, item->rc, &err);
}

static void count_for_event(struct mig *m, enum migration_status to)
{
    m->event->begun_count += m->status == MIG_INITIATED && to != MIG_INITIATED;
    m->event->success_count += m->status != MIG_SUCCESS && to == MIG_SUCCESS;
}

static void take_place(struct mig *m, const struct migration_cluster_row *row)
{
    m->source_dc_id = row->source_dc_id;
    m->dest_dc_id = row->dest_dc_id;
    m->shard_count = (int64_t)row->shard_count;
    m->is_disaster = row->mode == MODE_DISASTER;
}

/* What a fence said that went on by itself, while the turn decided otherwise: it is no answer to the call of that turn. */
static void drop_overtaken(struct mig *m, const struct migration_plan_call *call)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->result_count; i++) {
        struct migration_result *result = &m->results[i];
        if (result->shard == call->shard && migration_is_behind_hold(result->call)) {
            migration_result_done(result);
        } else {
            m->results[kept++] = *result;
        }
    }
    m->result_count = kept;
}

static void take_row(struct migration_engine *e, struct mig *m, struct turn_item *item)
{
    bool is_changed = item->row.status != m->status;
    take_place(m, &item->row);
    report_row(m, item);
    count_for_event(m, item->row.status);
    m->status = item->row.status;
    m->is_resumed = false;
    m->failures = 0;
    m->is_suspect = false;
    m->wake_at = item->wake_at;
    settle_slot(e, m);
    if (!status_is_outage(m->status)) {
        leave_gate(e, m, loop_now(e->o.loop));
    }
    if (is_changed) {
        report_canary(m);
    }
    for (size_t i = 0; i < item->call_count; i++) {
        m->active_calls++;
        drop_overtaken(m, &item->calls[i]);
        migration_call_start(e->o.calls, &item->row, &item->calls[i], on_called, e);
    }
}

static void take_item(struct migration_engine *e, struct turn_job *t, size_t at)
{
    struct mig *m = t->migs[at];
    struct turn_item *item = &t->turn.items[at];
    bool is_ours = item->row.id == m->id && item->row.epoch == e->epoch;
    m->in_turn = false;
    if (t->asks[at]) {
        answer_item(TAKE(t->asks[at]), item);
    }
    if (!is_ours) {
        log_warn("migration.dropped", "event", log_int(m->event->id), "cluster", m->cluster, "why",
                 item->err_text);
        mig_forget(e, m);
        return;
    }
    take_row(e, m, item);
    if (item->is_over) {
        mig_forget(e, m);
    }
}

static void take_events(struct migration_engine *e, const struct turn_job *t)
{
    for (size_t i = 0; i < t->event_count; i++) {
        struct event *ev = map_get_n(&e->events, (uint64_t)t->events[i]);
        if (ev && !ev->is_started) {
            log_info("migration.event_started", "event", log_int(ev->id), "policy",
                     migration_policy_text(ev->policy), "clusters", log_int(ev->rows));
        }
        if (ev) {
            event_was_started(e, ev);
        }
    }
}

static void turn_committed(struct migration_engine *e, struct turn_job *t)
{
    e->failures = 0;
    take_events(e, t);
    for (size_t i = 0; i < t->turn.count; i++) {
        take_item(e, t, i);
    }
    route_inbox(e);
}

static void turn_ended(struct job *job)
{
    struct turn_job *t = CONTAINER_OF(job, struct turn_job, job);
    struct migration_engine *e = t->engine;
    e->is_busy = false;
    if (job->outcome != 0) { /* never ran: the process ends */
        t->rc = xp_fail(&t->err, XP_UNAVAILABLE, "the daemon is shutting down");
    }
    report_turn(e, t->duration_us, t->turn.count, t->rc);
    if (t->rc < 0) {
        turn_failed(e, t);
    } else {
        turn_committed(e, t);
    }
    turn_free(t);
    if (e->is_stopped) {
        migration_engine_stop(e); /* what was given back is refused */
    }
    plan_next(e);
}

/* ---- when ---- */

static void load_ended(struct job *job)
{
    struct load_job *l = CONTAINER_OF(job, struct load_job, job);
    struct migration_engine *e = l->engine;
    e->is_busy = false;
    if (job->outcome == 0 && l->rc == 0) {
        e->failures = 0;
        take_loaded(e, l);
        route_inbox(e);
    } else if (job->outcome == 0) {
        e->wants_load = true;
        e->failures++;
        e->retry_at = loop_now(e->o.loop) + backoff_ms(e->failures);
        log_error("migration.load_failed", "why", l->err.msg);
    }
    load_free(l);
    plan_next(e);
}

static bool submit(struct migration_engine *e, struct job *job)
{
    struct xp_err err = { 0 };
    if (worker_submit(e->o.pool, job, &err) < 0) {
        e->failures++;
        e->retry_at = loop_now(e->o.loop) + backoff_ms(e->failures);
        log_warn("migration.no_worker", "why", err.msg);
        return false;
    }
    e->is_busy = true;
    return true;
}

static void start_load(struct migration_engine *e)
{
    struct load_job *l = xcalloc(1, sizeof(*l));
    l->engine = e;
    l->epoch = e->epoch;
    l->job = (struct job){ .run = load_run, .done = load_ended, .deadline = MONO_FOREVER };
    e->wants_load = false;
    /* Who comes from now on waits for the next one: this may miss its row. */
    list_for_each (it, &e->inbox) {
        LIST_ENTRY(it, struct ask, link)->was_looked_for = true;
    }
    if (!submit(e, &l->job)) {
        e->wants_load = true;
        load_free(l);
    }
}

static void start_turn(struct migration_engine *e)
{
    struct turn_job *t = turn_new(e);
    if (t->turn.count == 0 && t->event_count == 0) {
        turn_free(t);
        return;
    }
    t->job = (struct job){ .run = turn_run, .done = turn_ended, .deadline = MONO_FOREVER };
    if (!submit(e, &t->job)) {
        for (size_t i = 0; i < t->turn.count; i++) {
            give_back(t, i);
        }
        turn_free(t);
    }
}

/* Marks what is due, and returns how long the rest may wait. */
static int64_t look_at_clocks(struct migration_engine *e)
{
    mono_ms now = loop_now(e->o.loop);
    wall_ms wall = clock_wall_ms();
    int64_t wait = LOOK_AT_MOST_MS;
    list_for_each (it, &e->migs) {
        struct mig *m = LIST_ENTRY(it, struct mig, link);
        int64_t left = m->wake_at > 0 ? m->wake_at - wall : LOOK_AT_MOST_MS;
        if (left <= 0 && m->woken_for == m->wake_at) {
            left = LOOK_AGAIN_MS;
            m->woken_for = 0;
        } else if (left <= 0) {
            m->wants_look = true;
            m->woken_for = m->wake_at;
            left = LOOK_AGAIN_MS;
        }
        if (m->retry_at > now && m->retry_at - now < left) {
            left = m->retry_at - now;
        }
        int64_t kept_out_ms = keeps_out_ms(e, m, now);
        left = kept_out_ms < left ? kept_out_ms : left;
        int64_t gather_ms = gather_left_ms(e, m, now);
        left = gather_ms > 0 && gather_ms < left ? gather_ms : left;
        wait = left < wait ? left : wait;
    }
    if (e->retry_at > now && e->retry_at - now < wait) {
        wait = e->retry_at - now;
    }
    return wait > 0 ? wait : 0;
}

static void plan_next(struct migration_engine *e)
{
    if (e->is_busy) {
        return;
    }
    int64_t wait = look_at_clocks(e);
    if (loop_now(e->o.loop) < e->retry_at) {
        loop_timer_start(&e->timer, wait);
        return;
    }
    if (e->wants_load && !e->is_stopped) {
        start_load(e);
        return;
    }
    start_waiting(e);
    start_turn(e);
    report_gauges(e);
    loop_timer_start(&e->timer, wait);
}

static void timer_fired(struct loop_timer *t)
{
    plan_next(CONTAINER_OF(t, struct migration_engine, timer));
}

static void woken(void *arg)
{
    struct migration_engine *e = arg;
    e->wants_load = true;
    plan_next(e);
}

void migration_engine_wake(struct migration_engine *e)
{
    waker_wake(e->waker);
}

/* ---- life ---- */

struct migration_engine *migration_engine_new(const struct migration_engine_options *options)
{
    xp_check(options->parallel > 0);
    struct migration_engine *e = xcalloc(1, sizeof(*e));
    e->o = *options;
    e->by_id = MAP_INIT(MAP_NUMBER);
    e->events = MAP_INIT(MAP_NUMBER);
    e->pairs = MAP_INIT(MAP_NUMBER);
    e->retry_at = MONO_NEVER;
    e->wants_load = true;
    list_init(&e->migs);
    list_init(&e->inbox);
    report_register();
    loop_timer_init(&e->timer, e->o.loop, timer_fired);
    e->waker = waker_new(e->o.loop, woken, e);
    loop_timer_start(&e->timer, 0);
    return e;
}

void migration_engine_configure(struct migration_engine *e,
                                const struct migration_settings *settings)
{
    e->settings = *settings;
    list_for_each (it, &e->migs) {
        LIST_ENTRY(it, struct mig, link)->wants_look = true; /* limits may be over now */
    }
    loop_timer_start(&e->timer, 0);
}

void migration_engine_stop(struct migration_engine *e)
{
    e->is_stopped = true;
    refuse_all(&e->inbox);
    list_for_each (it, &e->migs) {
        refuse_all(&LIST_ENTRY(it, struct mig, link)->asks);
    }
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&e->events, &at))) {
        refuse_all(&((struct event *)slot->value)->asks);
    }
}

/* What refuses writes is brought to its end, as long as the daemon's drain lasts. */
int migration_engine_active(const struct migration_engine *e)
{
    return e->slots;
}

bool migration_engine_is_idle(const struct migration_engine *e)
{
    if (e->is_busy || e->looks > 0) {
        return false;
    }
    list_for_each (it, &e->migs) {
        const struct mig *m = LIST_ENTRY(it, struct mig, link);
        if (status_is_outage(m->status) && (m->active_calls > 0 || m->result_count > 0)) {
            return false;
        }
    }
    return true;
}

void migration_engine_free(struct migration_engine *e)
{
    if (!e) {
        return;
    }
    loop_timer_stop(&e->timer);
    waker_close(e->waker);
    migration_engine_stop(e);
    list_for_each (it, &e->migs) {
        struct mig *m = LIST_ENTRY(it, struct mig, link);
        results_free(m);
        free(m->cluster);
        free(m);
    }
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&e->events, &at))) {
        free(slot->value);
    }
    at = 0;
    while ((slot = map_next(&e->pairs, &at))) {
        free(slot->value);
    }
    map_done(&e->pairs);
    map_done(&e->events);
    map_done(&e->by_id);
    free(e);
}
