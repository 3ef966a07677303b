/* container_health.c - see container_health.h. A round: read the list on a worker, ask 'parallel' at a time, wait. */
#include "console/health/container_health.h"

#include <stdlib.h>
#include <string.h>

#include "console/catalog/keeper_containers.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/thread.h"
#include "shared/base/banned.h"

enum { REPLY_MAX_BYTES = 4096 };

struct state {
    int64_t id;
    struct addr addr;
    bool is_unhealthy;
};

struct container_health {
    struct container_health_options options;
    struct loop_timer timer; /* runs between two rounds */
    struct job job;
    struct keeper_container_rows rows; /* what the job read */
    int read_result;
    bool is_stopped;
    size_t next; /* the round: the first one not asked yet */
    int asking;
    struct mutex lock;
    struct container_health_settings settings XP_GUARDED_BY_MEMBER(lock);
    /* active containers, by id; replaced by the loop alone */
    struct state *states XP_GUARDED_BY_MEMBER(lock);
    size_t state_count XP_GUARDED_BY_MEMBER(lock);
};

static struct metric unhealthy_gauge =
    METRIC_GAUGE_INIT("xpipe_keeper_containers_unhealthy", "",
                      "Active keeper containers that did not answer their last health check");

/* ---- one question ---- */

static bool is_true(const struct http_reply *reply)
{
    const char *text = reply->body + strspn(reply->body, " \t\r\n");
    return reply->status == 200 && strncmp(text, "true", 4) == 0 &&
           text[4 + strspn(text + 4, " \t\r\n")] == '\0';
}

static struct container_health_settings settings_of(struct container_health *h)
{
    mutex_lock(&h->lock);
    struct container_health_settings settings = h->settings;
    mutex_unlock(&h->lock);
    return settings;
}

static struct http_call call_of(struct container_health *h, const char *url)
{
    struct container_health_settings settings = settings_of(h);
    return (struct http_call){ .method = "GET",
                               .url = url,
                               .connect_timeout_ms = settings.connect_timeout_ms,
                               .timeout_ms = settings.timeout_ms,
                               .max_reply_bytes = REPLY_MAX_BYTES };
}

int container_health_ask(struct container_health *h, const struct addr *addr, struct xp_err *err)
{
    AUTO_FREE char *url = xasprintf("http://%s/health", ADDR_TEXT(addr));
    struct http_call call = call_of(h, url);
    struct http_reply reply = { 0 };
    struct xp_err why = { 0 };
    int rc = http_call(&call, &reply, &why);
    bool is_healthy = rc == 0 && is_true(&reply);
    if (!is_healthy) {
        log_info("keeper_container.refused", "container", ADDR_TEXT(addr), "status",
                 log_int(rc == 0 ? reply.status : 0), "why", rc == 0 ? "not true" : why.msg);
    }
    http_reply_done(&reply);
    return is_healthy
               ? 0
               : xp_fail(err, XP_INVALID, "Keeper container with ip:%s, port:%d is unhealthy",
                         addr->host, addr->port);
}

/* ---- what is known ---- */

static int by_id(const void *key, const void *item)
{
    int64_t id = *(const int64_t *)key;
    int64_t other = ((const struct state *)item)->id;
    return (id > other) - (id < other);
}

static struct state *find_state(struct container_health *h, int64_t id) XP_REQUIRES(h->lock)
{
    return h->state_count ? bsearch(&id, h->states, h->state_count, sizeof(*h->states), by_id)
                          : NULL;
}

bool container_health_is_unhealthy(void *arg, int64_t container_id)
{
    struct container_health *h = arg;
    mutex_lock(&h->lock);
    const struct state *state = find_state(h, container_id);
    bool is_unhealthy = state && state->is_unhealthy;
    mutex_unlock(&h->lock);
    return is_unhealthy;
}

static void count_unhealthy(const struct container_health *h) XP_REQUIRES(h->lock)
{
    int64_t count = 0;
    for (size_t i = 0; i < h->state_count; i++) {
        count += h->states[i].is_unhealthy;
    }
    metric_set(&unhealthy_gauge, count);
}

static void set_state(struct container_health *h, int64_t id, bool is_unhealthy, const char *why)
{
    struct addr addr = { 0 };
    bool changed = false;
    mutex_lock(&h->lock);
    struct state *state = find_state(h, id);
    if (state) {
        changed = state->is_unhealthy != is_unhealthy;
        state->is_unhealthy = is_unhealthy;
        addr = state->addr;
    }
    count_unhealthy(h);
    mutex_unlock(&h->lock);
    if (changed && is_unhealthy) {
        log_warn("keeper_container.unhealthy", "container", ADDR_TEXT(&addr), "why", why);
    } else if (changed) {
        log_info("keeper_container.healthy", "container", ADDR_TEXT(&addr));
    }
}

/* The active containers as they are now; what was known of them stays. */
static void take_rows(struct container_health *h)
{
    struct state *states = xcalloc(h->rows.count + 1, sizeof(*states));
    size_t active_count = 0;
    mutex_lock(&h->lock);
    for (size_t i = 0; i < h->rows.count; i++) {
        const struct keeper_container_row *row = &h->rows.items[i];
        if (row->is_active) {
            const struct state *old = find_state(h, row->id);
            states[active_count++] = (struct state){ row->id, row->addr, old && old->is_unhealthy };
        }
    }
    free(h->states);
    h->states = states;
    h->state_count = active_count;
    count_unhealthy(h);
    mutex_unlock(&h->lock);
    keeper_container_rows_done(&h->rows);
}

/* ---- the round ---- */

static void ask_more(struct container_health *h);

static void on_answer(int rc, const struct http_reply *reply, const struct xp_err *err, void *arg,
                      uint64_t token)
{
    struct container_health *h = arg;
    h->asking--;
    if (h->is_stopped) {
        return;
    }
    if (rc != XP_UNAVAILABLE) { /* else: not asked */
        bool is_healthy = rc == 0 && is_true(reply);
        set_state(h, (int64_t)token, !is_healthy, rc < 0 ? err->msg : "its answer is not true");
    }
    ask_more(h);
}

static bool next_state(struct container_health *h, struct state *ret_state)
{
    mutex_lock(&h->lock);
    bool has = h->next < h->state_count;
    if (has) {
        *ret_state = h->states[h->next++];
    }
    mutex_unlock(&h->lock);
    return has;
}

static void ask_more(struct container_health *h)
{
    struct state state;
    while (h->asking < h->options.parallel && next_state(h, &state)) {
        AUTO_FREE char *url = xasprintf("http://%s/health", ADDR_TEXT(&state.addr));
        struct http_call call = call_of(h, url);
        if (http_send(h->options.client, &call, on_answer, h, (uint64_t)state.id, NULL) == 0) {
            h->asking++;
        }
    }
    if (h->asking == 0) {
        loop_timer_start(&h->timer, settings_of(h).period_ms);
    }
}

static void read_rows(struct job *job)
{
    struct container_health *h = CONTAINER_OF(job, struct container_health, job);
    struct xp_err err = { 0 };
    h->read_result = keeper_containers_list(h->options.catalog, NULL, &h->rows, &err);
    if (h->read_result != 0) {
        log_warn("keeper_container.list_failed", "why", err.msg);
    }
}

static void have_rows(struct job *job)
{
    struct container_health *h = CONTAINER_OF(job, struct container_health, job);
    if (job->outcome == 0 && h->read_result == 0) {
        take_rows(h);
    }
    if (!h->is_stopped) {
        h->next = 0;
        ask_more(h);
    }
}

static void begin_round(struct loop_timer *timer)
{
    struct container_health *h = CONTAINER_OF(timer, struct container_health, timer);
    h->job = (struct job){ .run = read_rows, .done = have_rows, .deadline = MONO_FOREVER };
    if (worker_submit(h->options.pool, &h->job, NULL) != 0) { /* full: at the next time */
        loop_timer_start(&h->timer, settings_of(h).period_ms);
    }
}

/* ---- life ---- */

struct container_health *
container_health_new(const struct container_health_options *options,
                     const struct container_health_settings *settings) XP_ALONE
{
    struct container_health *h = xcalloc(1, sizeof(*h));
    h->options = *options;
    h->settings = *settings;
    mutex_init(&h->lock);
    metric_register(&unhealthy_gauge);
    loop_timer_init(&h->timer, options->loop, begin_round);
    loop_timer_start(&h->timer, 0);
    return h;
}

void container_health_configure(struct container_health *h,
                                const struct container_health_settings *settings)
{
    mutex_lock(&h->lock);
    bool is_period_new = settings->period_ms != h->settings.period_ms;
    h->settings = *settings;
    mutex_unlock(&h->lock);
    if (is_period_new && !h->is_stopped && loop_timer_is_running(&h->timer)) {
        loop_timer_start(&h->timer, settings->period_ms);
    }
}

void container_health_stop(struct container_health *h)
{
    h->is_stopped = true;
    loop_timer_stop(&h->timer);
}

void container_health_free(struct container_health *h) XP_ALONE
{
    if (!h) {
        return;
    }
    keeper_container_rows_done(&h->rows);
    mutex_done(&h->lock);
    free(h->states);
    free(h);
}
