/* bi_survey.c - see bi_survey.h. */
#include "console/migration/bi_survey.h"

#include <stdlib.h>
#include <string.h>

#include "console/migration/bi_links.h"
#include "console/notify/meta_urls.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"
#include "shared/model/json_decode.h"
#include "shared/net/http_client.h"
#include "shared/net/url.h"

#include "shared/base/banned.h"

enum { THREADS = 8, URL_MAX_BYTES = 4096, REPLY_MAX_BYTES = 256 * 1024 };

struct bi_asker {
    struct loop *loop;
    struct http_client *http;
    struct meta_urls urls;
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    bool is_closed;
};

struct part { /* one cluster: its questions are [shard * DCs + dc] */
    size_t first;
    size_t shards; /* that are asked about */
};

struct question { /* one DC, one shard of one cluster */
    size_t cluster;
    size_t dc;
    size_t shard;
    struct bi_told *told; /* NULL: no answer */
    char *why;
};

struct survey {
    struct bi_asker *asker;
    const struct bi_exclusions *exclusions;
    struct part *parts;
    struct question *questions;
    size_t count;
    size_t waiting;
    bi_surveyed_fn *done;
    void *arg;
};

/* ---- the end ---- */

static void survey_free(struct survey *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->questions[i].told) {
            bi_told_done(s->questions[i].told);
            free(s->questions[i].told);
        }
        free(s->questions[i].why);
    }
    free(s->questions);
    free(s->parts);
    free(s);
}

static bool is_excluded(const struct bi_exclusions *e, const char *dc)
{
    for (size_t i = 0; i < e->dcs.count; i++) {
        if (text_eq_nocase(e->dcs.items[i], dc)) {
            return true;
        }
    }
    return false;
}

static json_t *weigh(const struct survey *s, size_t cluster)
{
    const struct bi_exclusion *item = &s->exclusions->items[cluster];
    const struct part *part = &s->parts[cluster];
    size_t count = part->shards * item->dcs.count;
    if (count == 0) {
        return json_null();
    }
    struct bi_dc *dcs AUTO_FREE = xcalloc(item->dcs.count, sizeof(*dcs));
    struct bi_seen *seen AUTO_FREE = xcalloc(count, sizeof(*seen));
    for (size_t i = 0; i < item->dcs.count; i++) {
        dcs[i].name = item->dcs.items[i];
        dcs[i].is_excluded = is_excluded(s->exclusions, dcs[i].name);
    }
    for (size_t i = 0; i < count; i++) {
        const struct question *q = &s->questions[part->first + i];
        seen[i] = (struct bi_seen){ .told = q->told, .why = q->why };
    }
    return bi_links_decide(
        &(struct bi_links_facts){ .dcs = dcs,
                                  .dc_count = item->dcs.count,
                                  .shards = (const char *const *)item->shards.items,
                                  .shard_count = part->shards,
                                  .seen = seen });
}

static void let_go(struct survey *s)
{
    if (--s->waiting > 0) {
        return;
    }
    if (s->asker->is_closed) {
        survey_free(s);
        return;
    }
    json_auto_t *links = json_array();
    for (size_t i = 0; i < s->exclusions->count; i++) {
        (void)json_array_append_new(links, weigh(s, i));
    }
    bi_surveyed_fn *done = s->done;
    void *arg = s->arg;
    survey_free(s);
    done(links, arg);
}

/* ---- asking ---- */

static int decode(const struct http_reply *reply, struct bi_told *ret, struct xp_err *err)
{
    json_auto_t *json = NULL;
    if (reply->status != 200) {
        return xp_fail(err, XP_REMOTE, "status %d: %.150s", reply->status, reply->body);
    }
    int rc = jd_parse(reply->body, reply->length, &json, err);
    rc = rc != 0 ? rc : bi_told_from_json(json, ret, err);
    return rc != 0 ? xp_wrap(err, "its answer is not understood") : 0;
}

static void on_reply(int rc, const struct http_reply *reply, const struct xp_err *err, void *arg,
                     uint64_t token)
{
    struct survey *s = arg;
    struct question *q = &s->questions[token];
    struct bi_told told;
    struct xp_err why = rc < 0 ? *err : (struct xp_err){ 0 };
    if (rc == 0 && decode(reply, &told, &why) == 0) {
        q->told = xcalloc(1, sizeof(*q->told));
        *q->told = told;
    } else {
        q->why = xstrdup(why.msg);
    }
    let_go(s);
}

static void ask(struct survey *s, size_t at)
{
    struct bi_asker *a = s->asker;
    struct question *q = &s->questions[at];
    const struct bi_exclusion *item = &s->exclusions->items[q->cluster];
    const char *base = meta_urls_get(&a->urls, item->dcs.items[q->dc]);
    struct xp_err err = { 0 };
    if (!base) {
        q->why = xstrdup("no metaserver is configured for it");
        return;
    }
    struct str url AUTO_STR = STR_INIT(URL_MAX_BYTES);
    str_printf(&url, "%s/api/meta/v2/peers/", base);
    url_add_encoded(&url, item->cluster);
    str_putc(&url, '/');
    url_add_encoded(&url, item->shards.items[q->shard]);
    struct http_call call = { .method = "GET",
                              .url = str_text(&url),
                              .connect_timeout_ms = a->connect_timeout_ms,
                              .timeout_ms = a->timeout_ms,
                              .max_reply_bytes = REPLY_MAX_BYTES };
    s->waiting++;
    if (http_send(a->http, &call, on_reply, s, at, &err) < 0) {
        q->why = xstrdup(err.msg);
        s->waiting--;
    }
}

static void list_cluster(struct survey *s, size_t cluster)
{
    const struct bi_exclusion *item = &s->exclusions->items[cluster];
    struct part *part = &s->parts[cluster];
    part->first = s->count;
    while (part->shards < item->shards.count && s->count + item->dcs.count <= BI_QUESTIONS_MAX) {
        for (size_t dc = 0; dc < item->dcs.count; dc++) {
            s->questions[s->count++] =
                (struct question){ .cluster = cluster, .dc = dc, .shard = part->shards };
        }
        part->shards++;
    }
}

void bi_survey(struct bi_asker *a, const struct bi_exclusions *exclusions, bi_surveyed_fn *done,
               void *arg)
{
    XP_ON_LOOP();
    struct survey *s = xcalloc(1, sizeof(*s));
    *s = (struct survey){
        .asker = a, .exclusions = exclusions, .waiting = 1, .done = done, .arg = arg
    };
    s->parts = xcalloc(exclusions->count + 1, sizeof(*s->parts));
    s->questions = xcalloc(BI_QUESTIONS_MAX, sizeof(*s->questions));
    for (size_t i = 0; i < exclusions->count; i++) {
        list_cluster(s, i);
    }
    for (size_t i = 0; i < s->count; i++) {
        ask(s, i);
    }
    let_go(s);
}

/* ---- life ---- */

struct bi_asker *bi_asker_new(struct loop *loop)
{
    struct bi_asker *a = xcalloc(1, sizeof(*a));
    a->loop = loop;
    a->http = http_client_new(loop, THREADS, 2 * BI_QUESTIONS_MAX);
    a->urls = (struct meta_urls)META_URLS_INIT;
    return a;
}

int bi_asker_configure(struct bi_asker *a, const struct bi_asker_settings *settings,
                       struct xp_err *err)
{
    int rc = meta_urls_load(&a->urls, settings->metaservers, settings->alias, err);
    if (rc == 0) {
        a->connect_timeout_ms = settings->connect_timeout_ms;
        a->timeout_ms = settings->timeout_ms;
    }
    return rc;
}

void bi_asker_free(struct bi_asker *a)
{
    if (a) {
        a->is_closed = true;
        http_client_free(a->http);
        meta_urls_done(&a->urls);
        free(a);
    }
}
