/* slot_mover.c - see slot_mover.h.
 *
 * Answers carry the term in which they were asked for; losing the leadership ends the term, and with it
 * everything under way: the next leader finds the records and carries on. */
#include "meta/slots/slot_mover.h"

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"

#include "shared/base/banned.h"

#define READING_MS         20 /* the list of servers is being read */
#define BACKOFF_MIN_MS     1000
#define BACKOFF_MAX_MS     60000
#define FOLLOW_UP_PARALLEL 8
#define TERM_SHIFT         16

static struct metric assigned_total = METRIC_COUNTER_INIT(
    "xpipe_meta_slot_moves_total", "kind=\"assigned\"", "Slots given to a metaserver.");
static struct metric moved_total = METRIC_COUNTER_INIT(
    "xpipe_meta_slot_moves_total", "kind=\"moved\"", "Slots given to a metaserver.");
static struct metric failed_total = METRIC_COUNTER_INIT(
    "xpipe_meta_slot_moves_total", "kind=\"failed\"", "Slots given to a metaserver.");
static struct metric dropped_total =
    METRIC_COUNTER_INIT("xpipe_meta_slot_notices_dropped_total", "",
                        "Best-effort slot commands dropped because too many were waiting.");

enum stage {
    STAGE_MARK,
    STAGE_IMPORT,
    STAGE_EXPORT,
    STAGE_COMMIT,
    STAGE_ADD,
    STAGE_DELETE,
    STAGE_ROLLBACK
};
static const char *const stage_names[] = {
    [STAGE_MARK] = "mark",        [STAGE_IMPORT] = "import", [STAGE_EXPORT] = "export",
    [STAGE_COMMIT] = "commit",    [STAGE_ADD] = "add",       [STAGE_DELETE] = "delete",
    [STAGE_ROLLBACK] = "rollback"
};

/* One hand-over under way. */
struct hand_over {
    bool is_used;
    enum stage stage;
    struct slot_step step;
    int64_t marked; /* the transaction that wrote the mark */
};

struct follow_up {
    enum slot_command command;
    int slot;
    int64_t server_id;
};

struct slot_mover {
    struct slot_mover_options options;
    bool is_leader;
    uint64_t term;
    struct loop_timer timer;
    mono_ms timer_at;

    /* the task */
    bool is_busy;
    bool look_again;
    bool is_urgent;  /* the servers changed: start no further hand-over */
    bool is_running; /* inside run_hand_overs */
    struct slot_plan plan;
    size_t next_step;
    int assigns_pending;
    int failures;
    mono_ms task_deadline;
    struct hand_over hand_overs[MOVER_PARALLEL];

    int64_t backoff_ms; /* 0: the last task went well */
    mono_ms moves_not_before;
    /* the last task, of ours or of the leader before us, may have stopped half way */
    bool is_unlevel;

    struct follow_up follow_ups[MOVER_FOLLOW_UPS_MAX]; /* ring */
    size_t follow_first;
    size_t follow_count;
    int follow_running;
};

static void run_hand_overs(struct slot_mover *m);
static void task_check_end(struct slot_mover *m);

static void look_in(struct slot_mover *m, int64_t delay_ms)
{
    mono_ms at = loop_now(m->options.loop) + delay_ms;
    if (!loop_timer_is_running(&m->timer) || at < m->timer_at) {
        m->timer_at = at;
        loop_timer_start(&m->timer, delay_ms);
    }
}

static uint64_t token_of(const struct slot_mover *m, size_t index)
{
    return m->term << TERM_SHIFT | index;
}

static bool is_current(const struct slot_mover *m, uint64_t token)
{
    return m->is_leader && token >> TERM_SHIFT == m->term;
}

static int send_command(struct slot_mover *m, int64_t server_id,
                        const struct slot_command_call *call, struct xp_err *err)
{
    if (server_id == m->options.self_id) {
        return slot_keeper_command(m->options.keeper, call, err);
    }
    const struct server_info *to = server_registry_find(m->options.registry, server_id);
    if (!to) {
        return xp_fail(err, XP_UNAVAILABLE, "server %lld is not registered", (long long)server_id);
    }
    return m->options.peer.call(m->options.peer.ctx, to, call, err);
}

static int write_slot(struct slot_mover *m, int slot, struct slot value, slot_table_fn *done,
                      uint64_t token, struct xp_err *err) __attribute__((nonnull));
static int write_slot(struct slot_mover *m, int slot, struct slot value, slot_table_fn *done,
                      uint64_t token, struct xp_err *err)
{
    if (!zk_lease_is_valid(m->options.zk, clock_mono_ms())) {
        return xp_fail(err, XP_NOT_OWNER, "the ZooKeeper lease is over");
    }
    struct slot_write w = { .slot = slot, .value = value, .done = done, .arg = m, .token = token };
    return slot_table_write(m->options.table, &w, err);
}

/* ---- follow-ups ---- */

static void follow_up_next(struct slot_mover *m);

static void follow_up_done(int rc, const struct xp_err *err, void *arg, uint64_t token)
{
    (void)token;
    struct slot_mover *m = arg;
    m->follow_running--;
    if (rc < 0) {
        log_info("slots.notice_failed", "error", err->msg);
    }
    follow_up_next(m);
}

static void follow_up_next(struct slot_mover *m)
{
    while (m->follow_running < FOLLOW_UP_PARALLEL && m->follow_count > 0) {
        struct follow_up f = m->follow_ups[m->follow_first];
        m->follow_first = (m->follow_first + 1) % MOVER_FOLLOW_UPS_MAX;
        m->follow_count--;
        struct slot_command_call call = {
            .command = f.command, .slot = f.slot, .done = follow_up_done, .arg = m
        };
        struct xp_err err;
        if (send_command(m, f.server_id, &call, &err) == 0) {
            m->follow_running++;
        } else {
            log_info("slots.notice_failed", "error", err.msg);
        }
    }
}

static void follow_up(struct slot_mover *m, enum slot_command command, int slot, int64_t server_id)
{
    if (m->follow_count == MOVER_FOLLOW_UPS_MAX) {
        metric_add(&dropped_total, 1);
        return;
    }
    size_t at = (m->follow_first + m->follow_count) % MOVER_FOLLOW_UPS_MAX;
    m->follow_ups[at] =
        (struct follow_up){ .command = command, .slot = slot, .server_id = server_id };
    m->follow_count++;
    follow_up_next(m);
}

/* Members that sent a start id watch the records themselves. */
static void notify_others(struct slot_mover *m, int slot)
{
    size_t count;
    const struct server_info *list = server_registry_list(m->options.registry, &count);
    for (size_t i = 0; i < count; i++) {
        if (!list[i].start_id[0]) {
            follow_up(m, SLOT_NOTIFY, slot, list[i].id);
        }
    }
}

/* ---- assignments ---- */

static void step_failed(struct slot_mover *m, const struct slot_step *step, const char *stage,
                        const char *why)
{
    m->failures++;
    metric_add(&failed_total, 1);
    log_warn("slots.step_failed", "slot", log_int(step->slot), "from", log_int(step->from), "to",
             log_int(step->to), "rule", slot_rule_id(step->rule), "stage", stage, "why", why);
}

static void assigned(int rc, int slot, void *arg, uint64_t token)
{
    struct slot_mover *m = arg;
    if (!is_current(m, token)) {
        return;
    }
    const struct slot_step *step = &m->plan.steps[token & ((1U << TERM_SHIFT) - 1)];
    m->assigns_pending--;
    if (rc < 0) {
        step_failed(m, step, "assign", xp_code_info(rc)->name);
    } else {
        metric_add(&assigned_total, 1);
        if (step->to != m->options.self_id) {
            follow_up(m, SLOT_ADD, slot, step->to);
        }
        notify_others(m, slot);
    }
    task_check_end(m);
}

static void send_assignments(struct slot_mover *m)
{
    struct xp_err err;
    for (; m->next_step < m->plan.count; m->next_step++) {
        const struct slot_step *step = &m->plan.steps[m->next_step];
        if (step->action != SLOT_ASSIGN) {
            break;
        }
        m->assigns_pending++;
        if (write_slot(m, step->slot, slot_normal(step->to), assigned, token_of(m, m->next_step),
                       &err) < 0) {
            m->assigns_pending--;
            step_failed(m, step, "assign", err.msg);
        }
    }
}

/* ---- hand-overs ---- */

static void stage_enter(struct slot_mover *m, struct hand_over *h, enum stage stage);

static size_t index_of(const struct slot_mover *m, const struct hand_over *h)
{
    return (size_t)(h - m->hand_overs);
}

static void hand_over_end(struct slot_mover *m, struct hand_over *h)
{
    h->is_used = false;
    task_check_end(m);
}

/* What happens after a stage ended badly. */
static void stage_failed(struct slot_mover *m, struct hand_over *h, const char *why)
{
    step_failed(m, &h->step, stage_names[h->stage], why);
    switch (h->stage) {
    case STAGE_IMPORT:
    case STAGE_EXPORT:
    case STAGE_COMMIT:
        stage_enter(m, h, STAGE_ROLLBACK);
        break;
    case STAGE_ADD: /* the record is written: the members follow it even if the command was lost */
        stage_enter(m, h, STAGE_DELETE);
        break;
    case STAGE_DELETE:
    case STAGE_MARK:
    case STAGE_ROLLBACK: /* stays MOVING: the next look resumes it */
        hand_over_end(m, h);
        break;
    }
}

static void stage_succeeded(struct slot_mover *m, struct hand_over *h)
{
    int slot = h->step.slot;
    switch (h->stage) {
    case STAGE_MARK:
        h->marked = slot_table_get(m->options.table, slot)->mzxid;
        stage_enter(m, h, STAGE_IMPORT);
        break;
    case STAGE_IMPORT:
    case STAGE_EXPORT:
    case STAGE_COMMIT:
    case STAGE_ADD:
        stage_enter(m, h, h->stage + 1);
        break;
    case STAGE_DELETE:
        metric_add(&moved_total, 1);
        notify_others(m, slot);
        hand_over_end(m, h);
        break;
    case STAGE_ROLLBACK:
        follow_up(m, SLOT_ADD, slot, h->step.from);
        follow_up(m, SLOT_DELETE, slot, h->step.to);
        hand_over_end(m, h);
        break;
    }
}

static void stage_written(int rc, int slot, void *arg, uint64_t token)
{
    (void)slot;
    struct slot_mover *m = arg;
    if (!is_current(m, token)) {
        return;
    }
    struct hand_over *h = &m->hand_overs[token & ((1U << TERM_SHIFT) - 1)];
    if (rc < 0) {
        stage_failed(m, h, log_fmt("write ended with rc %d", rc));
    } else {
        stage_succeeded(m, h);
    }
}

static void stage_called(int rc, const struct xp_err *err, void *arg, uint64_t token)
{
    struct slot_mover *m = arg;
    if (!is_current(m, token)) {
        return;
    }
    struct hand_over *h = &m->hand_overs[token & ((1U << TERM_SHIFT) - 1)];
    if (rc < 0) {
        stage_failed(m, h, err->msg);
    } else {
        stage_succeeded(m, h);
    }
}

static int stage_write(struct slot_mover *m, const struct hand_over *h, struct slot value,
                       struct xp_err *err)
{
    return write_slot(m, h->step.slot, value, stage_written, token_of(m, index_of(m, h)), err);
}

static int stage_call(struct slot_mover *m, const struct hand_over *h, enum slot_command command,
                      struct xp_err *err)
{
    bool is_for_target = command == SLOT_IMPORT || command == SLOT_ADD;
    struct slot_command_call call = { .command = command,
                                      .slot = h->step.slot,
                                      .done = stage_called,
                                      .arg = m,
                                      .token = token_of(m, index_of(m, h)) };
    return send_command(m, is_for_target ? h->step.to : h->step.from, &call, err);
}

static int check_source(struct slot_mover *m, const struct hand_over *h, struct xp_err *err)
{
    const struct slot_entry *e = slot_table_get(m->options.table, h->step.slot);
    bool is_its = e->is_valid && e->slot.server_id == h->step.from;
    return is_its ? 0
                  : xp_fail(err, XP_CONFLICT, "slot %d is not of server %lld any more",
                            h->step.slot, (long long)h->step.from);
}

/* The record may have changed since the plan was made. */
static int mark(struct slot_mover *m, const struct hand_over *h, struct xp_err *err)
{
    int rc = check_source(m, h, err);
    return rc < 0 ? rc : stage_write(m, h, slot_moving(h->step.from, h->step.to), err);
}

/* Who wrote it since the mark may be the source itself: it started again, answered the export before it held anything, and holds
 * the slot by its claim now (slot_keeper.h). */
static int commit(struct slot_mover *m, const struct hand_over *h, struct xp_err *err)
{
    if (slot_table_get(m->options.table, h->step.slot)->mzxid != h->marked) {
        return xp_fail(err, XP_CONFLICT, "slot %d was written by another one since it was marked",
                       h->step.slot);
    }
    return stage_write(m, h, slot_normal(h->step.to), err);
}

/* What is of another one by now stays as it is. */
static int roll_back(struct slot_mover *m, const struct hand_over *h, struct xp_err *err)
{
    int rc = check_source(m, h, err);
    return rc < 0 ? rc : stage_write(m, h, slot_normal(h->step.from), err);
}

static int stage_start(struct slot_mover *m, const struct hand_over *h, struct xp_err *err)
{
    switch (h->stage) {
    case STAGE_MARK:
        return mark(m, h, err);
    case STAGE_IMPORT:
        return stage_call(m, h, SLOT_IMPORT, err);
    case STAGE_EXPORT:
        return stage_call(m, h, SLOT_EXPORT, err);
    case STAGE_COMMIT:
        return commit(m, h, err);
    case STAGE_ADD:
        return stage_call(m, h, SLOT_ADD, err);
    case STAGE_DELETE:
        return stage_call(m, h, SLOT_DELETE, err);
    case STAGE_ROLLBACK:
        return roll_back(m, h, err);
    }
    return xp_fail(err, XP_INTERNAL, "no such stage");
}

static void stage_enter(struct slot_mover *m, struct hand_over *h, enum stage stage)
{
    struct xp_err err;
    h->stage = stage;
    if (stage_start(m, h, &err) < 0) {
        stage_failed(m, h, err.msg);
    }
}

static struct hand_over *hand_over_free_place(struct slot_mover *m)
{
    for (size_t i = 0; i < MOVER_PARALLEL; i++) {
        if (!m->hand_overs[i].is_used) {
            return &m->hand_overs[i];
        }
    }
    return NULL;
}

static bool may_hand_over(const struct slot_mover *m)
{
    return m->is_leader && m->assigns_pending == 0 && m->next_step < m->plan.count &&
           !m->is_urgent && m->failures < MOVER_PARALLEL && clock_mono_ms() < m->task_deadline;
}

/* A hand-over that ends inside the loop only frees its place. */
static void run_hand_overs(struct slot_mover *m)
{
    struct hand_over *h;
    if (m->is_running) {
        return;
    }
    m->is_running = true;
    while (may_hand_over(m) && (h = hand_over_free_place(m))) {
        *h = (struct hand_over){ .is_used = true, .step = m->plan.steps[m->next_step++] };
        stage_enter(m, h, STAGE_MARK);
    }
    m->is_running = false;
}

/* ---- tasks ---- */

static bool has_hand_overs(const struct slot_mover *m)
{
    for (size_t i = 0; i < MOVER_PARALLEL; i++) {
        if (m->hand_overs[i].is_used) {
            return true;
        }
    }
    return false;
}

static void note_outcome(struct slot_mover *m)
{
    if (m->failures == 0) {
        m->backoff_ms = 0;
        m->moves_not_before = MONO_NEVER;
        return;
    }
    int64_t next = m->backoff_ms * 2;
    m->backoff_ms = next < BACKOFF_MIN_MS   ? BACKOFF_MIN_MS
                    : next > BACKOFF_MAX_MS ? BACKOFF_MAX_MS
                                            : next;
    m->moves_not_before = loop_now(m->options.loop) + m->backoff_ms;
    look_in(m, m->backoff_ms);
}

static void task_check_end(struct slot_mover *m)
{
    if (!m->is_busy || m->is_running || m->assigns_pending > 0) {
        return;
    }
    run_hand_overs(m);
    if (!m->is_busy || has_hand_overs(m)) {
        return;
    }
    m->is_busy = false;
    bool is_cut = m->next_step < m->plan.count;
    log_info("slots.task_done", "steps", log_int((int64_t)m->next_step), "failed",
             log_int(m->failures), "cut", is_cut ? "true" : "false");
    note_outcome(m);
    m->is_unlevel = is_cut || m->failures > 0;
    if (m->look_again || is_cut) {
        look_in(m, 0);
    }
    m->look_again = false;
}

static void decide(struct slot_mover *m)
{
    struct slot_fact slots[SLOT_COUNT];
    for (int i = 0; i < SLOT_COUNT; i++) {
        const struct slot_entry *e = slot_table_get(m->options.table, i);
        slots[i] = (struct slot_fact){ .is_known = e->is_valid, .slot = e->slot };
    }
    mono_ms now = loop_now(m->options.loop);
    struct slot_plan_facts facts = {
        .slots = slots,
        .servers_known_since = server_registry_known_since(m->options.registry),
        .now = now,
        .gone_grace_ms = m->options.gone_grace_ms,
        .unknown_grace_ms = m->options.unknown_grace_ms,
        .allow_moves = m->moves_not_before == MONO_NEVER || now >= m->moves_not_before,
        .level_out = m->is_unlevel,
    };
    const struct server_info *list = server_registry_list(m->options.registry, &facts.alive_count);
    facts.gone = server_registry_gone(m->options.registry, &facts.gone_count);
    AUTO_FREE int64_t *alive = xcalloc(facts.alive_count + 1, sizeof(*alive));
    for (size_t i = 0; i < facts.alive_count; i++) {
        alive[i] = list[i].id;
    }
    facts.alive = alive;
    slot_plan_decide(&facts, &m->plan);
    if (!facts.allow_moves) {
        look_in(m, m->moves_not_before -
                       now); /* the look that was meant for then may have been this one */
    } else if (m->plan.count == 0) {
        m->is_unlevel = false;
    }
    if (m->plan.look_again_at != MONO_FOREVER) {
        look_in(m, m->plan.look_again_at - now + 1);
    }
}

static void log_plan(const struct slot_plan *plan)
{
    AUTO_STR struct str text = STR_INIT(1 << 16);
    slot_plan_print(plan, &text);
    const char *cursor = str_text(&text);
    const char *line;
    size_t length;
    while (text_next_part(&cursor, "\n", &line, &length)) {
        log_info("slots.plan", "slots", log_fmt("%.*s", (int)length, line));
    }
}

static void task_start(struct slot_mover *m)
{
    decide(m);
    if (m->plan.count == 0) {
        return;
    }
    log_plan(&m->plan);
    m->is_busy = true;
    m->look_again = false;
    m->is_urgent = false;
    m->next_step = 0;
    m->assigns_pending = 0;
    m->failures = 0;
    m->task_deadline = clock_mono_ms() + MOVER_TASK_MS;
    send_assignments(m);
    task_check_end(m);
}

static void timer_fired(struct loop_timer *t)
{
    struct slot_mover *m = CONTAINER_OF(t, struct slot_mover, timer);
    if (!m->is_leader) {
        return;
    }
    look_in(m, m->options.check_ms);
    if (m->is_busy) {
        m->look_again = true;
    } else if (server_registry_is_reading(m->options.registry)) {
        look_in(m, READING_MS); /* who seems gone may be back: slot_keeper.h, Claims */
    } else if (slot_table_is_loaded(m->options.table) &&
               server_registry_is_complete(m->options.registry) &&
               zk_lease_is_valid(m->options.zk, clock_mono_ms())) {
        task_start(m);
    }
}

struct slot_mover *slot_mover_new(const struct slot_mover_options *options)
{
    struct slot_mover *m = xcalloc(1, sizeof(*m));
    m->options = *options;
    m->moves_not_before = MONO_NEVER;
    metric_register(&assigned_total);
    metric_register(&moved_total);
    metric_register(&failed_total);
    metric_register(&dropped_total);
    loop_timer_init(&m->timer, options->loop, timer_fired);
    return m;
}

void slot_mover_free(struct slot_mover *m)
{
    if (m) {
        loop_timer_stop(&m->timer);
        m->options.peer.forget(m->options.peer.ctx, m);
        free(m);
    }
}

void slot_mover_set_leader(struct slot_mover *m, bool is_leader)
{
    if (m->is_leader == is_leader) {
        return;
    }
    m->is_leader = is_leader;
    m->term++;
    m->is_busy = false;
    m->look_again = false;
    m->is_urgent = false;
    m->follow_count = 0;
    m->backoff_ms = 0;
    m->moves_not_before = MONO_NEVER;
    m->is_unlevel = true;
    for (size_t i = 0; i < MOVER_PARALLEL; i++) {
        m->hand_overs[i].is_used = false;
    }
    loop_timer_stop(&m->timer);
    if (is_leader) {
        look_in(m, 0);
    }
}

void slot_mover_look(struct slot_mover *m)
{
    if (m->is_leader && m->is_busy) {
        m->look_again = true;
    } else if (m->is_leader) {
        look_in(m, 0);
    }
}

void slot_mover_servers_changed(struct slot_mover *m)
{
    m->is_urgent = m->is_busy;
    slot_mover_look(m);
}
