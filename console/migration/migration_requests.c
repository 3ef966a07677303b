/* migration_requests.c - requests of migrations to metaservers: each DC has a lane (who is next) and an HTTP client (threads and kept connections);
 * see migration_calls_internal.h. */
#include <string.h>

#include "console/migration/migration_calls_internal.h"
#include "console/migration/migration_lane.h"
#include "shared/base/mem.h"
#include "shared/model/json_decode.h"
#include "shared/net/url.h"
#include "shared/base/banned.h"

#define URL_MAX_BYTES  8192
#define ANSWER_TIME_MS 100 /* between a metaserver's deadline and ours */
#define WAIT_TOLD_MS   100 /* a wait for a thread that the log of the step tells */

struct meta_lane { /* of one DC */
    struct lane *queue;
    struct http_client *http;
};

/* ---- what they share ---- */

int64_t deadline_within(int64_t timeout_ms)
{
    int64_t half_ms = timeout_ms / 2;
    return timeout_ms - ANSWER_TIME_MS > half_ms ? timeout_ms - ANSWER_TIME_MS : half_ms;
}

char *meta_path(const struct call *c, const char *word, const char *shard, const char *last)
{
    struct str path = STR_INIT(URL_MAX_BYTES);
    str_printf(&path, "/api/meta/%s/", word);
    url_add_encoded(&path, c->cluster);
    str_putc(&path, '/');
    url_add_encoded(&path, shard);
    if (last) {
        str_putc(&path, '/');
        url_add_encoded(&path, last);
    }
    return str_take(&path);
}

static struct meta_lane *lane_of(struct migration_calls *m, const char *dc)
{
    struct meta_lane *lane = map_get(&m->lanes, dc);
    if (!lane) {
        lane = xcalloc(1, sizeof(*lane));
        lane->queue = lane_new(m->o.loop, m->o.threads);
        lane->http = http_client_new(m->o.loop, m->o.threads, m->o.threads);
        map_put(&m->lanes, dc, lane);
    }
    return lane;
}

void meta_lanes_free(struct migration_calls *m)
{
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&m->lanes, &at))) {
        struct meta_lane *lane = slot->value;
        lane_close(lane->queue);
        http_client_free(lane->http);
        lane_free(lane->queue);
        free(lane);
    }
    map_done(&m->lanes);
}

/* ---- one request ---- */

struct sent { /* owner: the lane until it goes, then the HTTP client until it answers */
    struct lane_ticket ticket;
    struct meta_lane *lane;
    struct call *call; /* held */
    const char *method;
    char *url;
    char *body; /* NULL: none */
    int64_t timeout_ms;
    meta_answer_fn *done;
    uint64_t token;
};

static enum lane_kind kind_of(const struct call *c)
{
    static const enum lane_kind kinds[MIGRATION_CALLS] = {
        [CALL_CHECK] = LANE_CHECK,    [CALL_HOLD] = LANE_FENCE,     [CALL_DRAIN] = LANE_OUTAGE,
        [CALL_FREEZE] = LANE_OUTAGE,  [CALL_PROMOTE] = LANE_OUTAGE, [CALL_DEMOTE] = LANE_OUTAGE,
        [CALL_RELEASE] = LANE_OUTAGE, [CALL_FOLLOW] = LANE_FOLLOW,  [CALL_PRECHECK] = LANE_CHECK,
        [CALL_PUBLISH] = LANE_OUTAGE,
    };
    return c->surveyed ? LANE_OUTAGE : kinds[c->plan.call]; /* surveys have lanes of their own */
}

static void sent_free(struct sent *s)
{
    free(s->url);
    free(s->body);
    free(s);
}

/* The end of it: the call gets the answer, unless it is finished already. */
static void answer(struct sent *s, const struct meta_answer *a)
{
    struct call *call = s->call;
    meta_answer_fn *done = s->done;
    uint64_t token = s->token;
    sent_free(s);
    if (call_drop(call)) {
        done(call, a, token);
    }
}

static void answer_not_sent(struct sent *s, const char *why)
{
    struct meta_answer a = { .kind = META_UNREACHABLE, .why = why };
    answer(s, &a);
}

static struct meta_answer answer_of_failure(const struct http_reply *reply,
                                            const struct xp_err *err)
{
    return (struct meta_answer){ .kind = reply->was_sent ? META_UNKNOWN : META_UNREACHABLE,
                                 .why = err->msg };
}

static struct meta_answer answer_of_reply(const struct http_reply *reply, json_t **ret_json,
                                          struct str *why)
{
    struct meta_answer a = { .status = reply->status };
    struct xp_err err = { 0 };
    if (reply->status < 200 || reply->status >= 300) {
        bool is_refusal = reply->status >= 400 && reply->status < 500;
        str_printf(why, "status %d: %.300s", reply->status, reply->body);
        a.kind = is_refusal ? META_REFUSED : META_UNKNOWN;
    } else if (reply->body[strspn(reply->body, " \t\r\n")] == '\0') {
        str_puts(why, "empty response from metaserver");
        a.kind = META_EMPTY;
    } else if (jd_parse(reply->body, reply->length, ret_json, &err) < 0) {
        str_printf(why, "its answer is no JSON: %s", err.msg);
        a.kind = META_UNKNOWN;
    } else {
        a.json = *ret_json;
        a.kind = META_ANSWERED;
    }
    a.why = str_text(why);
    return a;
}

static void on_reply(int rc, const struct http_reply *reply, const struct xp_err *err, void *arg,
                     uint64_t token)
{
    (void)token;
    struct sent *s = arg;
    struct lane *queue = s->lane->queue;
    enum lane_kind kind = s->ticket.kind;
    json_auto_t *json = NULL;
    struct str why AUTO_STR = STR_INIT(1024);
    struct meta_answer a =
        rc < 0 ? answer_of_failure(reply, err) : answer_of_reply(reply, &json, &why);
    answer(s, &a);
    lane_leave(queue, kind);
}

static void go(struct lane_ticket *t)
{
    struct sent *s = CONTAINER_OF(t, struct sent, ticket);
    struct migration_calls *m = s->call->owner;
    struct lane *queue = s->lane->queue;
    enum lane_kind kind = t->kind;
    struct xp_err err = { 0 };
    struct http_call http = { .method = s->method,
                              .url = s->url,
                              .body = s->body,
                              .body_length = s->body ? strlen(s->body) : 0,
                              .headers = { "Content-Type: application/json", NULL },
                              .connect_timeout_ms = m->settings.connect_timeout_ms,
                              .timeout_ms = s->timeout_ms,
                              .max_reply_bytes = SWITCH_BODY_MAX,
                              .may_come_twice = true }; /* every step may, by its epoch */
    int64_t waited_ms = lane_waited_ms(t);
    if (waited_ms >= WAIT_TOLD_MS) {
        execution_log_info(s->call->log, "waited %lld ms for a thread", (long long)waited_ms);
    }
    if (s->call->is_finished) { /* nobody wants it any more */
        answer_not_sent(s, "not sent");
    } else if (http_send(s->lane->http, &http, on_reply, s, 0, &err) < 0) {
        answer_not_sent(s, err.msg);
    } else {
        return;
    }
    lane_leave(queue, kind);
}

static void expired(struct lane_ticket *t)
{
    struct sent *s = CONTAINER_OF(t, struct sent, ticket);
    struct xp_err err = { 0 };
    (void)xp_fail(&err, XP_UNAVAILABLE, "%s %s: not sent, no thread was free for %lld ms",
                  s->method, s->url, (long long)lane_waited_ms(t));
    answer_not_sent(s, err.msg);
}

void meta_send(struct call *call, const struct meta_request *r)
{
    struct migration_calls *m = call->owner;
    json_auto_t *body = r->take_body;
    const char *base = meta_urls_get(&m->urls, r->dc);
    if (!base) {
        struct xp_err err = { 0 };
        (void)xp_fail(&err, XP_UNAVAILABLE, "no metaserver is configured for DC %s", r->dc);
        struct meta_answer a = { .kind = META_UNREACHABLE, .why = err.msg };
        r->done(call, &a, r->token);
        return;
    }
    struct sent *s = xcalloc(1, sizeof(*s));
    *s = (struct sent){ .ticket = { .kind = kind_of(call), .go = go, .expired = expired },
                        .lane = lane_of(m, r->dc),
                        .call = call,
                        .method = r->method,
                        .url = xasprintf("%s%s", base, r->path),
                        .body = body ? json_dumps(body, JSON_COMPACT) : NULL,
                        .timeout_ms = r->timeout_ms,
                        .done = r->done,
                        .token = r->token };
    call_hold(call);
    lane_enter(s->lane->queue, &s->ticket, m->settings.queue_ms);
}
