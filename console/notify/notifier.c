/* notifier.c - see notifier.h. Turns alternate: a worker looks at the outbox (notify_turn.c), the loop sends what it chose
 * and remembers the outcome of each push until the next turn acknowledges it. At most one turn at a time. */
#include "console/notify/notifier.h"

#include <string.h>

#include "console/notify/meta_urls.h"
#include "console/notify/notify_turn.h"
#include "shared/base/list.h"
#include "shared/base/log.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/thread.h"
#include "shared/net/url.h"
#include "shared/net/waker.h"
#include "shared/base/banned.h"

#define REPLY_MAX_BYTES   (64 * 1024)
#define REFRESH_TRIES_MAX 3 /* best effort: then the metaserver's own polling must do */
/* refused rows of one lane; more hold the whole lane back */
#define REFUSED_MAX   (TURN_SCAN_ROWS / 2)
#define URL_MAX_BYTES 8192
/* An acknowledgment is a durable transaction that the writers of metadata wait for: acknowledgments wait for company. */
#define ACK_ROWS    64
#define ACK_WAIT_MS 100
/* From one turn to the next: a single change is told at once, of many a second several in one turn. */
#define TURN_GAP_MS 10
/* a refused row that was not chosen again for so long has left the outbox */
#define STALE_MS 600000

enum row_state {
    ROW_SENDING,
    ROW_REFUSED /* waits for retry_at */,
    ROW_TOLD /* to be acknowledged */
};

struct row {
    char *cluster;
    int64_t idx;
    enum row_state state;
    int tries;
    mono_ms retry_at;
};

struct lane_metrics { /* one for each DC name, for the life of the process */
    char *dc;
    struct metric told, refused, failed, down;
    struct lane_metrics *next;
};

struct lane { /* one DC; owner: loop */
    int64_t dc_id;
    char *dc;
    char *url;       /* NULL: no metaserver is configured */
    struct map rows; /* by cluster: sending, refused, told */
    int sending_count;
    int refused_count;
    /* > 0: to be told to fetch its document, since the settings changed at this version */
    int64_t refresh_idx;
    int failures; /* in a row, of the whole lane */
    mono_ms retry_at;
    struct lane_metrics *metrics;
};

struct notifier { /* owner: loop; waker: any */
    struct notifier_options o;
    struct notifier_settings settings; /* texts are not kept in it */
    struct meta_urls urls;
    struct map lanes; /* by DC id */
    struct loop_timer timer;
    int sending_count;
    int told_count;     /* rows to be acknowledged, of all lanes */
    mono_ms told_since; /* of the oldest of them */
    mono_ms turned_at;  /* start of the last turn */
    bool is_turning;
    bool is_stopped;
    bool look_again; /* something happened during the turn */
    /* atomic: a turn will start by itself, and sees what is committed before: nobody needs to wake the loop for it */
    int is_look_planned;
    bool has_newer; /* the outbox has a newer change of a cluster whose push is under way */
    bool outbox_failed;
    char problem[240];    /* why, while outbox_failed */
    int64_t seen_version; /* of the store, at the last complete look */
    int64_t waiting_count;
    struct waker *waker;
};

struct turn_job {
    struct job job;
    struct notifier *notifier;
    struct notify_turn turn;
};

struct push {
    struct notifier *notifier;
    struct push_item item;
};

static struct metric queue_gauge = METRIC_GAUGE_INIT(
    "xpipe_notify_queue_rows", "", "Changes that metaservers have not been told yet");
static struct metric acks_total =
    METRIC_COUNTER_INIT("xpipe_notify_acknowledgments_total", "",
                        "Transactions that took told changes out of the outbox");
static struct metric sending_gauge =
    METRIC_GAUGE_INIT("xpipe_notify_sending", "", "Pushes under way");
static struct lane_metrics *all_lane_metrics; /* owner: loop */

static void plan_next(struct notifier *n);

/* ---- lanes ---- */

static void init_lane_metric(struct metric *m, const struct metric *like, char *take_labels)
{
    *m = *like;
    m->labels = take_labels;
    metric_register(m);
}

static struct lane_metrics *lane_metrics_of(const char *dc)
{
    for (struct lane_metrics *m = all_lane_metrics; m; m = m->next) {
        if (text_eq(m->dc, dc)) {
            return m;
        }
    }
    struct lane_metrics *m = xcalloc(1, sizeof(*m));
    m->dc = xstrdup(dc);
    for (char *p = m->dc; *p; p++) {
        *p = *p == '"' || *p == '\\' ? '_' : *p;
    }
    static const struct metric pushes =
        METRIC_COUNTER_INIT("xpipe_notify_pushes_total", "", "Pushes to metaservers by outcome");
    static const struct metric down = METRIC_GAUGE_INIT(
        "xpipe_notify_lane_down", "", "1 while the metaserver of the DC cannot be reached");
    init_lane_metric(&m->told, &pushes, xasprintf("dc=\"%s\",result=\"told\"", m->dc));
    init_lane_metric(&m->refused, &pushes, xasprintf("dc=\"%s\",result=\"refused\"", m->dc));
    init_lane_metric(&m->failed, &pushes, xasprintf("dc=\"%s\",result=\"failed\"", m->dc));
    init_lane_metric(&m->down, &down, xasprintf("dc=\"%s\"", m->dc));
    m->next = all_lane_metrics;
    all_lane_metrics = m;
    return m;
}

static void row_free(struct row *r)
{
    free(r->cluster);
    free(r);
}

static void lane_free(struct lane *lane)
{
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&lane->rows, &at))) {
        row_free(slot->value);
    }
    map_done(&lane->rows);
    free(lane->dc);
    free(lane->url);
    free(lane);
}

static void set_url(struct notifier *n, struct lane *lane)
{
    const char *url = meta_urls_get(&n->urls, lane->dc);
    if (text_eq(url, lane->url) && (url != NULL) == (lane->url != NULL)) {
        return;
    }
    free(lane->url);
    lane->url = xstrdup(url);
    lane->failures = 0;
    lane->retry_at = MONO_NEVER;
    log_info("notify.metaserver", "dc", lane->dc, "url", url);
}

/* True when the lane is new. */
static bool ensure_lane(struct notifier *n, const struct turn_dc *dc)
{
    if (map_get_n(&n->lanes, (uint64_t)dc->id)) {
        return false;
    }
    struct lane *lane = xcalloc(1, sizeof(*lane));
    lane->dc_id = dc->id;
    lane->dc = xstrdup(dc->name);
    lane->rows = MAP_INIT(MAP_TEXT);
    lane->retry_at = MONO_NEVER;
    lane->metrics = lane_metrics_of(dc->name);
    map_put_n(&n->lanes, (uint64_t)dc->id, lane);
    set_url(n, lane);
    if (!lane->url) {
        log_info("notify.no_metaserver", "dc", lane->dc);
    }
    return true;
}

static int lanes_with_url(const struct notifier *n)
{
    int count = 0;
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&n->lanes, &at))) {
        count += ((const struct lane *)slot->value)->url != NULL;
    }
    return count;
}

/* How many pushes of this lane may start now. */
static int lane_room(const struct notifier *n, const struct lane *lane, mono_ms now)
{
    if (n->is_stopped || !lane->url || (lane->failures > 0 && now < lane->retry_at) ||
        lane->refused_count >= REFUSED_MAX) {
        return 0;
    }
    int fair = n->o.pushes_max / lanes_with_url(n);
    int most = lane->failures > 0 || fair < 1 ? 1 : fair;
    int left = n->o.pushes_max - n->sending_count;
    int room = most - lane->sending_count;
    return room < left ? room : left;
}

static int64_t backoff_ms(const struct notifier *n, int failures)
{
    int64_t wait = n->settings.retry_min_ms;
    for (int i = 1; i < failures && wait < n->settings.retry_max_ms; i++) {
        wait *= 2;
    }
    return wait < n->settings.retry_max_ms ? wait : n->settings.retry_max_ms;
}

/* ---- outcomes ---- */

static void lane_failed(struct notifier *n, struct lane *lane, const char *why)
{
    metric_add(&lane->metrics->failed, 1);
    metric_set(&lane->metrics->down, 1);
    if (lane->failures++ == 0) {
        log_warn("notify.metaserver_down", "dc", lane->dc, "url", lane->url, "why", why);
    }
    lane->retry_at = loop_now(n->o.loop) + backoff_ms(n, lane->failures);
}

static void lane_answered(struct lane *lane)
{
    if (lane->failures > 0) {
        log_info("notify.metaserver_up", "dc", lane->dc, "failures", log_int(lane->failures));
    }
    lane->failures = 0;
    metric_set(&lane->metrics->down, 0);
}

static void row_told(struct notifier *n, struct lane *lane, struct row *row)
{
    if (n->told_count++ == 0) {
        n->told_since = loop_now(n->o.loop);
    }
    metric_add(&lane->metrics->told, 1);
    if (row->tries > 0) {
        log_info("notify.accepted", "dc", lane->dc, "cluster", row->cluster, "after",
                 log_int(row->tries));
    }
    row->state = ROW_TOLD;
}

static void row_refused(struct notifier *n, struct lane *lane, struct row *row, int status)
{
    metric_add(&lane->metrics->refused, 1);
    if (row->tries++ == 0) {
        log_warn("notify.refused", "dc", lane->dc, "cluster", row->cluster, "status",
                 log_int(status));
    }
    row->state = ROW_REFUSED;
    row->retry_at = loop_now(n->o.loop) + backoff_ms(n, row->tries);
    lane->refused_count++;
}

static void forget_row(struct lane *lane, struct row *row)
{
    map_remove(&lane->rows, row->cluster);
    row_free(row);
}

/* x-pipe's own metaserver has no refresh call: any "no such thing" ends the matter, its polling does the rest. */
static bool counts_as_told(const struct push_item *item, const struct row *row, int status)
{
    if (status >= 200 && status < 300) { /* a redirect comes from somebody in between */
        return true;
    }
    if (item->kind == PUSH_REFRESH) {
        return status < 500 || row->tries + 1 >= REFRESH_TRIES_MAX;
    }
    return item->kind == PUSH_DELETED && status == 404;
}

static void settle(struct notifier *n, struct lane *lane, struct row *row,
                   const struct push_item *item, int status)
{
    lane_answered(lane);
    if (counts_as_told(item, row, status)) {
        row_told(n, lane, row);
    } else {
        row_refused(n, lane, row, status);
    }
}

/* Refused or not sent: it is due until it is told. */
static void note_refreshed(struct lane *lane, const struct row *row, const struct push_item *item)
{
    if (item->kind == PUSH_REFRESH && row->state == ROW_TOLD && item->idx >= lane->refresh_idx) {
        lane->refresh_idx = 0;
    }
}

static int64_t rows_in_hand(const struct notifier *n)
{
    int64_t count = 0;
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&n->lanes, &at))) {
        count += (int64_t)map_count(&((const struct lane *)slot->value)->rows);
    }
    return count;
}

static void push_free(struct push *p)
{
    push_item_done(&p->item);
    free(p);
}

static void push_done(int rc, const struct http_reply *reply, const struct xp_err *err, void *arg,
                      uint64_t token)
{
    (void)token;
    struct push *p = arg;
    struct notifier *n = p->notifier;
    struct lane *lane = map_get_n(&n->lanes, (uint64_t)p->item.dc_id);
    struct row *row = map_get(&lane->rows, p->item.cluster);
    lane->sending_count--;
    metric_set(&sending_gauge, --n->sending_count);
    if (rc < 0) {
        lane_failed(n, lane, err->msg);
        forget_row(lane, row);
    } else {
        settle(n, lane, row, &p->item, reply->status);
        note_refreshed(lane, row, &p->item);
    }
    if (n->has_newer || n->waiting_count > rows_in_hand(n)) {
        n->look_again = true;
    }
    push_free(p);
    plan_next(n);
}

/* ---- sending ---- */

static char *push_url(const struct lane *lane, const struct push_item *item)
{
    struct str url = STR_INIT(URL_MAX_BYTES);
    str_puts(&url, lane->url);
    if (item->kind == PUSH_REFRESH) {
        str_puts(&url, "/api/meta/v2/refresh");
    } else {
        str_puts(&url, "/api/meta/clusterchange/");
        url_add_encoded(&url, item->cluster);
        if (item->kind == PUSH_DELETED) {
            str_printf(&url, "?version=%lld", (long long)item->idx);
        }
    }
    return str_take(&url);
}

static const char *method_of(enum push_kind kind)
{
    switch (kind) {
    case PUSH_CHANGED:
        return "PUT";
    case PUSH_DELETED:
        return "DELETE";
    case PUSH_REFRESH:
        return "POST";
    }
    return "PUT";
}

static struct row *remember_row(struct notifier *n, struct lane *lane, const struct push_item *item)
{
    struct row *row = map_get(&lane->rows, item->cluster);
    if (!row) {
        row = xcalloc(1, sizeof(*row));
        row->cluster = xstrdup(item->cluster);
        map_put(&lane->rows, row->cluster, row);
    } else if (row->state == ROW_REFUSED) {
        lane->refused_count--;
    } else if (row->state == ROW_TOLD) { /* a newer change before the acknowledgment of this one */
        n->told_count--;
    }
    if (row->idx != item->idx) {
        row->tries = 0;
    }
    row->idx = item->idx;
    row->state = ROW_SENDING;
    return row;
}

/* Takes the content of 'item'. */
static void send_push(struct notifier *n, struct push_item *item)
{
    struct lane *lane = map_get_n(&n->lanes, (uint64_t)item->dc_id);
    if (!lane || !lane->url ||
        n->is_stopped) { /* configured away since the turn began: the row stays */
        push_item_done(item);
        return;
    }
    struct push *p = xcalloc(1, sizeof(*p));
    p->notifier = n;
    p->item = *item;
    *item = (struct push_item){ 0 };
    char *url AUTO_FREE = push_url(lane, &p->item);
    struct http_call call = { .method = method_of(p->item.kind),
                              .url = url,
                              .body = p->item.body,
                              .body_length = p->item.body ? strlen(p->item.body) : 0,
                              .headers = { "Content-Type: application/json", NULL },
                              .connect_timeout_ms = n->settings.connect_timeout_ms,
                              .timeout_ms = n->settings.timeout_ms,
                              .max_reply_bytes = REPLY_MAX_BYTES,
                              .may_come_twice = true }; /* pushes carry their version */
    struct xp_err err = { 0 };
    struct row *row = remember_row(n, lane, &p->item);
    if (http_send(n->o.client, &call, push_done, p, 0, &err) < 0) {
        lane_failed(n, lane, err.msg);
        forget_row(lane, row);
        push_free(p);
        return;
    }
    lane->sending_count++;
    metric_set(&sending_gauge, ++n->sending_count);
}

/* ---- turns ---- */

static void forget_stale(struct lane *lane, mono_ms now)
{
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&lane->rows, &at))) {
        struct row *row = slot->value;
        if (row->state == ROW_REFUSED && now - row->retry_at > STALE_MS) {
            lane->refused_count--;
            forget_row(lane, row);
        }
    }
}

static void copy_busy(const struct lane *lane, mono_ms now, struct turn_lane *out)
{
    out->busy = xcalloc(map_count(&lane->rows) + 1, sizeof(*out->busy));
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&lane->rows, &at))) {
        const struct row *row = slot->value;
        if (row->state == ROW_REFUSED && now >= row->retry_at) {
            continue;
        }
        out->busy[out->busy_count++] =
            (struct busy_row){ .cluster = xstrdup(row->cluster),
                               .idx = row->idx,
                               .unless_newer = row->state != ROW_SENDING };
    }
}

static void copy_acks(const struct lane *lane, struct notify_turn *turn)
{
    size_t at = 0;
    const struct map_slot *slot;
    turn->acks =
        xrealloc(turn->acks, turn->ack_count + map_count(&lane->rows) + 1, sizeof(*turn->acks));
    while ((slot = map_next(&lane->rows, &at))) {
        const struct row *row = slot->value;
        if (row->state == ROW_TOLD) {
            turn->acks[turn->ack_count++] = (struct outbox_row){
                .dc_id = lane->dc_id, .cluster_name = xstrdup(row->cluster), .idx = row->idx
            };
        }
    }
}

static bool acks_due(const struct notifier *n, mono_ms now)
{
    return n->told_count > 0 &&
           (n->told_count >= ACK_ROWS || n->is_stopped || now - n->told_since >= ACK_WAIT_MS);
}

static void fill_turn(struct notifier *n, struct notify_turn *turn)
{
    mono_ms now = loop_now(n->o.loop);
    turn->catalog = n->o.catalog;
    turn->types = n->settings.types;
    turn->lanes = xcalloc(map_count(&n->lanes) + 1, sizeof(*turn->lanes));
    size_t at = 0;
    const struct map_slot *slot;
    int left = n->o.pushes_max - n->sending_count;
    bool is_ack_due = acks_due(n, now);
    while ((slot = map_next(&n->lanes, &at))) {
        struct lane *lane = slot->value;
        struct turn_lane *out = &turn->lanes[turn->lane_count++];
        forget_stale(lane, now);
        int room = lane_room(n, lane, now);
        *out = (struct turn_lane){ .dc_id = lane->dc_id,
                                   .dc = xstrdup(lane->dc),
                                   .refresh_idx = lane->refresh_idx,
                                   .room = room < left ? room : left };
        left -= out->room > 0 ? out->room : 0;
        copy_busy(lane, now, out);
        if (is_ack_due) {
            copy_acks(lane, turn);
        }
    }
}

/* Rows whose acknowledgment is stored, or whose retry was chosen anew, are the outbox's business again. */
static void forget_acked(struct notifier *n, const struct notify_turn *turn)
{
    for (size_t i = 0; i < turn->ack_count; i++) {
        struct lane *lane = map_get_n(&n->lanes, (uint64_t)turn->acks[i].dc_id);
        struct row *row = map_get(&lane->rows, turn->acks[i].cluster_name);
        if (row && row->state == ROW_TOLD) {
            forget_row(lane, row);
            n->told_count--;
        }
    }
}

static void note_outbox(struct notifier *n, const struct notify_turn *turn)
{
    if (turn->rc < 0 && !n->outbox_failed) {
        log_error("notify.outbox_failed", "why", turn->err.msg);
    } else if (turn->rc == 0 && n->outbox_failed) {
        log_info("notify.outbox_works");
    }
    n->outbox_failed = turn->rc < 0;
    (void)snprintf(n->problem, sizeof(n->problem), "%s", turn->err.msg);
    if (turn->rc == 0) {
        n->waiting_count = turn->waiting_count;
        n->has_newer = turn->has_newer;
        n->seen_version = turn->store_version;
        metric_set(&queue_gauge, turn->waiting_count);
    }
}

static void apply_turn(struct notifier *n, struct notify_turn *turn)
{
    if (turn->acked) {
        metric_add(&acks_total, 1);
        forget_acked(n, turn);
    }
    note_outbox(n, turn);
    for (size_t i = 0; i < turn->dc_count; i++) {
        if (ensure_lane(n, &turn->dcs[i])) {
            n->look_again = true;
        }
    }
    for (size_t i = 0; i < turn->item_count; i++) {
        send_push(n, &turn->items[i]);
    }
}

static void run_turn(struct job *job)
{
    notify_turn_run(&CONTAINER_OF(job, struct turn_job, job)->turn);
}

static void turn_ended(struct job *job)
{
    struct turn_job *t = CONTAINER_OF(job, struct turn_job, job);
    struct notifier *n = t->notifier;
    n->is_turning = false;
    if (job->outcome == 0) {
        apply_turn(n, &t->turn);
    }
    notify_turn_done(&t->turn);
    free(t);
    plan_next(n);
}

static void start_turn(struct notifier *n)
{
    struct turn_job *t = xcalloc(1, sizeof(*t));
    t->notifier = n;
    t->job = (struct job){ .run = run_turn, .done = turn_ended, .deadline = MONO_FOREVER };
    fill_turn(n, &t->turn);
    n->look_again = false;
    __atomic_store_n(&n->is_look_planned, 0, __ATOMIC_SEQ_CST); /* before the outbox is read */
    n->turned_at = loop_now(n->o.loop);
    struct xp_err err = { 0 };
    if (worker_submit(n->o.pool, &t->job, &err) < 0) { /* the pool is full: the timer tries again */
        notify_turn_done(&t->turn);
        free(t);
        return;
    }
    n->is_turning = true;
}

/* ---- when ---- */

static bool is_refresh_due(const struct notifier *n)
{
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&n->lanes, &at))) {
        const struct lane *lane = slot->value;
        if (lane->refresh_idx > 0 && lane->url) {
            return true;
        }
    }
    return false;
}

static bool is_due(const struct notifier *n, mono_ms now)
{
    return n->look_again || n->waiting_count > 0 || is_refresh_due(n) || n->outbox_failed ||
           acks_due(n, now) || store_version(n->o.catalog->store) != n->seen_version;
}

static int64_t next_wait_ms(const struct notifier *n, mono_ms now)
{
    int64_t wait = n->settings.poll_ms;
    /* A turn that is under way plans anew at its end: a timer for what is due already would fire all the time until then. */
    if (!n->is_turning && n->told_count > 0 && n->told_since + ACK_WAIT_MS - now < wait) {
        wait = n->told_since + ACK_WAIT_MS > now ? n->told_since + ACK_WAIT_MS - now : 0;
    }
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&n->lanes, &at))) {
        const struct lane *lane = slot->value;
        if (lane->failures > 0 && lane->retry_at > now && lane->retry_at - now < wait) {
            wait = lane->retry_at - now;
        }
    }
    return wait;
}

/* After an event: a turn now when it can do something, else at the timer. */
static void plan_next(struct notifier *n)
{
    mono_ms now = loop_now(n->o.loop);
    bool can_ack = acks_due(n, now) && !n->outbox_failed;
    bool can_look = n->look_again && !n->is_stopped;
    int64_t gap_ms = TURN_GAP_MS - mono_age(now, n->turned_at);
    if (!n->is_turning && (can_ack || can_look) && (gap_ms <= 0 || n->is_stopped)) {
        start_turn(n);
    } else if (!n->is_turning && can_look) {
        loop_timer_start(&n->timer, gap_ms);
    } else if (n->told_count > 0 && !n->is_stopped) {
        loop_timer_start(&n->timer, next_wait_ms(n, now));
    }
    if (n->look_again &&
        !n->is_stopped) { /* the timer runs, or a turn that plans anew at its end */
        __atomic_store_n(&n->is_look_planned, 1, __ATOMIC_SEQ_CST);
    }
}

static void timer_fire(struct loop_timer *t)
{
    struct notifier *n = CONTAINER_OF(t, struct notifier, timer);
    if (!n->is_turning && !n->is_stopped && is_due(n, loop_now(n->o.loop))) {
        start_turn(n);
    }
    loop_timer_start(t, next_wait_ms(n, loop_now(n->o.loop)));
}

static void woken(void *arg)
{
    struct notifier *n = arg;
    n->look_again = true;
    plan_next(n);
}

void notifier_wake(struct notifier *n)
{
    if (!__atomic_load_n(&n->is_look_planned, __ATOMIC_SEQ_CST)) {
        waker_wake(n->waker);
    }
}

/* ---- life ---- */

struct notifier *notifier_new(const struct notifier_options *options)
{
    xp_check(options->pushes_max > 0);
    struct notifier *n = xcalloc(1, sizeof(*n));
    n->o = *options;
    n->urls = (struct meta_urls)META_URLS_INIT;
    n->lanes = MAP_INIT(MAP_NUMBER);
    n->turned_at = MONO_NEVER;
    n->look_again = true; /* what an earlier process left behind */
    metric_register(&queue_gauge);
    metric_register(&acks_total);
    metric_register(&sending_gauge);
    loop_timer_init(&n->timer, n->o.loop, timer_fire);
    n->waker = waker_new(n->o.loop, woken, n);
    return n;
}

int notifier_configure(struct notifier *n, const struct notifier_settings *settings,
                       struct xp_err *err)
{
    if (meta_urls_load(&n->urls, settings->metaservers, n->o.catalog->alias, err) < 0) {
        return err->code;
    }
    bool are_types_new = settings->types != n->settings.types;
    n->settings = *settings;
    n->settings.metaservers = NULL;
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&n->lanes, &at))) {
        struct lane *lane = slot->value;
        set_url(n, lane);
        /* What was not pushed until now is known to no metaserver, unless it has fetched since. */
        lane->refresh_idx = are_types_new ? n->seen_version : lane->refresh_idx;
    }
    n->look_again = true;
    if (!n->is_stopped) {
        loop_timer_start(&n->timer, 0);
    }
    return 0;
}

void notifier_stop(struct notifier *n)
{
    bool was_stopped = n->is_stopped;
    n->is_stopped = true;
    loop_timer_stop(&n->timer);
    if (!was_stopped && n->told_count > 0) {
        plan_next(n); /* acknowledges without waiting for more */
    }
}

bool notifier_is_idle(const struct notifier *n)
{
    return !n->is_turning && n->sending_count == 0 && (n->outbox_failed || n->told_count == 0);
}

const char *notifier_problem(const struct notifier *n)
{
    return n->outbox_failed ? n->problem : NULL;
}

void notifier_free(struct notifier *n)
{
    if (!n) {
        return;
    }
    loop_timer_stop(&n->timer);
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&n->lanes, &at))) {
        lane_free(slot->value);
    }
    map_done(&n->lanes);
    meta_urls_done(&n->urls);
    waker_close(n->waker);
    free(n);
}
