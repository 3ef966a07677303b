/* switch_record.c - see switch_record.h.
 *
 * A request lives from the call to its answer. It goes to ZooKeeper at most three times (create, the parents, create again); its
 * timer ends it when that takes too long, and carries answers that are known at once out of the caller's stack. */
#include "meta/primary/switch_record.h"

#include <inttypes.h>
#include <string.h>

#include "shared/base/list.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

/* ---- text ---- */

static int decode_fence(const json_t *value, void *field, struct xp_err *err)
{
    static const enum fence_state states[] = { FENCE_NONE, FENCE_HELD, FENCE_FROZEN };
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        if (json_is_string(value) &&
            text_eq(json_string_value(value), fence_state_text(states[i]))) {
            *(enum fence_state *)field = states[i];
            return 0;
        }
    }
    return xp_fail(err, XP_INVALID, "it is none of none, held, frozen");
}

#define SAVED(member)  offsetof(struct fence_saved, member)
#define RECORD(member) offsetof(struct switch_record, member)
/* clang-format off */
static const struct jfield saved_fields[] = {
    { .name = "minSlaves", .type = JF_ID, .offset = SAVED(min_slaves), .flags = JF_REQUIRED },
    { .name = "maxLagS", .type = JF_ID, .offset = SAVED(max_lag_s), .flags = JF_REQUIRED },
    { .name = "writableReplica", .type = JF_BOOL, .offset = SAVED(was_writable_replica) },
    { 0 },
};
/* clang-format on */

static int decode_saved(const json_t *value, void *field, struct xp_err *err)
{
    struct fence_saved saved = { .is_known = true };
    int rc = jd_object(value, saved_fields, &saved, err);
    if (rc == 0) {
        *(struct fence_saved *)field = saved;
    }
    return rc;
}

#define KEPT(member) offsetof(struct switch_kept, member)
/* clang-format off */
static const struct jfield kept_fields[] = {
    { .name = "redis", .type = JF_CUSTOM, .offset = KEPT(redis), .flags = JF_REQUIRED, .decode = switch_words_decode_addr },
    { .name = "saved", .type = JF_CUSTOM, .offset = KEPT(saved), .flags = JF_REQUIRED, .decode = decode_saved },
    { 0 },
};
/* clang-format on */

static int decode_kept(const json_t *value, void *field, struct xp_err *err)
{
    struct switch_kept_list list = { .count = json_array_size(value) };
    if (!json_is_array(value) || list.count > SWITCH_KEPT_MAX) {
        return xp_fail(err, XP_INVALID, "it is no list of at most %d", SWITCH_KEPT_MAX);
    }
    for (size_t i = 0; i < list.count; i++) {
        int rc = jd_object(json_array_get(value, i), kept_fields, &list.items[i], err);
        if (rc == 0 && addr_is_none(&list.items[i].redis)) {
            rc = xp_fail(err, XP_INVALID, "redis: it is no address");
        }
        if (rc != 0) {
            return rc;
        }
    }
    *(struct switch_kept_list *)field = list;
    return 0;
}

/* clang-format off */
static const struct jfield record_fields[] = {
    { .name = "epoch", .type = JF_ID, .offset = RECORD(epoch), .flags = JF_REQUIRED },
    { .name = "fence", .type = JF_CUSTOM, .offset = RECORD(fence), .flags = JF_REQUIRED, .decode = decode_fence },
    { .name = "isolation", .type = JF_BOOL, .offset = RECORD(is_isolation) },
    { .name = "master", .type = JF_CUSTOM, .offset = RECORD(master), .decode = switch_words_decode_addr },
    { .name = "saved", .type = JF_CUSTOM, .offset = RECORD(saved), .decode = decode_saved },
    { .name = "kept", .type = JF_CUSTOM, .offset = RECORD(kept), .decode = decode_kept },
    { .name = "diverged", .type = JF_CUSTOM, .offset = RECORD(diverged), .decode = switch_diverged_decode },
    { .name = "offset", .type = JF_INT64, .offset = RECORD(offset) },
    { .name = "replId", .type = JF_CUSTOM, .offset = RECORD(repl_id), .decode = switch_words_decode_repl_id },
    { .name = "migratingVersion", .type = JF_ID, .offset = RECORD(migrating_version) },
    { .name = "promoted", .type = JF_CUSTOM, .offset = RECORD(promoted), .decode = switch_words_decode_addr },
    { .name = "promoting", .type = JF_BOOL, .offset = RECORD(is_promoting) },
    { .name = "maybePromoted", .type = JF_CUSTOM, .offset = RECORD(maybe), .decode = switch_words_decode_addr },
    { .name = "wallMs", .type = JF_INT64, .offset = RECORD(at) },
    { 0 },
};
/* clang-format on */

/* A member that says nothing is not written. */
static void set_text(json_t *json, const char *name, const char *text)
{
    if (!text_is_empty(text)) {
        json_object_set_new(json, name, jd_text(text));
    }
}

static void set_addr(json_t *json, const char *name, const struct addr *addr)
{
    set_text(json, name, addr_is_none(addr) ? "" : ADDR_TEXT(addr));
}

static json_t *saved_json(const struct fence_saved *saved)
{
    return json_pack("{s:I, s:I, s:b}", "minSlaves", (json_int_t)saved->min_slaves, "maxLagS",
                     (json_int_t)saved->max_lag_s, "writableReplica", saved->was_writable_replica);
}

static void set_kept(json_t *json, const struct switch_kept_list *kept)
{
    json_t *list = json_array();
    for (size_t i = 0; i < kept->count; i++) {
        json_array_append_new(list,
                              json_pack("{s:s, s:o}", "redis", ADDR_TEXT(&kept->items[i].redis),
                                        "saved", saved_json(&kept->items[i].saved)));
    }
    if (kept->count > 0) {
        json_object_set_new(json, "kept", list);
    } else {
        json_decref(list);
    }
}

char *switch_record_to_text(const struct switch_record *r)
{
    json_t *json =
        json_pack("{s:I, s:s}", "epoch", (json_int_t)r->epoch, "fence", fence_state_text(r->fence));
    if (r->is_isolation) {
        json_object_set_new(json, "isolation", json_true());
    }
    set_addr(json, "master", &r->master);
    if (r->saved.is_known) {
        json_object_set_new(json, "saved", saved_json(&r->saved));
    }
    set_kept(json, &r->kept);
    if (r->diverged.count > 0) {
        json_object_set_new(json, "diverged", switch_diverged_to_json(&r->diverged));
    }
    json_object_set_new(json, "offset", json_integer(r->offset));
    set_text(json, "replId", r->repl_id);
    if (r->migrating_version > 0) {
        json_object_set_new(json, "migratingVersion", json_integer(r->migrating_version));
    }
    set_addr(json, "promoted", &r->promoted);
    if (r->is_promoting) {
        json_object_set_new(json, "promoting", json_true());
    }
    set_addr(json, "maybePromoted", &r->maybe);
    json_object_set_new(json, "wallMs", json_integer(r->at));
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    xp_check(text);
    return text;
}

int switch_record_from_text(const char *text, size_t length, struct switch_record *ret,
                            struct xp_err *err)
{
    struct switch_record record = { .version = -1 };
    json_t *json = NULL;
    int rc = jd_parse(text, length, &json, err);
    if (rc == 0) {
        rc = jd_object(json, record_fields, &record, err);
        record.is_isolation &= record.fence == FENCE_HELD;
        json_decref(json);
    }
    if (rc == 0) {
        *ret = record;
    }
    return rc;
}

/* ---- requests ---- */

struct switch_records {
    struct loop *loop;
    char *path; /* "/xpipe/switchover" */
    struct zk *zk;
    struct list requests;
};

struct request {
    struct list link;
    struct zk *zk;     /* that was asked last; NULL: none was */
    char *parent_path; /* "/xpipe/switchover/<cluster>" */
    char *path;
    struct switch_record record; /* of a put: what is to be written */
    bool is_put;
    bool has_parent;         /* it was made sure */
    int rc;                  /* what the timer answers with */
    struct loop_timer timer; /* the time is over, or an answer that is known */
    switch_record_fn *done;
    void *arg;
};

static const struct switch_record no_record = { .version = -1 };

/* No answer reaches it any more. */
static void request_free(struct request *r)
{
    zk_forget(r->zk, r);
    list_remove(&r->link);
    loop_timer_stop(&r->timer);
    free(r->parent_path);
    free(r->path);
    free(r);
}

/* The callback may start, forget, free whatever it likes: nothing of the request is there any more. */
static void finish(struct request *r, int rc)
{
    switch_record_fn *done = r->done;
    void *arg = r->arg;
    struct switch_record record = r->record;
    if (rc < 0) {
        log_info("switch.record_failed", "path", r->path, "call", r->is_put ? "put" : "get",
                 "error", xp_code_info(rc)->name);
    }
    request_free(r);
    done(rc, &record, arg);
}

static void timer_fired(struct loop_timer *t)
{
    struct request *r = CONTAINER_OF(t, struct request, timer);
    finish(r, r->rc);
}

/* Answered from the loop, with 'rc'. */
static void finish_soon(struct request *r, int rc)
{
    r->rc = rc;
    loop_timer_start(&r->timer, 0);
}

static struct request *request_new(struct switch_records *s, int64_t cluster_id, int64_t shard_id,
                                   int64_t timeout_ms)
{
    struct request *r = xcalloc(1, sizeof(*r));
    r->zk = s->zk;
    r->parent_path = xasprintf("%s/%" PRId64, s->path, cluster_id);
    r->path = xasprintf("%s/%" PRId64, r->parent_path, shard_id);
    r->record = no_record;
    r->rc = XP_TIMEOUT;
    list_push_back(&s->requests, &r->link);
    loop_timer_init(&r->timer, s->loop, timer_fired);
    loop_timer_start(&r->timer, timeout_ms);
    return r;
}

/* ---- get ---- */

static void take_node(struct request *r, const char *data, size_t length,
                      const struct zk_stat *stat)
{
    struct xp_err err;
    if (switch_record_from_text(data, length, &r->record, &err) < 0) {
        log_warn("switch.record_unreadable", "path", r->path, "error", err.msg);
        r->record = no_record;
    }
    if (r->record.diverged.left_out > 0) {
        log_warn("switch.record_unreadable", "path", r->path, "member", "diverged", "left_out",
                 log_int((int64_t)r->record.diverged.left_out));
    }
    r->record.version = stat->version;
}

static void node_read(int rc, const char *data, size_t length, const struct zk_stat *stat,
                      void *arg, uint64_t token)
{
    struct request *r = arg;
    (void)token;
    if (rc == 0) {
        take_node(r, data, length, stat);
    }
    finish(r, rc == XP_NOT_FOUND ? 0 : rc);
}

void switch_record_get(struct switch_records *s, int64_t cluster_id, int64_t shard_id,
                       int64_t timeout_ms, switch_record_fn *done, void *arg)
{
    XP_ON_LOOP();
    struct xp_err err;
    struct request *r = request_new(s, cluster_id, shard_id, timeout_ms);
    r->done = done;
    r->arg = arg;
    /* The owner before us may have written through another server: sync first. */
    int rc = s->zk ? zk_sync(s->zk, &err) : XP_UNAVAILABLE;
    rc = rc < 0 ? rc : zk_get(s->zk, r->path, NULL, node_read, r, 0, &err);
    if (rc < 0) {
        finish_soon(r, rc);
    }
}

/* ---- put ---- */

static int send_put(struct request *r);

static void node_set(int rc, const char *data, size_t length, const struct zk_stat *stat, void *arg,
                     uint64_t token)
{
    struct request *r = arg;
    (void)data;
    (void)length;
    (void)token;
    if (rc == 0) {
        r->record.version = stat->version;
    }
    finish(r, rc == XP_NOT_FOUND ? XP_CONFLICT : rc); /* somebody removed it */
}

static void parent_ready(int rc, void *arg, uint64_t token)
{
    struct request *r = arg;
    (void)token;
    rc = rc < 0 ? rc : send_put(r);
    if (rc < 0) {
        finish(r, rc);
    }
}

static void node_created(int rc, const char *path, void *arg, uint64_t token)
{
    struct request *r = arg;
    struct xp_err err;
    (void)path;
    (void)token;
    if (rc == XP_NOT_FOUND && !r->has_parent) {
        r->has_parent = true;
        rc = zk_ensure_path(r->zk, r->parent_path, parent_ready, r, 0, &err);
        if (rc == 0) {
            return;
        }
    }
    if (rc == 0) {
        r->record.version = 0;
    }
    finish(r, rc);
}

static int send_put(struct request *r)
{
    struct xp_err err;
    AUTO_FREE char *text = switch_record_to_text(&r->record);
    if (!r->zk) {
        return XP_UNAVAILABLE;
    }
    if (r->record.version >= 0) {
        return zk_set(r->zk, r->path, text, strlen(text), r->record.version, node_set, r, 0, &err);
    }
    return zk_create(r->zk, r->path, text, strlen(text), ZK_PERSISTENT, node_created, r, 0, &err);
}

void switch_record_put(struct switch_records *s, int64_t cluster_id, int64_t shard_id,
                       const struct switch_record *record, int64_t timeout_ms,
                       switch_record_fn *done, void *arg)
{
    XP_ON_LOOP();
    xp_check(record->fence == FENCE_NONE || record->fence == FENCE_HELD ||
             record->fence == FENCE_FROZEN);
    struct request *r = request_new(s, cluster_id, shard_id, timeout_ms);
    r->is_put = true;
    r->record = *record;
    r->done = done;
    r->arg = arg;
    int rc = send_put(r);
    if (rc < 0) {
        finish_soon(r, rc);
    }
}

/* ---- life ---- */

struct switch_records *switch_records_new(struct loop *loop, const char *zk_namespace)
{
    struct switch_records *s = xcalloc(1, sizeof(*s));
    s->loop = loop;
    s->path = xasprintf("/%s/switchover", zk_namespace);
    list_init(&s->requests);
    return s;
}

/* Requests of an earlier client: what they sent may still be carried out, so a put is unknown. */
void switch_records_set_zk(struct switch_records *s, struct zk *zk)
{
    XP_ON_LOOP();
    if (s->zk == zk) {
        return;
    }
    s->zk = zk;
    list_for_each (it, &s->requests) {
        struct request *r = LIST_ENTRY(it, struct request, link);
        if (r->zk) {
            zk_forget(r->zk, r);
            r->zk = NULL;
            finish_soon(r, XP_UNAVAILABLE);
        }
    }
}

void switch_records_forget(struct switch_records *s, const void *arg)
{
    XP_ON_LOOP();
    list_for_each (it, &s->requests) {
        struct request *r = LIST_ENTRY(it, struct request, link);
        if (r->arg == arg) {
            request_free(r);
        }
    }
}

void switch_records_free(struct switch_records *s)
{
    if (!s) {
        return;
    }
    XP_ON_LOOP();
    list_for_each (it, &s->requests) {
        request_free(LIST_ENTRY(it, struct request, link));
    }
    free(s->path);
    free(s);
}
