/* slot_table.c - see slot_table.h. */
#include "meta/slots/slot_table.h"

#include <string.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define RETRY_MS 500

struct slot_table {
    struct slot_table_options options;
    char *path;
    struct slot_entry entries[SLOT_COUNT];
    bool is_loaded;
    bool is_reading; /* a reading of the whole table is under way */
    bool read_again;
    bool reading_failed;
    bool known_too;    /* this reading (or the next one) reads the nodes under a watch as well */
    int reads_pending; /* of that reading */
    uint64_t round;    /* answers of an older one are dropped */
    struct loop_timer timer;
};

/* One read or write on behalf of somebody; always answered, at the latest when the session is freed. */
struct request {
    struct slot_table *table;
    int slot;
    struct slot value; /* writes */
    slot_table_fn *done;
    void *arg;
    uint64_t token;
};

static void read_all(struct slot_table *t, bool known_too);
static void slot_changed(const char *path, void *arg);

static bool entry_eq(const struct slot_entry *a, const struct slot_entry *b)
{
    return a->exists == b->exists && a->is_valid == b->is_valid && a->version == b->version &&
           a->mzxid == b->mzxid && slot_eq(&a->slot, &b->slot);
}

static void set_entry(struct slot_table *t, int slot, const struct slot_entry *entry)
{
    if (!entry_eq(&t->entries[slot], entry)) {
        t->entries[slot] = *entry;
        t->options.on_slot(slot, t->options.arg);
    }
}

static struct slot_entry entry_of(int slot, const char *data, size_t length,
                                  const struct zk_stat *stat)
{
    struct xp_err err;
    struct slot_entry entry = { .exists = true, .version = stat->version, .mzxid = stat->mzxid };
    if (slot_parse(data, length, &entry.slot, &err) < 0) {
        log_warn("slots.unreadable", "slot", log_int(slot), "error", err.msg);
    } else {
        entry.is_valid = true;
    }
    return entry;
}

/* True when the answer says how the node is. */
static bool take_answer(struct slot_table *t, int slot, int rc, const char *data, size_t length,
                        const struct zk_stat *stat)
{
    if (rc == XP_NOT_FOUND) {
        set_entry(t, slot, &(struct slot_entry){ 0 });
    } else if (rc == 0) {
        struct slot_entry entry = entry_of(slot, data, length, stat);
        set_entry(t, slot, &entry);
    }
    return rc == 0 || rc == XP_NOT_FOUND;
}

static char *slot_path(const struct slot_table *t, int slot)
{
    return xasprintf("%s/%d", t->path, slot);
}

/* ---- one slot ---- */

static void changed_slot_read(int rc, const char *data, size_t length, const struct zk_stat *stat,
                              void *arg, uint64_t slot)
{
    struct slot_table *t = arg;
    if (!take_answer(t, (int)slot, rc, data, length, stat)) {
        loop_timer_start(&t->timer, RETRY_MS);
    }
}

static void slot_changed(const char *path, void *arg)
{
    struct slot_table *t = arg;
    struct xp_err err;
    const char *name = strrchr(path, '/') + 1;
    int64_t slot;
    if (text_to_i64(name, strlen(name), 0, SLOT_COUNT - 1, &slot) &&
        zk_get(t->options.zk, path, slot_changed, changed_slot_read, t, (uint64_t)slot, &err) < 0) {
        loop_timer_start(&t->timer, RETRY_MS);
    }
}

static struct request *request_new(struct slot_table *t, int slot, slot_table_fn *done, void *arg)
{
    struct request *r = xcalloc(1, sizeof(*r));
    r->table = t;
    r->slot = slot;
    r->done = done;
    r->arg = arg;
    return r;
}

static void requested_read(int rc, const char *data, size_t length, const struct zk_stat *stat,
                           void *arg, uint64_t token)
{
    (void)token;
    AUTO_FREE struct request *r = arg;
    take_answer(r->table, r->slot, rc, data, length, stat);
    r->done(rc, r->slot, r->arg, r->token);
}

int slot_table_read(struct slot_table *t, int slot, slot_table_fn *done, void *arg, uint64_t token,
                    struct xp_err *err)
{
    AUTO_FREE char *path = slot_path(t, slot);
    struct request *r = request_new(t, slot, done, arg);
    r->token = token;
    int rc = zk_sync(t->options.zk,
                     err); /* who asks has just written it, maybe through another server */
    rc = rc < 0 ? rc : zk_get(t->options.zk, path, NULL, requested_read, r, 0, err);
    if (rc < 0) {
        free(r);
    }
    return rc;
}

/* Somebody else was faster, or the node vanished: tell the caller once we know how it is. */
static bool read_after_conflict(struct request *r)
{
    struct xp_err err;
    AUTO_FREE char *path = slot_path(r->table, r->slot);
    return zk_get(r->table->options.zk, path, NULL, changed_slot_read, r->table, (uint64_t)r->slot,
                  &err) == 0;
}

static void write_ended(struct request *r, int rc, int32_t version, int64_t mzxid)
{
    if (rc == 0) {
        struct slot_entry entry = {
            .exists = true, .is_valid = true, .slot = r->value, .version = version, .mzxid = mzxid
        };
        set_entry(r->table, r->slot, &entry);
    } else if (rc == XP_CONFLICT || rc == XP_NOT_FOUND) {
        rc = XP_CONFLICT;
        if (!read_after_conflict(r)) {
            loop_timer_start(&r->table->timer, RETRY_MS);
        }
    }
    r->done(rc, r->slot, r->arg, r->token);
    free(r);
}

static void slot_set(int rc, const char *data, size_t length, const struct zk_stat *stat, void *arg,
                     uint64_t token)
{
    (void)data;
    (void)length;
    (void)token;
    write_ended(arg, rc, stat->version, stat->mzxid);
}

/* A fresh node has version 0 and needs its watch. */
static void slot_created(int rc, const char *path, void *arg, uint64_t token)
{
    (void)token;
    struct request *r = arg;
    struct slot_table *t = r->table;
    struct xp_err err;
    int slot = r->slot;
    write_ended(r, rc, 0, SLOT_MZXID_UNKNOWN);
    if (rc == 0 &&
        zk_get(t->options.zk, path, slot_changed, changed_slot_read, t, (uint64_t)slot, &err) < 0) {
        loop_timer_start(&t->timer, RETRY_MS);
    }
}

int slot_table_write(struct slot_table *t, const struct slot_write *w, struct xp_err *err)
{
    AUTO_FREE char *path = slot_path(t, w->slot);
    char text[SLOT_TEXT_MAX];
    slot_text(&w->value, text);
    struct request *r = request_new(t, w->slot, w->done, w->arg);
    r->value = w->value;
    r->token = w->token;
    const struct slot_entry *entry = &t->entries[w->slot];
    int rc;
    if (entry->exists) {
        rc = zk_set(t->options.zk, path, text, strlen(text), entry->version, slot_set, r, 0, err);
    } else {
        rc = zk_create(t->options.zk, path, text, strlen(text), ZK_PERSISTENT, slot_created, r, 0,
                       err);
    }
    if (rc < 0) {
        free(r);
    }
    return rc;
}

/* ---- the whole table ---- */

static void children_changed(const char *path, void *arg)
{
    (void)path;
    read_all(arg, false);
}

static void reading_end(struct slot_table *t)
{
    t->is_reading = false;
    bool again = t->read_again;
    t->read_again = false;
    if (t->reading_failed) {
        loop_timer_start(&t->timer, RETRY_MS);
    } else if (!t->is_loaded) {
        t->is_loaded = true;
        log_info("slots.loaded");
        t->options.on_loaded(t->options.arg);
    }
    if (again) {
        read_all(t, t->known_too);
    }
}

static void one_read(int rc, const char *data, size_t length, const struct zk_stat *stat, void *arg,
                     uint64_t token)
{
    struct slot_table *t = arg;
    if (token / SLOT_COUNT != t->round) {
        return;
    }
    t->reading_failed |= !take_answer(t, (int)(token % SLOT_COUNT), rc, data, length, stat);
    if (--t->reads_pending == 0) {
        reading_end(t);
    }
}

static void read_one(struct slot_table *t, int slot)
{
    struct xp_err err;
    AUTO_FREE char *path = slot_path(t, slot);
    t->reads_pending++;
    if (zk_get(t->options.zk, path, slot_changed, one_read, t,
               t->round * SLOT_COUNT + (uint64_t)slot, &err) < 0) {
        t->reads_pending--;
        t->reading_failed = true;
    }
}

static void path_ready(int rc, void *arg, uint64_t token)
{
    struct slot_table *t = arg;
    if (token != t->round) {
        return;
    }
    t->is_reading = false;
    if (rc == 0) {
        read_all(t, true);
    } else {
        loop_timer_start(&t->timer, RETRY_MS);
    }
}

static void names_read(int rc, const char *const *names, size_t count, void *arg, uint64_t token)
{
    struct slot_table *t = arg;
    struct xp_err err;
    bool listed[SLOT_COUNT] = { false };
    if (token != t->round) {
        return;
    }
    if (rc == XP_NOT_FOUND &&
        zk_ensure_path(t->options.zk, t->path, path_ready, t, t->round, &err) == 0) {
        return;
    }
    t->reading_failed = rc < 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        int64_t slot;
        if (text_to_i64(names[i], strlen(names[i]), 0, SLOT_COUNT - 1, &slot) && !listed[slot]) {
            listed[slot] = true;
            if (t->known_too || !t->entries[slot].exists) {
                read_one(t, (int)slot);
            }
        }
    }
    t->known_too = false;
    for (int slot = 0; rc == 0 && slot < SLOT_COUNT; slot++) {
        if (!listed[slot]) {
            set_entry(t, slot, &(struct slot_entry){ 0 });
        }
    }
    if (t->reads_pending == 0) {
        reading_end(t);
    }
}

/* Nodes that are known are under a watch: an event of the parent is only about the others. */
static void read_all(struct slot_table *t, bool known_too)
{
    struct xp_err err;
    t->known_too |= known_too || !t->is_loaded;
    if (t->is_reading) {
        t->read_again = true;
        return;
    }
    t->round++;
    t->reads_pending = 0;
    t->reading_failed = false;
    /* A new session may be with a server that lags behind: sync first. */
    t->is_reading =
        zk_sync(t->options.zk, &err) == 0 &&
        zk_children(t->options.zk, t->path, children_changed, names_read, t, t->round, &err) == 0;
    if (!t->is_reading && zk_state(t->options.zk) == ZK_READY) {
        loop_timer_start(&t->timer, RETRY_MS); /* too many calls; else the next session reads */
    }
}

static void timer_fired(struct loop_timer *timer)
{
    struct slot_table *t = CONTAINER_OF(timer, struct slot_table, timer);
    loop_timer_start(timer, t->options.refresh_ms);
    read_all(t, true);
}

struct slot_table *slot_table_new(const struct slot_table_options *options)
{
    struct slot_table *t = xcalloc(1, sizeof(*t));
    t->options = *options;
    t->path = xstrdup(options->path);
    t->options.path = t->path;
    loop_timer_init(&t->timer, options->loop, timer_fired);
    loop_timer_start(&t->timer, options->refresh_ms);
    return t;
}

void slot_table_free(struct slot_table *t)
{
    if (!t) {
        return;
    }
    loop_timer_stop(&t->timer);
    free(t->path);
    free(t);
}

void slot_table_on_session(struct slot_table *t, enum zk_state state, bool is_new_session)
{
    if (state == ZK_LOST || (state == ZK_READY && is_new_session)) {
        t->is_loaded = false;
        t->is_reading = false;
        t->read_again = false;
        t->round++;
    }
    if (state == ZK_READY) {
        read_all(t, true);
    }
}

void slot_table_refresh(struct slot_table *t)
{
    read_all(t, true);
}

bool slot_table_is_loaded(const struct slot_table *t)
{
    return t->is_loaded;
}

const struct slot_entry *slot_table_get(const struct slot_table *t, int slot)
{
    return &t->entries[slot];
}
