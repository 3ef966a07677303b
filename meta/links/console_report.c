/* console_report.c - see console_report.h. One entry a key: it waits, or is under way, and then newer news may wait behind it. */
#include "meta/links/console_report.h"

#include <string.h>

#include "shared/base/list.h"
#include "shared/base/log.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/thread.h"

#include "shared/base/banned.h"

#define UNDER_WAY_MAX   4
#define PAUSE_FIRST_MS  1000
#define PAUSE_MAX_MS    60000
#define REPLY_MAX_BYTES (64U * 1024)

struct report { /* of one key */
    struct console_report *owner;
    char *key;  /* owned */
    char *url;  /* owned */
    char *body; /* owned */
    const char *method;
    console_report_fn *on_end; /* NULL: nobody cares */
    void *arg;
    struct list link; /* owner->queue, while it waits */
    bool is_under_way;
    bool is_newer;   /* 'body' changed since it was sent */
    bool is_dropped; /* not ours any more: forgotten when the call under way has ended */
};

struct console_report {
    struct console_report_options options;
    char *base_url; /* without a slash at its end */
    struct http_client *http;
    struct map by_key; /* -> struct report */
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
    (void)map_remove(&r->owner->by_key, r->key);
    free(r->key);
    free(r->url);
    free(r->body);
    free(r);
}

/* The end of it: told to who gave it, and freed. */
static void report_end(struct report *r, int rc)
{
    console_report_fn *on_end = r->on_end;
    void *arg = r->arg;
    report_free(r);
    if (on_end) {
        on_end(rc, arg);
    }
}

static void leave_queue(struct report *r)
{
    if (list_is_linked(&r->link)) {
        struct console_report *k = r->owner;
        list_remove(&r->link);
        k->waiting--;
        metric_set(&k->options.metrics->waiting, (int64_t)k->waiting);
    }
}

/* During a pause only its end starts something; when that found nothing to send, the next one does not wait. */
static void pump_soon(struct console_report *k)
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
    struct console_report *k = r->owner;
    if (k->waiting >= (size_t)k->options.queue_max) {
        metric_add(&k->options.metrics->dropped, 1);
        log_warn("console_report.dropped", "subject", k->options.subject, "of", r->key, "waiting",
                 log_int((int64_t)k->waiting), "next",
                 "its owner reports again; see console.address and the console");
        report_end(r, XP_TOO_MANY);
        return;
    }
    list_push_back(&k->queue, &r->link);
    k->waiting++;
    metric_set(&k->options.metrics->waiting, (int64_t)k->waiting);
    pump_soon(k);
}

/* ---- pause ---- */

/* Several calls that fail together are one failure. */
static void pause_all(struct console_report *k, const char *why)
{
    if (k->pause_ms > 0 && loop_timer_is_running(&k->pump_timer)) {
        return;
    }
    if (k->pause_ms == 0) {
        log_warn("console_report.console_fails", "subject", k->options.subject, "error", why,
                 "next", "trying again");
    }
    int64_t longer = k->pause_ms * 2 < PAUSE_MAX_MS ? k->pause_ms * 2 : PAUSE_MAX_MS;
    k->pause_ms = k->pause_ms == 0 ? PAUSE_FIRST_MS : longer;
    loop_timer_start(&k->pump_timer, k->pause_ms);
}

static void end_pause(struct console_report *k)
{
    if (k->pause_ms > 0) {
        log_info("console_report.console_answers", "subject", k->options.subject);
        k->pause_ms = 0;
    }
}

/* ---- one report ---- */

/* Not about the report: a token that is being changed, a console that asks for patience, one that is broken. */
static bool is_passing(int status)
{
    return status == 401 || status == 403 || status == 429 || status >= 500;
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
    return xp_fail(err, is_passing(reply->status) ? XP_UNAVAILABLE : XP_REMOTE, "%s %s: status %d",
                   r->method, r->url, reply->status);
}

/* The call of this report ended: once more, or that was it. */
static void after_call(struct report *r, int rc)
{
    struct console_report *k = r->owner;
    bool again = (rc == XP_UNAVAILABLE || r->is_newer) && !r->is_dropped;
    r->is_under_way = false;
    k->under_way--;
    if (again) {
        enter_queue(r);
    } else {
        report_end(r, rc);
    }
    pump_soon(k);
}

static void on_reply(int rc, const struct http_reply *reply, const struct xp_err *why, void *arg,
                     uint64_t token)
{
    (void)token;
    struct report *r = arg;
    struct console_report *k = r->owner;
    struct xp_err err = { 0 };
    if (k->is_closing) {
        report_end(r, XP_UNAVAILABLE);
        return;
    }
    rc = outcome(r, rc, reply, why, &err);
    if (rc == XP_UNAVAILABLE) {
        metric_add(&k->options.metrics->failed, 1);
        pause_all(k, err.msg);
    } else if (rc < 0) {
        metric_add(&k->options.metrics->refused, 1);
        end_pause(k); /* it answers */
        log_warn("console_report.refused", "subject", k->options.subject, "of", r->key, "error",
                 err.msg);
    } else {
        metric_add(&k->options.metrics->ok, 1);
        end_pause(k);
    }
    after_call(r, rc);
}

static void send_report(struct report *r)
{
    struct console_report *k = r->owner;
    struct xp_err err = { 0 };
    const struct http_call call = { .method = r->method,
                                    .url = r->url,
                                    .body = r->body,
                                    .body_length = strlen(r->body),
                                    .connect_timeout_ms = k->options.connect_timeout_ms,
                                    .timeout_ms = k->options.timeout_ms,
                                    .max_reply_bytes = REPLY_MAX_BYTES };
    r->is_under_way = true;
    r->is_newer = false;
    k->under_way++;
    int rc = http_send(k->http, &call, on_reply, r, 0, &err);
    if (rc < 0) {
        log_error("console_report.not_sent", "subject", k->options.subject, "of", r->key, "error",
                  err.msg);
        after_call(r, rc);
    }
}

static void pump_fired(struct loop_timer *t)
{
    struct console_report *k = CONTAINER_OF(t, struct console_report, pump_timer);
    struct list *link;
    while (k->under_way < UNDER_WAY_MAX && (link = list_pop_front(&k->queue))) {
        k->waiting--;
        send_report(LIST_ENTRY(link, struct report, link));
    }
    metric_set(&k->options.metrics->waiting, (int64_t)k->waiting);
}

/* ---- console_report.h ---- */

struct console_report *console_report_new(const struct console_report_options *options)
{
    xp_check(options->queue_max > 0);
    struct console_report *k = xcalloc(1, sizeof(*k));
    size_t length = strlen(options->console_url);
    while (length > 0 && options->console_url[length - 1] == '/') {
        length--;
    }
    k->options = *options;
    k->base_url = xstrndup(options->console_url, length);
    k->http = http_client_new(options->loop, UNDER_WAY_MAX, UNDER_WAY_MAX);
    k->by_key = MAP_INIT(MAP_TEXT);
    list_init(&k->queue);
    loop_timer_init(&k->pump_timer, options->loop, pump_fired);
    struct report_metrics *m = k->options.metrics;
    struct metric *const counters[] = { &m->ok, &m->failed, &m->refused, &m->dropped };
    for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
        metric_register(counters[i]);
    }
    metric_set(&m->waiting, 0);
    return k;
}

void console_report_free(struct console_report *k)
{
    if (!k) {
        return;
    }
    struct list *link;
    k->is_closing = true;
    loop_timer_stop(&k->pump_timer);
    while ((link = list_pop_front(&k->queue))) {
        report_end(LIST_ENTRY(link, struct report, link), XP_UNAVAILABLE);
    }
    http_client_free(k->http); /* answers those under way */
    xp_check(map_count(&k->by_key) == 0);
    map_done(&k->by_key);
    free(k->base_url);
    free(k);
}

void console_report_put(struct console_report *k, const struct console_news *news)
{
    XP_ON_LOOP();
    struct report *r = map_get(&k->by_key, news->key);
    if (!r) {
        r = xcalloc(1, sizeof(*r));
        r->owner = k;
        r->key = xstrdup(news->key);
        list_init(&r->link);
        (void)map_put(&k->by_key, r->key, r);
    }
    free(r->url);
    free(r->body);
    r->url = xasprintf("%s%s", k->base_url, news->target);
    r->body = news->take_body;
    r->method = news->method;
    r->on_end = news->on_end;
    r->arg = news->arg;
    r->is_dropped = false;
    r->is_newer = r->is_under_way;
    if (!r->is_under_way && !list_is_linked(&r->link)) {
        enter_queue(r);
    }
}

bool console_report_has(const struct console_report *k, const char *key)
{
    return map_get(&k->by_key, key) != NULL;
}

void console_report_drop(struct console_report *k, const char *key)
{
    XP_ON_LOOP();
    struct report *r = map_get(&k->by_key, key);
    if (!r) {
        return;
    }
    if (r->is_under_way) {
        r->is_dropped = true;
        r->on_end = NULL;
        return;
    }
    leave_queue(r);
    report_free(r);
}

size_t console_report_waiting(const struct console_report *k)
{
    return k->waiting;
}
