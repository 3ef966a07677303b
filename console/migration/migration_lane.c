/* migration_lane.c - see migration_lane.h. */
#include "console/migration/migration_lane.h"

#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/thread.h"

#include "shared/base/banned.h"

#define EIGHTHS 8

struct lane {
    struct loop *loop;
    int places;
    int used;
    int used_by[LANE_KINDS];
    struct list waiting[LANE_KINDS];
    struct loop_timer timer; /* the next wait that ends without a turn */
    bool is_calling;         /* inside next_ones: whoever enters meanwhile is seen by it */
    bool is_closed;
};

/* Of the places of a lane, in eighths. Checks and followers together leave a quarter to the outage. */
static const int shares[LANE_KINDS] = {
    [LANE_OUTAGE] = 8, [LANE_FENCE] = 6, [LANE_CHECK] = 2, [LANE_FOLLOW] = 4
};

static const char wait_name[] = "xpipe_migration_request_wait_seconds";
static const char wait_help[] =
    "Time that a request of a migration waited for a thread to the metaserver of its DC";
static struct metric waits[LANE_KINDS] = {
    [LANE_OUTAGE] = METRIC_HISTOGRAM_INIT(wait_name, "kind=\"outage\"", wait_help),
    [LANE_FENCE] = METRIC_HISTOGRAM_INIT(wait_name, "kind=\"fence\"", wait_help),
    [LANE_CHECK] = METRIC_HISTOGRAM_INIT(wait_name, "kind=\"check\"", wait_help),
    [LANE_FOLLOW] = METRIC_HISTOGRAM_INIT(wait_name, "kind=\"follow\"", wait_help),
};

static bool has_place(const struct lane *lane, enum lane_kind kind)
{
    int share = lane->places * shares[kind] / EIGHTHS;
    return lane->used < lane->places && lane->used_by[kind] < (share > 0 ? share : 1);
}

static struct lane_ticket *first(const struct lane *lane, enum lane_kind kind)
{
    const struct list *waiting = &lane->waiting[kind];
    return list_is_empty(waiting) ? NULL : LIST_ENTRY(waiting->next, struct lane_ticket, link);
}

static struct lane_ticket *next_one(const struct lane *lane)
{
    for (enum lane_kind kind = 0; kind < LANE_KINDS; kind++) {
        struct lane_ticket *t = first(lane, kind);
        if (t && has_place(lane, kind)) {
            return t;
        }
    }
    return NULL;
}

static struct lane_ticket *expired_one(const struct lane *lane, mono_ms now)
{
    for (enum lane_kind kind = 0; kind < LANE_KINDS; kind++) {
        struct lane_ticket *t = first(lane, kind);
        if (t && (now >= t->limit || lane->is_closed)) {
            return t;
        }
    }
    return NULL;
}

static void start_timer(struct lane *lane)
{
    mono_ms at = MONO_FOREVER;
    for (enum lane_kind kind = 0; kind < LANE_KINDS; kind++) {
        const struct lane_ticket *t = first(lane, kind);
        at = t && t->limit < at ? t->limit : at;
    }
    loop_timer_stop(&lane->timer);
    if (at != MONO_FOREVER && !lane->is_closed) {
        int64_t left_ms = at - loop_now(lane->loop);
        loop_timer_start(&lane->timer, left_ms > 0 ? left_ms : 0);
    }
}

static void next_ones(struct lane *lane)
{
    struct lane_ticket *t;
    if (lane->is_calling) {
        return;
    }
    lane->is_calling = true;
    while (!lane->is_closed && (t = next_one(lane))) {
        list_remove(&t->link);
        lane->used++;
        lane->used_by[t->kind]++;
        metric_observe_us(&waits[t->kind], lane_waited_ms(t) * 1000);
        t->go(t);
    }
    lane->is_calling = false;
    start_timer(lane);
}

static void expire(struct lane *lane)
{
    struct lane_ticket *t;
    while ((t = expired_one(lane, loop_now(lane->loop)))) {
        list_remove(&t->link);
        t->expired(t);
    }
    start_timer(lane);
}

static void timer_fired(struct loop_timer *timer)
{
    expire(CONTAINER_OF(timer, struct lane, timer));
}

void lane_enter(struct lane *lane, struct lane_ticket *t, int64_t wait_ms)
{
    XP_ON_LOOP();
    t->entered_at = clock_mono_ms();
    t->limit = t->entered_at + wait_ms;
    list_push_back(&lane->waiting[t->kind], &t->link);
    if (lane->is_closed) {
        expire(lane);
    } else {
        next_ones(lane);
    }
}

void lane_leave(struct lane *lane, enum lane_kind kind)
{
    XP_ON_LOOP();
    xp_check(lane->used_by[kind] > 0);
    lane->used--;
    lane->used_by[kind]--;
    next_ones(lane);
}

int64_t lane_waited_ms(const struct lane_ticket *t)
{
    return clock_mono_ms() - t->entered_at;
}

struct lane *lane_new(struct loop *loop, int places)
{
    xp_check(places > 0);
    struct lane *lane = xcalloc(1, sizeof(*lane));
    lane->loop = loop;
    lane->places = places;
    for (enum lane_kind kind = 0; kind < LANE_KINDS; kind++) {
        list_init(&lane->waiting[kind]);
        metric_register(&waits[kind]);
    }
    loop_timer_init(&lane->timer, loop, timer_fired);
    return lane;
}

void lane_close(struct lane *lane)
{
    lane->is_closed = true;
    expire(lane);
}

void lane_free(struct lane *lane)
{
    if (lane) {
        lane_close(lane);
        free(lane);
    }
}
