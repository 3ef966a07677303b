/* readiness.c - see readiness.h: who is looked at next, and how fast. */
#include "console/migration/readiness.h"

#include <stdlib.h>
#include <string.h>

#include "console/migration/readiness_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/thread.h"

#include "shared/base/banned.h"

enum {
    TICK_MS = 100,
    NEWS_MS = 1000,
    COUNT_MS = 2000,
    PAGE_MAX = 500,
    NEWS_MAX = 65536,
    AGAIN_PART = 10,
    BUSY_PART = 10
};

struct waiting { /* a cluster in one of the two lists */
    struct list link;
    int64_t id;
    mono_ms due;
};

/* clang-format off */
static const char level_name[] = "xpipe_dr_readiness";
static const char level_help[] = "One-way clusters and the DCs they could be switched to, by verdict";
static struct metric levels[READINESS_LEVELS] = {
    [READINESS_UNKNOWN] = METRIC_GAUGE_INIT(level_name, "verdict=\"UNKNOWN\"", level_help),
    [READINESS_READY] = METRIC_GAUGE_INIT(level_name, "verdict=\"READY\"", level_help),
    [READINESS_WARNING] = METRIC_GAUGE_INIT(level_name, "verdict=\"WARNING\"", level_help),
    [READINESS_NOT_READY] = METRIC_GAUGE_INIT(level_name, "verdict=\"NOT_READY\"", level_help),
};
static struct metric oldest_gauge = METRIC_GAUGE_INIT("xpipe_dr_readiness_oldest_seconds", "", "Age of the oldest readiness verdict that counts");
static struct metric round_gauge = METRIC_GAUGE_INIT("xpipe_dr_readiness_round_seconds", "", "Time of the last look at all clusters");
static struct metric waiting_gauge = METRIC_GAUGE_INIT("xpipe_dr_readiness_waiting", "", "Clusters that are to be looked at out of turn: changed, not ready, silent");
/* clang-format on */

static mono_ms now_of(const struct readiness *r)
{
    return loop_now(r->o.loop);
}

/* ---- out of turn ---- */

static void forget_waiting(struct readiness *r, int64_t id)
{
    struct waiting *w = map_remove_n(&r->waiting, (uint64_t)id);
    if (w) {
        list_remove(&w->link);
        free(w);
    }
}

static void wait_in(struct readiness *r, struct list *line, int64_t id, int64_t delay_ms)
{
    forget_waiting(r, id);
    struct waiting *w = xcalloc(1, sizeof(*w));
    w->id = id;
    w->due = now_of(r) + delay_ms;
    list_push_back(line, &w->link);
    map_put_n(&r->waiting, (uint64_t)id, w);
}

/* The first of a line whose time has come; 0 none. */
static int64_t take_due(struct readiness *r, struct list *line)
{
    if (list_is_empty(line)) {
        return 0;
    }
    const struct waiting *first = LIST_ENTRY(line->next, struct waiting, link);
    int64_t id = first->due <= now_of(r) ? first->id : 0;
    if (id) {
        forget_waiting(r, id);
    }
    return id;
}

/* ---- the round ---- */

static void begin_round(struct readiness *r)
{
    struct readiness_round *round = &r->round;
    round->after_id = 0;
    round->count = 0;
    round->is_last = false;
    round->is_over = false;
    round->began = now_of(r);
}

static void end_round(struct readiness *r)
{
    struct readiness_round *round = &r->round;
    round->total = round->count;
    round->is_first = false;
    round->is_over = true;
    metric_set(&round_gauge, (now_of(r) - round->began) / 1000);
}

static void run_page(struct job *job)
{
    struct readiness_round *round = CONTAINER_OF(job, struct readiness_round, job);
    struct readiness *r = CONTAINER_OF(round, struct readiness, round);
    round->rc =
        readiness_read_page(r->o.catalog, round->after_id, PAGE_MAX, &round->page, &round->err);
}

/* Clusters are on the board before they are looked at: UNKNOWN. */
static void show_new(struct readiness *r, const struct readiness_target *t)
{
    struct readiness_view *known = readiness_board_get(r->o.board, t->id);
    if (!known) {
        (void)readiness_board_put(r->o.board,
                                  readiness_view_unknown(t->id, t->cluster, t->from, &t->to));
    }
    readiness_view_unref(known);
}

static void take_page(struct readiness *r, int64_t after_id)
{
    struct readiness_round *round = &r->round;
    int64_t *ids AUTO_FREE = xcalloc(round->page.count + 1, sizeof(*ids));
    for (size_t i = 0; i < round->page.count; i++) {
        ids[i] = round->page.items[i].id;
        show_new(r, &round->page.items[i]);
    }
    round->at = 0;
    round->is_last = round->page.count < PAGE_MAX;
    round->after_id = round->page.count > 0 ? ids[round->page.count - 1] : after_id;
    readiness_board_keep(r->o.board, after_id, round->is_last ? INT64_MAX : round->after_id, ids,
                         round->page.count);
}

static void page_was_read(struct job *job)
{
    struct readiness_round *round = CONTAINER_OF(job, struct readiness_round, job);
    struct readiness *r = CONTAINER_OF(round, struct readiness, round);
    round->is_reading = false;
    if (job->outcome != 0 || r->is_stopped) {
        return;
    }
    if (round->rc < 0) {
        log_warn("readiness.not_read", "why", round->err.msg);
        return; /* with the next tick */
    }
    take_page(r, round->after_id);
    readiness_pump(r);
}

static void read_page(struct readiness *r)
{
    struct readiness_round *round = &r->round;
    if (round->is_reading) {
        return;
    }
    readiness_targets_done(&round->page);
    round->at = 0;
    round->job = (struct job){ .run = run_page, .done = page_was_read, .deadline = MONO_FOREVER };
    round->is_reading = worker_submit(r->o.pool, &round->job, &round->err) == 0;
}

/* How many of the round may have been begun by now: the first one is made at once, to know; the others take their time. */
static bool is_on_time(const struct readiness *r)
{
    const struct readiness_round *round = &r->round;
    int64_t elapsed_ms = now_of(r) - round->began;
    return round->is_first || elapsed_ms >= r->settings.round_ms ||
           round->count * r->settings.round_ms <= round->total * elapsed_ms;
}

static int64_t take_of_round(struct readiness *r)
{
    struct readiness_round *round = &r->round;
    if (round->is_over && now_of(r) - round->began >= r->settings.round_ms) {
        begin_round(r);
    }
    if (round->is_over || round->is_reading || !is_on_time(r)) {
        return 0;
    }
    if (round->at < round->page.count) {
        round->count++;
        return round->page.items[round->at++].id;
    }
    if (round->is_last) {
        end_round(r);
    } else {
        read_page(r);
    }
    return 0;
}

/* ---- what changed ---- */

static void run_news(struct job *job)
{
    struct readiness_news *news = CONTAINER_OF(job, struct readiness_news, job);
    struct readiness *r = CONTAINER_OF(news, struct readiness, news);
    news->rc =
        readiness_read_changes(r->o.catalog, news->version, NEWS_MAX, &news->changes, &news->err);
}

static void news_were_read(struct job *job)
{
    struct readiness_news *news = CONTAINER_OF(job, struct readiness_news, job);
    struct readiness *r = CONTAINER_OF(news, struct readiness, news);
    news->is_reading = false;
    if (job->outcome != 0 || news->rc < 0) {
        return; /* asked again with the next change, or after NEWS_MS */
    }
    for (size_t i = 0; i < news->changes.count && !r->is_stopped; i++) {
        wait_in(r, &r->changed, news->changes.ids[i], r->settings.settle_ms);
    }
    news->version = news->changes.version;
    free(news->changes.ids);
    news->changes = (struct readiness_changes){ 0 };
}

/* The store's version moves with everything; that of a cluster only when it is concerned. */
static void ask_news(struct readiness *r)
{
    struct readiness_news *news = &r->news;
    int64_t version = store_version(r->o.catalog->store);
    bool is_time = now_of(r) - news->asked_at >= NEWS_MS;
    if (news->version < 0) {
        news->version = version; /* the first round sees everything */
        news->seen_version = version;
    }
    if (news->is_reading || !is_time || version == news->seen_version) {
        return;
    }
    news->asked_at = now_of(r);
    news->job = (struct job){ .run = run_news, .done = news_were_read, .deadline = MONO_FOREVER };
    news->is_reading = worker_submit(r->o.pool, &news->job, &news->err) == 0;
    if (news->is_reading) {
        news->seen_version = version;
    }
}

/* ---- how fast ---- */

static void fill_tokens(struct readiness *r)
{
    int64_t elapsed_ms = now_of(r) - r->filled_at;
    int64_t per_s = r->settings.calls_per_s * READINESS_CALL;
    bool is_busy = r->o.is_busy && r->o.is_busy(r->o.arg);
    if (elapsed_ms <= 0) {
        return;
    }
    elapsed_ms = elapsed_ms < 1000 ? elapsed_ms : 1000; /* nothing is saved up */
    r->filled_at = now_of(r);
    r->tokens += per_s * elapsed_ms / 1000 / (is_busy ? BUSY_PART : 1);
    r->tokens = r->tokens < per_s / 2 ? r->tokens : per_s / 2;
}

static int64_t take_next(struct readiness *r)
{
    int64_t id = take_due(r, &r->changed);
    id = id ? id : take_of_round(r);
    return id ? id : take_due(r, &r->again);
}

void readiness_pump(struct readiness *r)
{
    if (r->is_stopped || r->settings.round_ms == 0 || r->is_pumping) {
        return;
    }
    r->is_pumping = true; /* what ends a look asks for the next one */
    readiness_go_on(r);
    while (r->tokens > 0 && r->active < r->o.parallel) {
        int64_t id = take_next(r);
        if (id == 0) {
            break;
        }
        readiness_look_start(r, id);
    }
    r->is_pumping = false;
}

void readiness_look_ended(struct readiness *r, int64_t id, bool wants_again)
{
    r->active--;
    if (r->is_stopped) {
        return;
    }
    if (wants_again && !map_get_n(&r->waiting, (uint64_t)id)) {
        wait_in(r, &r->again, id, r->settings.round_ms / AGAIN_PART);
    }
    readiness_pump(r);
}

static void show_counts(struct readiness *r)
{
    if (now_of(r) - r->counted_at < COUNT_MS) {
        return;
    }
    r->counted_at = now_of(r);
    struct readiness_counts counts = readiness_board_count(r->o.board, clock_mono_ms());
    for (int i = 0; i < READINESS_LEVELS; i++) {
        metric_set(&levels[i], counts.by_level[i]);
    }
    metric_set(&oldest_gauge, counts.oldest_ms / 1000);
    metric_set(&waiting_gauge, (int64_t)map_count(&r->waiting));
}

static void tick(struct loop_timer *t)
{
    struct readiness *r = CONTAINER_OF(t, struct readiness, timer);
    loop_timer_start(t, TICK_MS);
    if (r->settings.round_ms > 0) {
        fill_tokens(r);
        ask_news(r);
        readiness_pump(r);
        show_counts(r);
    }
}

/* ---- life ---- */

struct readiness *readiness_new(const struct readiness_options *options)
{
    xp_check(options->parallel > 0);
    struct readiness *r = xcalloc(1, sizeof(*r));
    r->o = *options;
    r->waiting = MAP_INIT(MAP_NUMBER);
    r->dcs = MAP_INIT(MAP_TEXT_NOCASE);
    list_init(&r->changed);
    list_init(&r->again);
    list_init(&r->looks);
    list_init(&r->ready);
    r->news.version = -1;
    r->round.is_first = true;
    r->filled_at = now_of(r);
    begin_round(r);
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        metric_register(&levels[i]);
    }
    metric_register(&oldest_gauge);
    metric_register(&round_gauge);
    metric_register(&waiting_gauge);
    readiness_look_metrics();
    loop_timer_init(&r->timer, options->loop, tick);
    loop_timer_start(&r->timer, TICK_MS);
    return r;
}

void readiness_configure(struct readiness *r, const struct readiness_settings *settings)
{
    r->settings = *settings;
    readiness_board_configure(r->o.board, settings->age_max_ms);
}

void readiness_stop(struct readiness *r)
{
    if (r->is_stopped) {
        return;
    }
    r->is_stopped = true;
    loop_timer_stop(&r->timer);
    readiness_drop(r);
}

void readiness_free(struct readiness *r)
{
    if (!r) {
        return;
    }
    readiness_stop(r);
    xp_check(r->active == 0);
    while (!list_is_empty(&r->changed)) {
        forget_waiting(r, LIST_ENTRY(r->changed.next, struct waiting, link)->id);
    }
    while (!list_is_empty(&r->again)) {
        forget_waiting(r, LIST_ENTRY(r->again.next, struct waiting, link)->id);
    }
    map_done(&r->waiting);
    readiness_targets_done(&r->round.page);
    free(r->news.changes.ids);
    readiness_dcs_done(r);
    free(r);
}
