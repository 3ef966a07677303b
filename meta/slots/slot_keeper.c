/* slot_keeper.c - see slot_keeper.h. */
#include "meta/slots/slot_keeper.h"

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"

#include "shared/base/banned.h"

#define RIVAL_LOOK_MS 50

static struct metric held_gauge =
    METRIC_GAUGE_INIT("xpipe_meta_slots_held", "", "Slots this metaserver works on.");

struct slot_keeper {
    struct slot_keeper_options options;
    bool is_allowed;
    int64_t registered_zxid;
    bool is_claiming[SLOT_COUNT]; /* our write of its record is under way */
    bool held[SLOT_COUNT];
    int held_count;
    bool was_exported[SLOT_COUNT];
    int32_t exported_version[SLOT_COUNT];
    int64_t rival[SLOT_COUNT]; /* see slot_keeper_rival() */
    mono_ms rival_until[SLOT_COUNT];
    struct loop_timer rival_timer; /* runs while a slot waits */
    struct list exports; /* struct command: carried out, answered when the slot is quiet */
    struct loop_timer check_timer;
};

struct command {
    struct list link; /* in slot_keeper.exports */
    struct slot_keeper *keeper;
    struct slot_command_call call;
};

static const char *const command_paths[] = { [SLOT_IMPORT] = "importslot",
                                             [SLOT_EXPORT] = "exportslot",
                                             [SLOT_ADD] = "addslot",
                                             [SLOT_DELETE] = "deleteslot",
                                             [SLOT_NOTIFY] = "notifyslotchange" };
static const char *const command_verbs[] = { [SLOT_IMPORT] = "import",
                                             [SLOT_EXPORT] = "export",
                                             [SLOT_ADD] = "add",
                                             [SLOT_DELETE] = "delete",
                                             [SLOT_NOTIFY] = "notify" };

const char *slot_command_path(enum slot_command command)
{
    return command_paths[command];
}

enum slot_hold slot_keeper_should_hold(const struct slot_hold_facts *f)
{
    const struct slot_entry *e = f->entry;
    if (!f->is_allowed || !e->is_valid || e->slot.server_id != f->self_id ||
        e->mzxid == SLOT_MZXID_UNKNOWN) {
        return SLOT_NOT_OURS;
    }
    if (f->was_exported && e->slot.state == SLOT_MOVING && e->version == f->exported_version) {
        return SLOT_NOT_OURS;
    }
    if (f->has_rival && f->now < f->rival_until) {
        return SLOT_TO_WAIT;
    }
    return e->mzxid > f->registered_zxid ? SLOT_HELD : SLOT_TO_CLAIM;
}

static mono_ms now_of(const struct slot_keeper *k)
{
    return loop_now(k->options.loop);
}

int64_t slot_keeper_rival(int64_t rival, const struct slot_entry *e, int64_t self_id,
                          bool is_named_registered)
{
    if (!e->is_valid || e->slot.server_id == self_id) {
        return rival;
    }
    if (e->slot.state == SLOT_MOVING && e->slot.to_server_id == self_id) {
        return e->slot.server_id == rival ? 0 : rival; /* he is asked to let go */
    }
    return rival == 0 || is_named_registered ? e->slot.server_id : rival;
}

static bool is_registered(const struct slot_keeper *k, int64_t server_id)
{
    return k->options.is_registered && k->options.is_registered(server_id, k->options.arg);
}

/* He has to hear of it first when the record names us next. */
static void note_rival(struct slot_keeper *k, int slot, const struct slot_entry *e)
{
    bool is_ours = e->is_valid && e->slot.server_id == k->options.self_id;
    k->rival[slot] = slot_keeper_rival(k->rival[slot], e, k->options.self_id,
                                       is_registered(k, e->slot.server_id));
    if (!is_ours) {
        k->rival_until[slot] = MONO_NEVER;
    } else if (k->rival[slot] != 0 && k->rival_until[slot] == MONO_NEVER) {
        k->rival_until[slot] = now_of(k) + zk_lease_ms(k->options.zk);
    }
}

static bool has_rival(const struct slot_keeper *k, int slot)
{
    return k->rival[slot] != 0 && is_registered(k, k->rival[slot]);
}

/* Won or lost: the table tells slot_keeper_look(). Without an answer the record is as it was: once more. */
static void claimed(int rc, int slot, void *arg, uint64_t token)
{
    (void)token;
    struct slot_keeper *k = arg;
    k->is_claiming[slot] = false;
    if (rc != 0 && rc != XP_CONFLICT) {
        slot_keeper_look(k, slot);
    }
}

static void claim(struct slot_keeper *k, int slot)
{
    struct xp_err err;
    struct slot_write write = { .slot = slot,
                                .value = slot_table_get(k->options.table, slot)->slot,
                                .done = claimed,
                                .arg = k };
    if (!k->is_claiming[slot]) {
        k->is_claiming[slot] = slot_table_write(k->options.table, &write, &err) == 0;
    }
}

void slot_keeper_look(struct slot_keeper *k, int slot)
{
    note_rival(k, slot, slot_table_get(k->options.table, slot));
    struct slot_hold_facts facts = { .is_allowed = k->is_allowed,
                                     .self_id = k->options.self_id,
                                     .registered_zxid = k->registered_zxid,
                                     .entry = slot_table_get(k->options.table, slot),
                                     .was_exported = k->was_exported[slot],
                                     .exported_version = k->exported_version[slot],
                                     .has_rival = has_rival(k, slot),
                                     .now = now_of(k),
                                     .rival_until = k->rival_until[slot] };
    enum slot_hold verdict = slot_keeper_should_hold(&facts);
    bool should = verdict == SLOT_HELD;
    if (verdict == SLOT_TO_CLAIM) {
        claim(k, slot);
    } else if (verdict == SLOT_TO_WAIT && !loop_timer_is_running(&k->rival_timer)) {
        loop_timer_start(&k->rival_timer, RIVAL_LOOK_MS);
    } else if (should) {
        k->rival[slot] = 0;
    }
    if (should == k->held[slot]) {
        return;
    }
    k->held[slot] = should;
    k->held_count += should ? 1 : -1;
    metric_set(&held_gauge, k->held_count);
    log_debug(should ? "slot.gained" : "slot.lost", "slot", log_int(slot));
    k->options.on_slot(slot, should, k->options.arg);
}

static void look_at_all(struct slot_keeper *k)
{
    int before = k->held_count;
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        slot_keeper_look(k, slot);
    }
    if (before != k->held_count) {
        log_info("slots.held", "before", log_int(before), "now", log_int(k->held_count));
    }
}

/* Heals what an event that never came would have told. */
static void check_timer_fired(struct loop_timer *t)
{
    struct slot_keeper *k = CONTAINER_OF(t, struct slot_keeper, check_timer);
    loop_timer_start(t, k->options.check_ms);
    look_at_all(k);
}

/* Until the rivals are gone, or had a lease's time to hear. */
static void rival_timer_fired(struct loop_timer *t)
{
    struct slot_keeper *k = CONTAINER_OF(t, struct slot_keeper, rival_timer);
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        if (k->rival[slot] != 0 && !k->held[slot]) {
            slot_keeper_look(k, slot);
        }
    }
}

void slot_keeper_allow(struct slot_keeper *k, bool is_allowed, int64_t registered_zxid)
{
    if (k->is_allowed == is_allowed && (!is_allowed || k->registered_zxid == registered_zxid)) {
        return;
    }
    k->is_allowed = is_allowed;
    k->registered_zxid = registered_zxid;
    look_at_all(k);
}

static void answer_export(struct command *c, int rc, const struct xp_err *err)
{
    list_remove(&c->link);
    c->call.done(rc, err, c->call.arg, c->call.token);
    free(c);
}

void slot_keeper_quiet(struct slot_keeper *k, int slot)
{
    struct xp_err none = { 0 };
    list_for_each (it, &k->exports) {
        struct command *c = LIST_ENTRY(it, struct command, link);
        if (c->call.slot == slot) {
            answer_export(c, 0, &none);
        }
    }
}

/* Refused: the answer must not promise what nobody watches any more. */
void slot_keeper_stop(struct slot_keeper *k)
{
    struct xp_err err;
    int rc = xp_fail(&err, XP_UNAVAILABLE, "shutting down");
    for (struct list *link; (link = list_pop_front(&k->exports));) {
        answer_export(LIST_ENTRY(link, struct command, link), rc, &err);
    }
}

struct slot_keeper *slot_keeper_new(const struct slot_keeper_options *options)
{
    struct slot_keeper *k = xcalloc(1, sizeof(*k));
    k->options = *options;
    list_init(&k->exports);
    metric_set(&held_gauge, 0);
    loop_timer_init(&k->check_timer, options->loop, check_timer_fired);
    loop_timer_start(&k->check_timer, options->check_ms);
    loop_timer_init(&k->rival_timer, options->loop, rival_timer_fired);
    return k;
}

void slot_keeper_free(struct slot_keeper *k)
{
    if (k) {
        loop_timer_stop(&k->check_timer);
        loop_timer_stop(&k->rival_timer);
        xp_check(list_is_empty(&k->exports));
        free(k);
    }
}

bool slot_keeper_owns(const struct slot_keeper *k, int slot, mono_ms now)
{
    return slot >= 0 && slot < SLOT_COUNT && k->held[slot] && zk_lease_is_valid(k->options.zk, now);
}

bool slot_keeper_holds(const struct slot_keeper *k, int slot)
{
    return slot >= 0 && slot < SLOT_COUNT && k->held[slot];
}

bool slot_keeper_has_exported(const struct slot_keeper *k, int slot)
{
    const struct slot_entry *e = slot_table_get(k->options.table, slot);
    return e->is_valid && e->slot.state == SLOT_MOVING && k->was_exported[slot] &&
           e->version == k->exported_version[slot];
}

/* ---- commands ---- */

/* May the leader ask this of us, with the record as it is? */
static bool command_fits(enum slot_command command, const struct slot_entry *e, int64_t self_id)
{
    bool is_moving = e->slot.state == SLOT_MOVING;
    switch (command) {
    case SLOT_IMPORT:
        return e->is_valid && is_moving && e->slot.to_server_id == self_id;
    case SLOT_EXPORT:
        return e->is_valid && is_moving && e->slot.server_id == self_id;
    case SLOT_ADD:
        return e->is_valid && !is_moving && e->slot.server_id == self_id;
    case SLOT_DELETE:
        return e->is_valid && !is_moving && e->slot.server_id != self_id;
    case SLOT_NOTIFY:
        return true;
    }
    return false;
}

static void carry_out(struct slot_keeper *k, enum slot_command command, int slot)
{
    if (command == SLOT_EXPORT) {
        k->was_exported[slot] = true;
        k->exported_version[slot] = slot_table_get(k->options.table, slot)->version;
    }
    slot_keeper_look(k, slot);
}

static bool is_quiet(const struct slot_keeper *k, int slot)
{
    return !k->options.is_quiet || k->options.is_quiet(slot, k->options.arg);
}

static void record_read(int rc, int slot, void *arg, uint64_t token)
{
    (void)token;
    AUTO_FREE struct command *c = arg;
    struct slot_keeper *k = c->keeper;
    const struct slot_entry *e = slot_table_get(k->options.table, slot);
    struct xp_err err = { 0 };
    enum slot_command command = c->call.command;
    if (rc < 0 && rc != XP_NOT_FOUND) {
        rc = xp_fail(&err, (enum xp_code)rc, "cannot read slot %d from ZooKeeper", slot);
    } else if (!command_fits(command, e, k->options.self_id)) {
        rc = xp_fail(&err, XP_CONFLICT, "error %s %d,%s", command_verbs[command], slot,
                     e->is_valid ? SLOT_TEXT(&e->slot) : "null");
    } else if (command == SLOT_EXPORT && k->is_claiming[slot]) {
        rc = xp_fail(&err, XP_CONFLICT, "error export %d: it is being claimed, ask again", slot);
    } else {
        rc = 0;
        carry_out(k, command, slot);
        if (command == SLOT_EXPORT && !is_quiet(k, slot)) {
            list_push_back(&k->exports, &TAKE(c)->link);
            return;
        }
    }
    c->call.done(rc, &err, c->call.arg, c->call.token);
}

int slot_keeper_command(struct slot_keeper *k, const struct slot_command_call *call,
                        struct xp_err *err)
{
    if (call->slot < 0 || call->slot >= SLOT_COUNT) {
        return xp_fail(err, XP_INVALID, "slot %d is not between 0 and %d", call->slot,
                       SLOT_COUNT - 1);
    }
    struct command *c = xcalloc(1, sizeof(*c));
    c->keeper = k;
    c->call = *call;
    int rc = slot_table_read(k->options.table, call->slot, record_read, c, 0, err);
    if (rc < 0) {
        free(c);
    }
    return rc;
}
