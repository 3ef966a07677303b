/* readiness_board.c - see readiness_board.h. */
#include "console/migration/readiness_board.h"

#include <stdlib.h>
#include <string.h>

#include "console/migration/migration_events_internal.h"
#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "shared/base/thread.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

struct readiness_board {
    size_t clusters_max;
    int64_t age_max_ms; /* atomic */
    struct mutex lock;
    struct readiness_view **shown XP_GUARDED_BY_MEMBER(lock); /* by id, ascending */
    size_t shown_count XP_GUARDED_BY_MEMBER(lock);
    size_t shown_room XP_GUARDED_BY_MEMBER(lock);
};

/* ---- views ---- */

struct readiness_view *readiness_view_new(int64_t id, const char *cluster, const char *from,
                                          size_t count)
{
    struct readiness_view *v = xcalloc(1, sizeof(*v) + count * sizeof(v->items[0]));
    v->refs = 1;
    v->id = id;
    v->cluster = xstrdup(cluster);
    v->from = xstrdup(from);
    v->count = count;
    return v;
}

struct readiness_view *readiness_view_unknown(int64_t id, const char *cluster, const char *from,
                                              const struct names *to)
{
    size_t count = to->count > 0 ? to->count : 1;
    struct readiness_view *v = readiness_view_new(id, cluster, from, count);
    for (size_t i = 0; i < count; i++) {
        v->items[i].to = xstrdup(i < to->count ? to->items[i] : "");
        v->items[i].lag_bytes = -1;
    }
    return v;
}

static void view_ref(struct readiness_view *v)
{
    (void)__atomic_add_fetch(&v->refs, 1, __ATOMIC_RELAXED);
}

void readiness_view_unref(struct readiness_view *v)
{
    if (!v || __atomic_sub_fetch(&v->refs, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    for (size_t i = 0; i < v->count; i++) {
        free(v->items[i].to);
        free(v->items[i].reasons);
    }
    free(v->cluster);
    free(v->from);
    free(v);
}

const struct readiness_item *readiness_view_find(const struct readiness_view *v, const char *to)
{
    for (size_t i = 0; v && i < v->count; i++) {
        if (text_eq_nocase(v->items[i].to, to)) {
            return &v->items[i];
        }
    }
    return NULL;
}

struct readiness_shown readiness_show(const struct readiness_item *item, mono_ms now,
                                      int64_t age_max_ms, struct readiness_reason *own_reason)
{
    struct readiness_shown shown = { item->planned, item->disaster, item->reasons,
                                     item->reason_count };
    bool is_told = item->planned == READINESS_UNKNOWN && item->reason_count > 0;
    if (!is_told && readiness_age(item->looked_at, now, age_max_ms, own_reason)) {
        shown = (struct readiness_shown){ READINESS_UNKNOWN, READINESS_UNKNOWN, own_reason, 1 };
    }
    return shown;
}

/* ---- the board ---- */

struct readiness_board *readiness_board_new(size_t clusters_max)
{
    struct readiness_board *b = xcalloc(1, sizeof(*b));
    b->clusters_max = clusters_max;
    mutex_init(&b->lock);
    return b;
}

void readiness_board_free(struct readiness_board *b) XP_ALONE
{
    if (!b) {
        return;
    }
    for (size_t i = 0; i < b->shown_count; i++) {
        readiness_view_unref(b->shown[i]);
    }
    free(b->shown);
    mutex_done(&b->lock);
    free(b);
}

void readiness_board_configure(struct readiness_board *b, int64_t age_max_ms)
{
    __atomic_store_n(&b->age_max_ms, age_max_ms, __ATOMIC_RELAXED);
}

static int64_t age_max_of(const struct readiness_board *b)
{
    return __atomic_load_n(&b->age_max_ms, __ATOMIC_RELAXED);
}

/* The first view with an id of at least this one. */
static size_t place_of(const struct readiness_board *b, int64_t id) XP_REQUIRES(b->lock)
{
    size_t low = 0;
    size_t high = b->shown_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (b->shown[middle]->id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool is_at(const struct readiness_board *b, size_t at, int64_t id) XP_REQUIRES(b->lock)
{
    return at < b->shown_count && b->shown[at]->id == id;
}

static void insert_at(struct readiness_board *b, size_t at, struct readiness_view *take)
    XP_REQUIRES(b->lock)
{
    if (b->shown_count == b->shown_room) {
        b->shown_room = b->shown_room ? 2 * b->shown_room : 64;
        b->shown = xrealloc(b->shown, b->shown_room, sizeof(struct readiness_view *));
    }
    memmove(&b->shown[at + 1], &b->shown[at],
            (b->shown_count - at) * sizeof(struct readiness_view *));
    b->shown[at] = take;
    b->shown_count++;
}

bool readiness_board_put(struct readiness_board *b, struct readiness_view *take)
{
    struct readiness_view *unwanted = NULL;
    bool is_taken = true;
    mutex_lock(&b->lock);
    size_t at = place_of(b, take->id);
    if (is_at(b, at, take->id)) {
        unwanted = b->shown[at];
        b->shown[at] = take;
    } else if (b->shown_count < b->clusters_max) {
        insert_at(b, at, take);
    } else {
        unwanted = take;
        is_taken = false;
    }
    mutex_unlock(&b->lock);
    readiness_view_unref(unwanted);
    return is_taken;
}

static struct readiness_view *take_out(struct readiness_board *b, size_t at) XP_REQUIRES(b->lock)
{
    struct readiness_view *v = b->shown[at];
    b->shown_count--;
    memmove(&b->shown[at], &b->shown[at + 1],
            (b->shown_count - at) * sizeof(struct readiness_view *));
    return v;
}

void readiness_board_remove(struct readiness_board *b, int64_t cluster_id)
{
    struct readiness_view *gone = NULL;
    mutex_lock(&b->lock);
    size_t at = place_of(b, cluster_id);
    if (is_at(b, at, cluster_id)) {
        gone = take_out(b, at);
    }
    mutex_unlock(&b->lock);
    readiness_view_unref(gone);
}

void readiness_board_keep(struct readiness_board *b, int64_t after, int64_t before,
                          const int64_t *ids, size_t count)
{
    size_t next = 0;
    mutex_lock(&b->lock);
    size_t at = place_of(b, after + 1);
    while (at < b->shown_count && b->shown[at]->id < before) {
        while (next < count && ids[next] < b->shown[at]->id) {
            next++;
        }
        if (next < count && ids[next] == b->shown[at]->id) {
            at++;
        } else {
            readiness_view_unref(take_out(b, at));
        }
    }
    mutex_unlock(&b->lock);
}

struct readiness_view *readiness_board_get(struct readiness_board *b, int64_t cluster_id)
{
    struct readiness_view *v = NULL;
    mutex_lock(&b->lock);
    size_t at = place_of(b, cluster_id);
    if (is_at(b, at, cluster_id)) {
        v = b->shown[at];
        view_ref(v);
    }
    mutex_unlock(&b->lock);
    return v;
}

static void count_item(struct readiness_counts *counts, const struct readiness_item *item,
                       mono_ms now, int64_t age_max_ms)
{
    struct readiness_reason own;
    struct readiness_shown shown = readiness_show(item, now, age_max_ms, &own);
    counts->by_level[shown.planned]++;
    if (shown.planned != READINESS_UNKNOWN && now - item->looked_at > counts->oldest_ms) {
        counts->oldest_ms = now - item->looked_at;
    }
}

struct readiness_counts readiness_board_count(struct readiness_board *b, mono_ms now)
{
    struct readiness_counts counts = { 0 };
    int64_t age_max_ms = age_max_of(b);
    mutex_lock(&b->lock);
    counts.clusters = (int64_t)b->shown_count;
    for (size_t i = 0; i < b->shown_count; i++) {
        for (size_t k = 0; k < b->shown[i]->count; k++) {
            count_item(&counts, &b->shown[i]->items[k], now, age_max_ms);
        }
    }
    mutex_unlock(&b->lock);
    return counts;
}

/* ---- what is shown ---- */

static json_t *reasons_json(const struct readiness_shown *shown)
{
    json_t *list = json_array();
    for (size_t i = 0; i < shown->reason_count; i++) {
        const struct readiness_reason *r = &shown->reasons[i];
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:o, s:I, s:o}", "code", r->code, "level",
                            r->is_error ? "error" : "warning", "shard",
                            r->shard[0] ? jd_text(r->shard) : json_null(), "count",
                            (json_int_t)r->count, "text", jd_text(r->text)));
    }
    return list;
}

static json_t *number_or_null(int64_t value)
{
    return value < 0 ? json_null() : json_integer(value);
}

static json_t *item_json(const struct readiness_view *v, const struct readiness_item *item,
                         const struct readiness_shown *shown, const struct dc_alias *outer)
{
    int64_t age_ms = item->looked_at ? clock_mono_ms() - item->looked_at : -1;
    return json_pack("{s:o, s:I, s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:I, s:o, s:o}", "cluster",
                     jd_text(v->cluster), "clusterId", (json_int_t)v->id, "from",
                     jd_text(dc_alias_outer(outer, v->from)), "to",
                     item->to[0] ? jd_text(dc_alias_outer(outer, item->to)) : json_null(),
                     "verdict", readiness_level_text(shown->planned), "disasterVerdict",
                     readiness_level_text(shown->disaster), "since", event_date(item->since_wall),
                     "checkedAt", event_date(item->looked_wall), "ageMs", number_or_null(age_ms),
                     "shards", (json_int_t)v->shards, "lagBytes", number_or_null(item->lag_bytes),
                     "reasons", reasons_json(shown));
}

static bool is_part(const char *text, const char *part)
{
    size_t length = strlen(part);
    for (; strlen(text) >= length; text++) {
        AUTO_FREE char *piece = xstrndup(text, length);
        if (text_eq_nocase(piece, part)) {
            return true;
        }
    }
    return false;
}

static bool is_cluster_wanted(const struct readiness_query *q, const struct readiness_view *v)
{
    return (!q->from || text_eq_nocase(q->from, v->from)) &&
           (!q->cluster || is_part(v->cluster, q->cluster));
}

static size_t add_items(const struct readiness_view *v, const struct readiness_query *q,
                        int64_t age_max_ms, const struct dc_alias *outer, json_t *list)
{
    size_t added = 0;
    for (size_t i = 0; i < v->count; i++) {
        struct readiness_reason own;
        const struct readiness_item *item = &v->items[i];
        struct readiness_shown shown = readiness_show(item, clock_mono_ms(), age_max_ms, &own);
        bool is_wanted = (!q->to || text_eq_nocase(q->to, item->to)) &&
                         (!q->has_level || q->level == shown.planned);
        if (is_wanted) {
            (void)json_array_append_new(list, item_json(v, item, &shown, outer));
            added++;
        }
    }
    return added;
}

json_t *readiness_view_items(struct readiness_board *b, const struct readiness_view *v,
                             const struct dc_alias *outer)
{
    json_t *list = json_array();
    (void)add_items(v, &(struct readiness_query){ .limit = 1 }, age_max_of(b), outer, list);
    return list;
}

/* References to the next views after an id, at most 'max' of them, so that nothing is written as JSON under the lock. */
static size_t get_next(struct readiness_board *b, int64_t after_id, struct readiness_view **ret,
                       size_t max)
{
    size_t count = 0;
    mutex_lock(&b->lock);
    for (size_t at = place_of(b, after_id + 1); at < b->shown_count && count < max; at++) {
        ret[count] = b->shown[at];
        view_ref(ret[count++]);
    }
    mutex_unlock(&b->lock);
    return count;
}

static json_t *counts_json(struct readiness_board *b)
{
    struct readiness_counts counts = readiness_board_count(b, clock_mono_ms());
    json_t *json = json_object();
    for (int i = 0; i < READINESS_LEVELS; i++) {
        (void)json_object_set_new(json, readiness_level_text((enum readiness_level)i),
                                  json_integer(counts.by_level[i]));
    }
    return json;
}

enum { STEP = 256 };

/* One step of a page; true: there may be more behind *at_id. */
static bool list_step(struct readiness_board *b, const struct readiness_query *q,
                      const struct dc_alias *outer, json_t *list, int64_t *at_id, int *ret_left)
{
    struct readiness_view *views[STEP];
    size_t count = get_next(b, *at_id, views, STEP);
    for (size_t i = 0; i < count; i++) {
        if (*ret_left > 0) {
            *at_id = views[i]->id;
            bool is_shown = is_cluster_wanted(q, views[i]) &&
                            add_items(views[i], q, age_max_of(b), outer, list) > 0;
            *ret_left -= is_shown;
        }
        readiness_view_unref(views[i]);
    }
    return count == STEP && *ret_left > 0;
}

json_t *readiness_board_list(struct readiness_board *b, const struct readiness_query *q,
                             const struct dc_alias *outer)
{
    json_t *list = json_array();
    int64_t at_id = q->after_id;
    int left = q->limit;
    while (list_step(b, q, outer, list, &at_id, &left)) {
    }
    return json_pack("{s:o, s:o, s:o}", "items", list, "next",
                     left == 0 ? json_integer(at_id) : json_null(), "counts", counts_json(b));
}
