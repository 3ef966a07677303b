/* keeper_report.c - see keeper_report.h. One entry a shard: it waits, or is under way, and then newer news may wait behind it. */
#include "meta/keepers/keeper_report.h"

#include <string.h>

#include "shared/base/list.h"
#include "shared/base/log.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"
#include "shared/net/url.h"

#include "shared/base/banned.h"

#define UNDER_WAY_MAX   4
#define PAUSE_FIRST_MS  1000
#define PAUSE_MAX_MS    60000
#define REPLY_MAX_BYTES (64U * 1024)
#define URL_MAX_BYTES   8192

#define REPORTS_HELP "Reports of active keepers to the console, by how they ended."
static struct metric reports_ok =
    METRIC_COUNTER_INIT("xpipe_keeper_reports_total", "result=\"ok\"", REPORTS_HELP);
static struct metric reports_failed =
    METRIC_COUNTER_INIT("xpipe_keeper_reports_total", "result=\"failed\"", REPORTS_HELP);
static struct metric reports_refused =
    METRIC_COUNTER_INIT("xpipe_keeper_reports_total", "result=\"refused\"", REPORTS_HELP);
static struct metric reports_dropped =
    METRIC_COUNTER_INIT("xpipe_keeper_reports_total", "result=\"dropped\"", REPORTS_HELP);
static struct metric reports_waiting =
    METRIC_GAUGE_INIT("xpipe_keeper_reports_waiting", "",
                      "Shards whose active keeper waits to be reported to the console.");

struct report { /* of one shard */
    struct keeper_report *owner;
    char *key; /* owned, "cluster/shard" */
    char *url; /* owned */
    struct live_keeper active;
    struct list link; /* owner->queue, while it waits */
    bool is_under_way;
    bool is_newer;   /* 'active' changed since it was sent */
    bool is_dropped; /* not ours any more: forgotten when the call under way has ended */
};

struct keeper_report {
    struct keeper_report_options options;
    char *base_url; /* up to the name of the cluster */
    struct http_client *http;
    struct map by_shard; /* key -> struct report */
    struct list queue;
    size_t waiting;
    int under_way;
    struct loop_timer pump_timer; /* at once, or after the pause */
    int64_t pause_ms;             /* of the pause that runs or was last; 0: the console answers */
    bool is_closing;
};

/* ---- queue ---- */

static void report_free(struct report *r)
{
    (void)map_remove(&r->owner->by_shard, r->key);
    free(r->key);
    free(r->url);
    free(r);
}

static void leave_queue(struct report *r)
{
    if (list_is_linked(&r->link)) {
        list_remove(&r->link);
        r->owner->waiting--;
        metric_set(&reports_waiting, (int64_t)r->owner->waiting);
    }
}

/* During a pause only its end starts something; when that found nothing to send, the next one does not wait. */
static void pump_soon(struct keeper_report *k)
{
    bool is_pausing =
        k->pause_ms > 0 && (loop_timer_is_running(&k->pump_timer) || k->under_way > 0);
    if (!is_pausing) {
        loop_timer_start(&k->pump_timer, 0);
    }
}

/* Behind those that wait. Too many: dropped, and freed. */
static void enter_queue(struct report *r)
{
    struct keeper_report *k = r->owner;
    if (k->waiting >= (size_t)k->options.queue_max) {
        metric_add(&reports_dropped, 1);
        log_warn("keeper_report.dropped", "shard", r->key, "waiting", log_int((int64_t)k->waiting),
                 "next", "its owner reports again; see console.address and the console");
        report_free(r);
        return;
    }
    list_push_back(&k->queue, &r->link);
    k->waiting++;
    metric_set(&reports_waiting, (int64_t)k->waiting);
    pump_soon(k);
}

/* ---- pause ---- */

/* Several calls that fail together are one failure. */
static void pause_all(struct keeper_report *k, const char *why)
{
    if (k->pause_ms > 0 && loop_timer_is_running(&k->pump_timer)) {
        return;
    }
    if (k->pause_ms == 0) {
        log_warn("keeper_report.console_fails", "error", why, "next", "trying again");
    }
    int64_t longer = k->pause_ms * 2 < PAUSE_MAX_MS ? k->pause_ms * 2 : PAUSE_MAX_MS;
    k->pause_ms = k->pause_ms == 0 ? PAUSE_FIRST_MS : longer;
    loop_timer_start(&k->pump_timer, k->pause_ms);
}

static void end_pause(struct keeper_report *k)
{
    if (k->pause_ms > 0) {
        log_info("keeper_report.console_answers");
        k->pause_ms = 0;
    }
}

/* ---- one report ---- */

static char *body_of(const struct live_keeper *active)
{
    char run_id[sizeof(active->run_id)];
    memcpy(run_id, active->run_id, sizeof(run_id));
    struct keeper_meta keeper = {
        .id = run_id[0] ? run_id : NULL,
        .addr = active->addr,
        .is_active = true,
        .container_id = active->container_id,
        .priority = active->priority,
    };
    json_t *json = keeper_meta_to_json(&keeper);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    xp_check(text != NULL);
    return text;
}

/* 0; XP_UNAVAILABLE: again later; else refused. */
static int outcome(const struct report *r, int rc, const struct http_reply *reply,
                   const struct xp_err *why, struct xp_err *err)
{
    if (rc == XP_INVALID) {
        return xp_fail(err, XP_INVALID, "%s", why->msg);
    }
    if (rc < 0) {
        return xp_fail(err, XP_UNAVAILABLE, "%s", why->msg);
    }
    if (reply->status >= 200 && reply->status < 300) {
        return 0;
    }
    return xp_fail(err, reply->status >= 500 ? XP_UNAVAILABLE : XP_REMOTE, "PUT %s: status %d",
                   r->url, reply->status);
}

/* The call of this report ended: once more, or that was it. */
static void after_call(struct report *r, int rc)
{
    struct keeper_report *k = r->owner;
    bool again = (rc == XP_UNAVAILABLE || r->is_newer) && !r->is_dropped;
    r->is_under_way = false;
    k->under_way--;
    if (again) {
        enter_queue(r);
    } else {
        report_free(r);
    }
    pump_soon(k);
}

static void on_reply(int rc, const struct http_reply *reply, const struct xp_err *why, void *arg,
                     uint64_t token)
{
    (void)token;
    struct report *r = arg;
    struct keeper_report *k = r->owner;
    struct xp_err err = { 0 };
    if (k->is_closing) {
        report_free(r);
        return;
    }
    rc = outcome(r, rc, reply, why, &err);
    if (rc == XP_UNAVAILABLE) {
        metric_add(&reports_failed, 1);
        pause_all(k, err.msg);
    } else if (rc < 0) {
        metric_add(&reports_refused, 1);
        end_pause(k); /* it answers */
        log_warn("keeper_report.refused", "shard", r->key, "error", err.msg);
    } else {
        metric_add(&reports_ok, 1);
        end_pause(k);
    }
    after_call(r, rc);
}

static void send_report(struct report *r)
{
    struct keeper_report *k = r->owner;
    struct xp_err err = { 0 };
    AUTO_FREE char *body = body_of(&r->active);
    const struct http_call call = { .method = "PUT",
                                    .url = r->url,
                                    .body = body,
                                    .body_length = strlen(body),
                                    .connect_timeout_ms = k->options.connect_timeout_ms,
                                    .timeout_ms = k->options.timeout_ms,
                                    .max_reply_bytes = REPLY_MAX_BYTES };
    r->is_under_way = true;
    r->is_newer = false;
    k->under_way++;
    int rc = http_send(k->http, &call, on_reply, r, 0, &err);
    if (rc < 0) {
        log_error("keeper_report.not_sent", "shard", r->key, "error", err.msg);
        after_call(r, rc);
    }
}

static void pump_fired(struct loop_timer *t)
{
    struct keeper_report *k = CONTAINER_OF(t, struct keeper_report, pump_timer);
    struct list *link;
    while (k->under_way < UNDER_WAY_MAX && (link = list_pop_front(&k->queue))) {
        k->waiting--;
        send_report(LIST_ENTRY(link, struct report, link));
    }
    metric_set(&reports_waiting, (int64_t)k->waiting);
}

/* ---- keeper_report.h ---- */

struct keeper_report *keeper_report_new(const struct keeper_report_options *options)
{
    xp_check(options->queue_max > 0);
    struct keeper_report *k = xcalloc(1, sizeof(*k));
    struct str url AUTO_STR = STR_INIT(URL_MAX_BYTES);
    size_t length = strlen(options->console_url);
    while (length > 0 && options->console_url[length - 1] == '/') {
        length--;
    }
    str_add(&url, options->console_url, length);
    str_puts(&url, "/api/dc/");
    url_add_encoded(&url, options->dc);
    str_puts(&url, "/cluster/");
    k->options = *options;
    k->base_url = str_take(&url);
    k->http = http_client_new(options->loop, UNDER_WAY_MAX, UNDER_WAY_MAX);
    k->by_shard = MAP_INIT(MAP_TEXT);
    list_init(&k->queue);
    loop_timer_init(&k->pump_timer, options->loop, pump_fired);
    metric_register(&reports_ok);
    metric_register(&reports_failed);
    metric_register(&reports_refused);
    metric_register(&reports_dropped);
    metric_set(&reports_waiting, 0);
    return k;
}

void keeper_report_free(struct keeper_report *k)
{
    if (!k) {
        return;
    }
    struct list *link;
    k->is_closing = true;
    loop_timer_stop(&k->pump_timer);
    while ((link = list_pop_front(&k->queue))) {
        report_free(LIST_ENTRY(link, struct report, link));
    }
    http_client_free(k->http); /* answers those under way */
    xp_check(map_count(&k->by_shard) == 0);
    map_done(&k->by_shard);
    free(k->base_url);
    free(k);
}

static struct report *report_new(struct keeper_report *k, const char *cluster, const char *shard)
{
    struct str url AUTO_STR = STR_INIT(URL_MAX_BYTES);
    str_puts(&url, k->base_url);
    url_add_encoded(&url, cluster);
    str_puts(&url, "/shard/");
    url_add_encoded(&url, shard);
    str_puts(&url, "/keepers/adjustment");
    struct report *r = xcalloc(1, sizeof(*r));
    r->owner = k;
    r->key = xasprintf("%s/%s", cluster, shard);
    r->url = str_take(&url);
    list_init(&r->link);
    (void)map_put(&k->by_shard, r->key, r);
    return r;
}

static struct report *find(const struct keeper_report *k, const char *cluster, const char *shard)
{
    AUTO_FREE char *key = xasprintf("%s/%s", cluster, shard);
    return map_get(&k->by_shard, key);
}

void keeper_report_put(struct keeper_report *k, const char *cluster, const char *shard,
                       const struct live_keeper *active)
{
    XP_ON_LOOP();
    struct report *r = find(k, cluster, shard);
    if (!r) {
        r = report_new(k, cluster, shard);
    }
    r->active = *active;
    r->is_dropped = false;
    r->is_newer = r->is_under_way;
    if (!r->is_under_way && !list_is_linked(&r->link)) {
        enter_queue(r);
    }
}

void keeper_report_drop(struct keeper_report *k, const char *cluster, const char *shard)
{
    XP_ON_LOOP();
    struct report *r = find(k, cluster, shard);
    if (!r) {
        return;
    }
    if (r->is_under_way) {
        r->is_dropped = true;
        return;
    }
    leave_queue(r);
    report_free(r);
}

size_t keeper_report_waiting(const struct keeper_report *k)
{
    return k->waiting;
}
