/* outer_client.c - see outer_client.h. A telling is tried up to TRIES times within its time; each try is one request. */
#include "console/migration/outer_client.h"

#include <string.h>

#include "shared/base/list.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/thread.h"
#include "shared/model/json_decode.h"
#include "shared/net/url.h"
#include "shared/base/banned.h"

#define TRIES           3
#define TRY_GAP_MS      100
#define REPLY_MAX_BYTES (64 * 1024)
#define URL_MAX_BYTES   8192
#define BODY_MAX_BYTES  (1024 * 1024)
#define MESSAGE_MAX     512
#define NOBODY          "no outer client is configured: nobody was told"
#define NOBODY_ADDRESS  "default-addr"

enum telling_kind { TELL_CHECK, TELL_PUBLISH, TELL_EXCLUDE, TELL_DIVERGED };

struct telling { /* owner: loop; its request, when there is one, refers to it */
    struct list link;
    struct outer_client *client; /* NULL: the client is gone, nobody is answered */
    enum telling_kind kind;
    bool is_webhook;
    char *url; /* NULL: nobody to be told */
    char *body;
    char *address;
    int64_t connect_timeout_ms;
    mono_ms deadline;
    wall_ms start_ms;
    int tries;
    bool is_sending;
    struct loop_timer timer; /* the first try, the next try */
    outer_fn *done;
    void *arg;
};

struct outer_client {
    struct loop *loop;
    struct http_client *http;
    struct http_client *news; /* of TELL_DIVERGED */
    char *credis_url;
    char *webhook_url;
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    struct list tellings;
    int news_count; /* of them; OUTER_NEWS_MAX at most */
};

/* ---- the end of a telling ---- */

static void telling_free(struct telling *t)
{
    if (t->client && t->kind == TELL_DIVERGED) {
        t->client->news_count--;
    }
    loop_timer_stop(&t->timer);
    list_remove(&t->link);
    free(t->url);
    free(t->body);
    free(t->address);
    free(t);
}

static void answer(struct telling *t, bool is_ok, const char *message)
{
    struct outer_answer a = { .is_ok = is_ok,
                              .was_told = is_ok && t->url != NULL,
                              .message = message,
                              .address = t->address,
                              .start_ms = t->start_ms,
                              .end_ms = clock_wall_ms() };
    if (!is_ok) {
        log_warn("outer_client.failed", "url", t->url, "tries", log_int(t->tries), "why", message);
    }
    t->done(&a, t->arg);
    telling_free(t);
}

/* ---- what came back ---- */

static const json_t *either(const json_t *object, const char *name, const char *other)
{
    const json_t *value = json_object_get(object, name);
    return value ? value : json_object_get(object, other);
}

/* Did they take it? The text, cut, goes into 'why'. */
static bool accepts(const struct telling *t, const struct http_reply *reply, char *why, size_t size)
{
    if (reply->status < 200 || reply->status >= 300) {
        (void)snprintf(why, size, "status %d: %.200s", reply->status, reply->body);
        return false;
    }
    if (t->is_webhook) {
        (void)snprintf(why, size, "status %d", reply->status);
        return true;
    }
    json_auto_t *json =
        json_loadb(reply->body, reply->length, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    if (t->kind == TELL_CHECK) {
        (void)snprintf(why, size, "checkcluster answers %.200s", reply->body);
        return json_is_true(json);
    }
    const json_t *message = either(json, "message", "Message");
    bool is_ok = json_is_true(either(json, "success", "Success"));
    const char *text = json_string_value(message);
    (void)snprintf(why, size, "%s", text ? text : is_ok ? "success" : "its answer says no success");
    return is_ok;
}

static void try_again(struct telling *t, const char *why)
{
    bool has_time = clock_mono_ms() + TRY_GAP_MS < t->deadline;
    if (t->tries >= TRIES || !has_time) {
        answer(t, false, why);
        return;
    }
    loop_timer_start(&t->timer, TRY_GAP_MS);
}

static void on_reply(int rc, const struct http_reply *reply, const struct xp_err *err, void *arg,
                     uint64_t token)
{
    (void)token;
    struct telling *t = arg;
    t->is_sending = false;
    if (!t->client) {
        telling_free(t);
        return;
    }
    char why[MESSAGE_MAX] = "";
    if (rc < 0) {
        try_again(t, err->msg);
    } else if (accepts(t, reply, why, sizeof(why))) {
        answer(t, true, why);
    } else {
        try_again(t, why);
    }
}

static void send_try(struct loop_timer *timer)
{
    struct telling *t = CONTAINER_OF(timer, struct telling, timer);
    if (!t->url) {
        answer(t, true, NOBODY);
        return;
    }
    int64_t left_ms = t->deadline - clock_mono_ms();
    struct http_call call = { .method = "POST",
                              .url = t->url,
                              .body = t->body,
                              .body_length = t->body ? strlen(t->body) : 0,
                              .headers = { "Content-Type: application/json", NULL },
                              .connect_timeout_ms = t->connect_timeout_ms,
                              .timeout_ms = left_ms > 0 ? left_ms : 1,
                              .max_reply_bytes = REPLY_MAX_BYTES,
                              .may_come_twice =
                                  true }; /* it says how things are, not what changed */
    struct xp_err err = { 0 };
    struct http_client *http = t->kind == TELL_DIVERGED ? t->client->news : t->client->http;
    t->tries++;
    if (http_send(http, &call, on_reply, t, 0, &err) < 0) {
        try_again(t, err.msg);
        return;
    }
    t->is_sending = true;
}

/* ---- tellings ---- */

/* Takes 'url' (NULL: nobody) and 'body'. */
static void tell(struct outer_client *c, struct telling *take_start, outer_fn *done, void *arg)
{
    struct telling *t = take_start;
    t->client = c;
    t->connect_timeout_ms = c->connect_timeout_ms;
    t->start_ms = clock_wall_ms();
    t->deadline = clock_mono_ms() + c->timeout_ms;
    t->done = done;
    t->arg = arg;
    loop_timer_init(&t->timer, c->loop, send_try);
    list_push_back(&c->tellings, &t->link);
    if (!t->address) {
        t->address = xstrdup(NOBODY_ADDRESS);
    }
    loop_timer_start(&t->timer, 0);
}

static struct telling *new_telling(enum telling_kind kind)
{
    struct telling *t = xcalloc(1, sizeof(*t));
    t->kind = kind;
    return t;
}

static char *credis_url(const struct outer_client *c, const char *word, const char *cluster,
                        const char *dc)
{
    struct str url = STR_INIT(URL_MAX_BYTES);
    str_printf(&url, "%s/keeperApi/%s/", c->credis_url, word);
    url_add_encoded(&url, cluster);
    if (dc) {
        str_putc(&url, '/');
        url_add_encoded(&url, dc);
    }
    return str_take(&url);
}

static char *dump(json_t *take_json)
{
    char *text = json_dumps(take_json, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(take_json);
    return text;
}

static json_t *addr_array(const struct addr *addrs, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(array, jd_text(ADDR_TEXT(&addrs[i])));
    }
    return array;
}

/* The platform, or the webhook, or nobody: sets url, address and is_webhook. */
static void aim(const struct outer_client *c, struct telling *t, char *take_credis_url)
{
    if (!text_is_empty(c->credis_url) && take_credis_url) {
        t->url = take_credis_url;
        t->address = xstrdup(c->credis_url);
        return;
    }
    free(take_credis_url);
    if (!text_is_empty(c->webhook_url) && t->kind != TELL_CHECK) {
        t->url = xstrdup(c->webhook_url);
        t->address = xstrdup(c->webhook_url);
        t->is_webhook = true;
    }
}

void outer_precheck(struct outer_client *c, const char *cluster, outer_fn *done, void *arg)
{
    XP_ON_LOOP();
    struct telling *t = new_telling(TELL_CHECK);
    aim(c, t, credis_url(c, "checkcluster", cluster, NULL));
    tell(c, t, done, arg);
}

void outer_publish(struct outer_client *c, const char *cluster, const char *dc,
                   const struct addr *masters, size_t count, int64_t epoch, outer_fn *done,
                   void *arg)
{
    XP_ON_LOOP();
    struct telling *t = new_telling(TELL_PUBLISH);
    aim(c, t, credis_url(c, "primarydc", cluster, dc));
    json_t *addrs = addr_array(masters, count);
    if (t->is_webhook) {
        addrs = json_pack("{s:s,s:o,s:o,s:o,s:I}", "event", "switched", "cluster", jd_text(cluster),
                          "dc", jd_text(dc), "masters", addrs, "epoch", (json_int_t)epoch);
    }
    t->body = dump(addrs);
    tell(c, t, done, arg);
}

static void nobody_waits(const struct outer_answer *a, void *arg)
{
    (void)a, (void)arg;
}

void outer_diverged(struct outer_client *c, json_t *take_body)
{
    XP_ON_LOOP();
    if (c->news_count >= OUTER_NEWS_MAX) {
        log_warn("outer_client.left_out", "cluster",
                 json_string_value(json_object_get(take_body, "cluster")), "shard",
                 json_string_value(json_object_get(take_body, "shard")), "why",
                 "too much news is on its way to the webhook", "next",
                 "it is recorded: GET /api/v2/divergences");
        json_decref(take_body);
        return;
    }
    struct telling *t = new_telling(TELL_DIVERGED);
    c->news_count++;
    aim(c, t, NULL);
    t->body = dump(take_body);
    tell(c, t, nobody_waits, NULL);
}

void outer_exclude(struct outer_client *c, const char *cluster, const char *const *excluded,
                   size_t count, outer_fn *done, void *arg)
{
    XP_ON_LOOP();
    struct telling *t = new_telling(TELL_EXCLUDE);
    aim(c, t, credis_url(c, "excludedIdcs", cluster, NULL));
    json_t *names = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(names, jd_text(excluded[i]));
    }
    if (t->is_webhook) {
        names = json_pack("{s:s,s:o,s:o}", "event", "excluded", "cluster", jd_text(cluster), "dcs",
                          names);
    }
    t->body = dump(names);
    tell(c, t, done, arg);
}

char *outer_publish_info(const struct outer_answer *a, const char *cluster, const char *dc,
                         const struct addr *masters, size_t count)
{
    json_t *info = json_pack(
        "{s:b,s:o,s:I,s:I,s:o,s:o,s:o,s:o,s:b}", "success", a->is_ok, "message",
        jd_text(a->message), "startTime", (json_int_t)a->start_ms, "endTime", (json_int_t)a->end_ms,
        "publishAddress", jd_text(a->address), "clusterName", jd_text(cluster), "primaryDcName",
        jd_text(dc), "newMasters", addr_array(masters, count), "told", a->was_told);
    return dump(info);
}

/* ---- life ---- */

struct outer_client *outer_client_new(struct loop *loop, struct http_client *http,
                                      struct http_client *news)
{
    struct outer_client *c = xcalloc(1, sizeof(*c));
    c->loop = loop;
    c->http = http;
    c->news = news;
    c->credis_url = xstrdup("");
    c->webhook_url = xstrdup("");
    c->connect_timeout_ms = 300;
    c->timeout_ms = 2000;
    list_init(&c->tellings);
    return c;
}

static char *base_url(const char *url)
{
    size_t length = strlen(url ? url : "");
    while (length > 0 && url[length - 1] == '/') {
        length--;
    }
    return xstrndup(url ? url : "", length);
}

void outer_client_configure(struct outer_client *c, const struct outer_settings *settings)
{
    free(c->credis_url);
    free(c->webhook_url);
    c->credis_url = base_url(settings->credis_url);
    c->webhook_url = xstrdup(settings->webhook_url ? settings->webhook_url : "");
    c->connect_timeout_ms = settings->connect_timeout_ms;
    c->timeout_ms = settings->timeout_ms;
}

void outer_client_free(struct outer_client *c)
{
    if (!c) {
        return;
    }
    list_for_each (it, &c->tellings) {
        struct telling *t = LIST_ENTRY(it, struct telling, link);
        t->client = NULL;
        loop_timer_stop(&t->timer);
        list_remove(&t->link);
        if (!t->is_sending) { /* else its reply frees it */
            telling_free(t);
        }
    }
    free(c->credis_url);
    free(c->webhook_url);
    free(c);
}
