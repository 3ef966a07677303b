/* dc_links.c - see dc_links.h. What is sent and how is dc_batch.c; here is when. */
#include "meta/links/dc_links.h"

#include <stdio.h>
#include <string.h>

#include "meta/links/dc_batch.h"
#include "shared/base/log.h"
#include "shared/base/list.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

#define GATHER_MS       5 /* wait for more of the same before a batch goes out */
#define JAVA_FOR_MS     (10 * 60 * 1000)
#define JAVA_REFRESH_MS 10000 /* x-pipe's own period for single requests */
#define JAVA_CHUNK      32    /* single requests of one job */
#define RETRY_FIRST_MS  500
#define RETRY_MAX_MS    10000

struct link;

struct waiter {
    struct list link;
    struct dc_topic topic;
};

struct lane { /* one kind of conversation with one DC */
    struct link *link;
    enum dc_lane kind;
    struct map waiting; /* "cluster/shard" -> struct waiter *, owned */
    struct list queue;  /* the same, who waits longest first: a slow DC must starve no shard */
    struct loop_timer timer;
    bool is_busy;
    int64_t retry_ms;
};

struct link {
    struct dc_links *links;
    char *dc;
    char *base_url;
    struct lane ask;
    struct lane tell;
    struct loop_timer round;
    mono_ms java_until;
    wall_ms last_ok_at;
    char last_error[200];
};

struct batch_job {
    struct job job;
    struct lane *lane;
    struct dc_batch batch;
};

struct dc_links {
    struct dc_links_options opt;
    char *own_dc;
    struct link **items;
    size_t count;
    struct map unknown_dcs; /* logged once each; value is the map itself */
};

static struct link *find_link(struct dc_links *links, const char *dc)
{
    for (size_t i = 0; i < links->count; i++) {
        if (strcmp(links->items[i]->dc, dc) == 0) {
            return links->items[i];
        }
    }
    if (!map_get(&links->unknown_dcs, dc) && map_count(&links->unknown_dcs) < 1000) {
        (void)map_put(&links->unknown_dcs, dc, links);
        log_warn("peer.dc_without_address", "dc", dc, "next",
                 "add it to key 'dcinfos' in section [meta]");
    }
    return NULL;
}

static const struct dc_words *words_of(const struct link *link)
{
    return link->links->opt.words;
}

static bool is_java(const struct link *link)
{
    return loop_now(link->links->opt.loop) < link->java_until;
}

static char *key_of(const struct shard_name *name)
{
    return xasprintf("%s/%s", name->cluster, name->shard);
}

/* Queues a topic, which it takes, behind all others. */
static struct waiter *enqueue(struct lane *lane, const char *key, struct dc_topic *topic)
{
    struct waiter *waiter = xcalloc(1, sizeof(*waiter));
    waiter->topic = *topic;
    *topic = (struct dc_topic){ 0 };
    list_push_back(&lane->queue, &waiter->link);
    (void)map_put(&lane->waiting, key, waiter);
    return waiter;
}

/* The topic of this shard; one that waits already keeps its place. */
static struct dc_topic *lane_add(struct lane *lane, const char *cluster, const char *shard)
{
    AUTO_FREE char *key = xasprintf("%s/%s", cluster, shard);
    struct waiter *waiter = map_get(&lane->waiting, key);
    if (!waiter) {
        struct dc_topic topic = {
            .name = { .cluster = xstrdup(cluster), .shard = xstrdup(shard) },
        };
        waiter = enqueue(lane, key, &topic);
    }
    return &waiter->topic;
}

/* Takes the one that waits longest out of the lane. */
static struct dc_topic lane_take(struct lane *lane)
{
    struct list *first = list_pop_front(&lane->queue);
    xp_check(first != NULL);
    struct waiter *waiter = CONTAINER_OF(first, struct waiter, link);
    struct dc_topic topic = waiter->topic;
    AUTO_FREE char *key = key_of(&topic.name);
    (void)map_remove(&lane->waiting, key);
    free(waiter);
    return topic;
}

static void lane_wake(struct lane *lane, int64_t delay_ms)
{
    if (!lane->is_busy && !loop_timer_is_running(&lane->timer) && map_count(&lane->waiting) > 0) {
        loop_timer_start(&lane->timer, delay_ms);
    }
}

/* Takes up to 'max' waiting topics out. */
static void take_topics(struct lane *lane, size_t max, struct dc_batch *b)
{
    size_t waiting = map_count(&lane->waiting);
    size_t want = waiting < max ? waiting : max;
    b->topics = xcalloc(want, sizeof(*b->topics));
    while (b->count < want) {
        b->topics[b->count++] = lane_take(lane);
    }
}

/* Waits again; something newer about the shard that waits already takes its place. */
static void topic_back(struct lane *lane, struct dc_topic *topic, bool as_first)
{
    AUTO_FREE char *key = key_of(&topic->name);
    struct waiter *waiter = map_get(&lane->waiting, key);
    if (!waiter) {
        waiter = enqueue(lane, key, topic);
    }
    if (as_first) {
        list_remove(&waiter->link);
        list_push_front(&lane->queue, &waiter->link);
    }
}

/* What was not reached goes back, and keeps its turn. A single request that failed may do so for ever and must not stand in the way
 * of others: a notice waits behind them, a question for the next round - as do the questions of a failed batch. */
static void put_back(struct lane *lane, struct dc_batch *b)
{
    bool is_notice = lane->kind == DC_TELL;
    bool has_failed = b->rc != 0;
    size_t first = b->done_count;
    if (b->single && has_failed && first < b->count) {
        if (is_notice) {
            topic_back(lane, &b->topics[first], false);
        }
        first++;
    }
    bool again = is_notice || b->is_java || b->single;
    for (size_t i = b->count; again && i > first; i--) {
        topic_back(lane, &b->topics[i - 1], true);
    }
}

static void note_failure(struct lane *lane, const struct dc_batch *b)
{
    struct link *link = lane->link;
    metric_add(words_of(link)->failed, 1);
    if (link->last_error[0] == '\0') {
        log_warn("peer.dc_unreachable", "dc", link->dc, "about", words_of(link)->subject, "url",
                 link->base_url, "error", b->err.msg, "next",
                 "what it said last stays; trying again");
    }
    (void)snprintf(link->last_error, sizeof(link->last_error), "%.199s", b->err.msg);
    lane->retry_ms = lane->retry_ms == 0                 ? RETRY_FIRST_MS
                     : lane->retry_ms * 2 < RETRY_MAX_MS ? lane->retry_ms * 2
                                                         : RETRY_MAX_MS;
}

static void note_success(struct lane *lane, const struct dc_batch *b)
{
    struct link *link = lane->link;
    metric_add(words_of(link)->ok, 1);
    if (link->last_error[0]) {
        log_info("peer.dc_reachable", "dc", link->dc, "about", words_of(link)->subject);
        link->last_error[0] = '\0';
    }
    link->last_ok_at = clock_wall_ms();
    lane->retry_ms = 0;
    if (b->is_java && !is_java(link)) {
        log_info("peer.dc_is_java", "dc", link->dc, "about", words_of(link)->subject, "meaning",
                 "no batch requests; asking shard by shard");
        link->java_until = loop_now(link->links->opt.loop) + JAVA_FOR_MS;
    }
}

static void report_answers(const struct link *link, const struct dc_batch *b)
{
    const struct dc_links_options *opt = &link->links->opt;
    for (size_t i = 0; i < b->told_count; i++) {
        const struct dc_told *told = &b->told[i];
        opt->on_answer(link->dc, &b->topics[told->topic].name, &told->answer, opt->arg);
    }
}

static void batch_run(struct job *job)
{
    dc_batch_run(&CONTAINER_OF(job, struct batch_job, job)->batch);
}

static void batch_done(struct job *job)
{
    struct batch_job *j = CONTAINER_OF(job, struct batch_job, job);
    struct lane *lane = j->lane;
    lane->is_busy = false;
    if (job->outcome != XP_UNAVAILABLE) {
        if (j->batch.rc != 0) {
            note_failure(lane, &j->batch);
        } else {
            note_success(lane, &j->batch);
        }
        report_answers(lane->link, &j->batch); /* first: what goes back takes its name along */
        put_back(lane, &j->batch);
        lane_wake(lane, lane->retry_ms ? lane->retry_ms : 0);
    }
    dc_batch_done(&j->batch);
    free(j);
}

static void lane_fire(struct loop_timer *timer)
{
    struct lane *lane = CONTAINER_OF(timer, struct lane, timer);
    struct link *link = lane->link;
    const struct dc_links_options *opt = &link->links->opt;
    if (lane->is_busy || map_count(&lane->waiting) == 0) {
        return;
    }
    struct batch_job *j = xcalloc(1, sizeof(*j));
    j->job = (struct job){ .run = batch_run, .done = batch_done, .deadline = MONO_FOREVER };
    j->lane = lane;
    j->batch = (struct dc_batch){
        .words = words_of(link),
        .lane = lane->kind,
        .base_url = xstrdup(link->base_url),
        .own_dc = xstrdup(link->links->own_dc),
        .single = is_java(link),
        .connect_timeout_ms = opt->connect_timeout_ms,
        .timeout_ms = opt->timeout_ms,
    };
    take_topics(lane, is_java(link) ? JAVA_CHUNK : SHARD_NAMES_MAX, &j->batch);
    struct xp_err err;
    if (worker_submit(opt->pool, &j->job, &err) != 0) {
        put_back(lane, &j->batch);
        dc_batch_done(&j->batch);
        free(j);
        lane_wake(lane, RETRY_FIRST_MS);
        return;
    }
    lane->is_busy = true;
}

static void add_to_ask(const char *cluster, const char *shard, void *arg)
{
    struct link *link = arg;
    (void)lane_add(&link->ask, cluster, shard);
}

static void round_fire(struct loop_timer *timer)
{
    struct link *link = CONTAINER_OF(timer, struct link, round);
    const struct dc_links_options *opt = &link->links->opt;
    opt->each_shard(link->dc, add_to_ask, link, opt->arg);
    lane_wake(&link->ask, 0);
    bool slow = is_java(link) && opt->refresh_ms < JAVA_REFRESH_MS;
    loop_timer_start(&link->round, slow ? JAVA_REFRESH_MS : opt->refresh_ms);
}

static void lane_init(struct lane *lane, struct link *link, enum dc_lane kind)
{
    lane->link = link;
    lane->kind = kind;
    lane->waiting = MAP_INIT(MAP_TEXT);
    list_init(&lane->queue);
    loop_timer_init(&lane->timer, link->links->opt.loop, lane_fire);
}

static void lane_done(struct lane *lane)
{
    loop_timer_stop(&lane->timer);
    while (!list_is_empty(&lane->queue)) {
        struct dc_topic topic = lane_take(lane);
        dc_topic_done(&topic);
    }
    map_done(&lane->waiting);
}

/* Base URL without a slash at the end, with http:// when no scheme is given. */
static char *base_url_of(const char *address)
{
    bool has_scheme = strstr(address, "://") != NULL;
    char *url = xasprintf("%s%s", has_scheme ? "" : "http://", address);
    size_t n = strlen(url);
    while (n > 0 && url[n - 1] == '/') {
        url[--n] = '\0';
    }
    return url;
}

static void add_link(struct dc_links *links, const char *dc, const char *address)
{
    struct link *link = xcalloc(1, sizeof(*link));
    link->links = links;
    link->dc = xstrdup(dc);
    text_lower(link->dc);
    link->base_url = base_url_of(address);
    link->java_until = MONO_NEVER;
    lane_init(&link->ask, link, DC_ASK);
    lane_init(&link->tell, link, DC_TELL);
    loop_timer_init(&link->round, links->opt.loop, round_fire);
    loop_timer_start(&link->round, 0);
    links->items = xrealloc(links->items, links->count + 1, sizeof(struct link *));
    links->items[links->count++] = link;
}

struct dc_links *dc_links_new(const struct dc_links_options *opt)
{
    struct dc_links *links = xcalloc(1, sizeof(*links));
    links->opt = *opt;
    links->own_dc = xstrdup(opt->own_dc);
    links->unknown_dcs = MAP_INIT(MAP_TEXT);
    metric_register(opt->words->ok);
    metric_register(opt->words->failed);
    json_t *infos = NULL;
    struct xp_err err;
    /* the configuration checked it */
    xp_check(jd_parse(opt->dcinfos, strlen(opt->dcinfos), &infos, &err) == 0);
    const char *dc;
    json_t *info;
    json_object_foreach (infos, dc, info) {
        if (!text_eq_nocase(dc, opt->own_dc)) {
            add_link(links, dc, json_string_value(json_object_get(info, "metaServerAddress")));
        }
    }
    json_decref(infos);
    return links;
}

void dc_links_free(struct dc_links *links)
{
    if (!links) {
        return;
    }
    for (size_t i = 0; i < links->count; i++) {
        struct link *link = links->items[i];
        lane_done(&link->ask);
        lane_done(&link->tell);
        loop_timer_stop(&link->round);
        free(link->dc);
        free(link->base_url);
        free(link);
    }
    free(links->items);
    free(links->own_dc);
    map_done(&links->unknown_dcs);
    free(links);
}

void dc_links_set_periods(struct dc_links *links, int64_t refresh_ms)
{
    links->opt.refresh_ms = refresh_ms;
}

void dc_links_ask(struct dc_links *links, const char *dc, const char *cluster, const char *shard)
{
    struct link *link = find_link(links, dc);
    if (link) {
        (void)lane_add(&link->ask, cluster, shard);
        lane_wake(&link->ask, GATHER_MS);
    }
}

void dc_links_tell(struct dc_links *links, const char *dc, const char *cluster, const char *shard,
                   const struct addr *addr)
{
    struct link *link = find_link(links, dc);
    if (link) {
        struct dc_topic *topic = lane_add(&link->tell, cluster, shard);
        topic->addr = addr ? *addr : (struct addr){ 0 };
        lane_wake(&link->tell, GATHER_MS);
    }
}

json_t *dc_links_json(const struct dc_links *links)
{
    json_t *all = json_object();
    for (size_t i = 0; i < links->count; i++) {
        const struct link *link = links->items[i];
        json_t *row = json_pack(
            "{s:s, s:s, s:I, s:o, s:I, s:I}", "address", link->base_url, "kind",
            is_java(link) ? "java" : "xpipe", "lastOkAt", (json_int_t)link->last_ok_at, "lastError",
            jd_text(link->last_error), "asking", (json_int_t)map_count(&link->ask.waiting),
            "telling", (json_int_t)map_count(&link->tell.waiting));
        (void)json_object_set_new(all, link->dc, row);
    }
    return all;
}
