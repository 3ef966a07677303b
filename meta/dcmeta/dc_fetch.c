/* dc_fetch.c - see dc_fetch.h. The worker's half is the static functions on struct fetch_job and struct save_job. */
#include "meta/dcmeta/dc_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/fault.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/str.h"
#include "shared/net/http_client.h"

#include "shared/base/banned.h"

#define RETRY_FIRST_MS      250
#define RETRY_BLIND_MAX_MS  4000
#define SUPERSEDED_FIRST_MS 20
#define SAVE_GAP_MS         5000
#define SAVE_DELAY_MS       100 /* gathers the changes that come together */

static struct metric fetch_ok =
    METRIC_COUNTER_INIT("xpipe_meta_document_fetches_total", "result=\"ok\"",
                        "Fetches of the DC document from the console.");
static struct metric fetch_failed =
    METRIC_COUNTER_INIT("xpipe_meta_document_fetches_total", "result=\"failed\"",
                        "Fetches of the DC document from the console.");
static struct metric fetch_dropped =
    METRIC_COUNTER_INIT("xpipe_meta_document_fetches_total", "result=\"superseded\"",
                        "Fetches of the DC document from the console.");

struct fetch_job {
    struct job job;
    struct dc_fetch *owner;
    /* in */
    char *url;
    char *if_none_match; /* whole header, or NULL */
    char *cache_file;    /* read this instead of asking the console; or NULL */
    char *dc;
    struct dc_meta *before;
    uint64_t seq;
    mono_ms started_at;
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    struct brake_limits limits;
    bool accept;
    /* out */
    int rc;
    struct xp_err err;
    bool not_modified;
    char *etag;
    struct dc_meta *after;
    struct dc_diff diff;
    struct brake_verdict verdict;
};

struct save_job {
    struct job job;
    struct dc_fetch *owner;
    char *path;
    struct dc_meta *meta;
    int rc;
    struct xp_err err;
};

struct dc_fetch {
    struct dc_fetch_options opt;
    char *console_url;
    char *cluster_types;
    char *cache_file;
    struct loop_timer timer;
    struct loop_timer save_timer;
    bool is_fetching;
    bool is_saving;
    bool again;
    bool save_again;
    bool accept_once;
    bool cache_was_tried;
    int64_t retry_ms;
    int64_t superseded_ms; /* 0: the last document was applied */
    char *etag;
    /* of the store when the document with this tag was applied; pushes make it say nothing */
    uint64_t etag_seq;
    uint64_t hosts_changes; /* of the store, as far as they are in the file or on the way into it */
    mono_ms saved_at;
    char last_error[256];
};

static void start_fetch(struct dc_fetch *f, bool from_cache);

/* ---- worker ---- */

static int read_file(const char *path, char **ret_text, size_t *ret_length, struct xp_err *err)
{
    FILE *in = fopen(path, "re");
    if (!in) {
        return xp_fail(err, XP_NOT_FOUND, "cache file '%s': %s", path, strerror(errno));
    }
    struct str text = STR_INIT(DC_META_MAX_BYTES);
    char chunk[65536];
    for (size_t n; (n = fread(chunk, 1, sizeof(chunk), in)) > 0;) {
        str_add(&text, chunk, n);
    }
    bool failed = ferror(in) || text.overflow;
    (void)fclose(in);
    if (failed) {
        str_done(&text);
        return xp_fail(err, XP_IO, "cache file '%s' cannot be read", path);
    }
    *ret_length = text.len;
    *ret_text = str_take(&text);
    return 0;
}

static int call_console(struct fetch_job *j, char **ret_text, size_t *ret_length)
{
    struct http_call call = {
        .method = "GET",
        .url = j->url,
        .headers = { "Accept: application/json", j->if_none_match },
        .connect_timeout_ms = j->connect_timeout_ms,
        .timeout_ms = j->timeout_ms,
        .max_reply_bytes = DC_META_MAX_BYTES,
        .retries = 1,
        .retry_delay_ms = 5,
    };
    CLEANUP(http_reply_done) struct http_reply reply = { 0 };
    int rc = http_call(&call, &reply, &j->err);
    if (rc != 0) {
        return rc;
    }
    if (reply.status == 304 && j->if_none_match) {
        j->not_modified = true;
        return 0;
    }
    if (reply.status != 200) {
        return xp_fail(&j->err, XP_REMOTE, "console answered %d to %s: %.100s", reply.status,
                       j->url, reply.body);
    }
    j->etag = TAKE(reply.etag);
    *ret_length = reply.length;
    *ret_text = TAKE(reply.body);
    return 0;
}

static int parse_document(struct fetch_job *j, const char *text, size_t length)
{
    int rc = dc_meta_parse(text, length, &j->after, &j->err);
    if (rc != 0) {
        return xp_wrap(&j->err, "DC document");
    }
    if (!text_eq(j->after->id, j->dc)) {
        return xp_fail(&j->err, XP_INVALID,
                       "DC document: field 'id' is '%s', this metaserver belongs to dc '%s'",
                       j->after->id ? j->after->id : "null", j->dc);
    }
    dc_diff_make(j->before, j->after, j->dc, &j->diff);
    dc_brake(&j->diff, &j->limits, &j->verdict);
    return 0;
}

/* The JSON of 10,000 clusters takes 75 MB, in the arena of this worker, where nobody needs them before the next document:
 * without this the process would keep that much for every worker that ever had a turn. Also when nothing is new: what the
 * loop left behind after a burst (duties of many slots at once: a quarter of the process) is then given back once a period. */
static void give_memory_back(void)
{
    (void)malloc_trim(0);
}

static void fetch_run(struct job *job)
{
    struct fetch_job *j = CONTAINER_OF(job, struct fetch_job, job);
    AUTO_FREE char *text = NULL;
    size_t length = 0;
    j->rc = j->cache_file ? read_file(j->cache_file, &text, &length, &j->err)
                          : call_console(j, &text, &length);
    if (j->rc == 0 && fault_hit(FAULT_meta_document_fetched)) {
        j->rc = xp_fail(&j->err, XP_IO, "fault point meta_document_fetched");
    }
    if (j->rc == 0 && !j->not_modified) {
        j->rc = parse_document(j, text, length);
    }
    give_memory_back();
}

static int write_file(const char *path, const char *text, size_t length, struct xp_err *err)
{
    AUTO_FREE char *temp = xasprintf("%s.new", path);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0) {
        return xp_fail(err, XP_IO, "cache file '%s': %s", temp, strerror(errno));
    }
    size_t done = 0;
    while (done < length) {
        ssize_t n = write(fd, text + done, length - done);
        if (n <= 0 && errno != EINTR) {
            break;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    bool ok = done == length && fsync(fd) == 0;
    ok = close(fd) == 0 && ok && rename(temp, path) == 0;
    if (!ok) {
        xp_fail(err, XP_IO, "cache file '%s' cannot be written: %s", path, strerror(errno));
        (void)unlink(temp); /* a disk that is full needs the room */
    }
    return ok ? 0 : err->code;
}

static void save_run(struct job *job)
{
    struct save_job *j = CONTAINER_OF(job, struct save_job, job);
    json_t *json = dc_meta_to_json(j->meta);
    AUTO_FREE char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    j->rc = text ? write_file(j->path, text, strlen(text), &j->err)
                 : xp_fail(&j->err, XP_INTERNAL, "document cannot be encoded");
    free(TAKE(text));
    give_memory_back();
}

/* ---- loop ---- */

static void fetch_job_free(struct fetch_job *j)
{
    free(j->url);
    free(j->if_none_match);
    free(j->cache_file);
    free(j->dc);
    free(j->etag);
    dc_meta_free(j->before);
    dc_meta_free(j->after);
    dc_diff_done(&j->diff);
    free(j);
}

static void save_done(struct job *job)
{
    struct save_job *j = CONTAINER_OF(job, struct save_job, job);
    struct dc_fetch *f = j->owner;
    f->is_saving = false;
    if (job->outcome == 0 && j->rc != 0) {
        log_warn("document.cache_failed", "error", j->err.msg);
        f->save_again = true; /* until then a restart would find an older one */
    }
    if (f->save_again && job->outcome == 0) {
        f->save_again = false;
        loop_timer_start(&f->save_timer, SAVE_GAP_MS);
    }
    dc_meta_free(j->meta);
    free(j->path);
    free(j);
}

static void save_fire(struct loop_timer *timer)
{
    struct dc_fetch *f = CONTAINER_OF(timer, struct dc_fetch, save_timer);
    struct save_job *j = xcalloc(1, sizeof(*j));
    j->job = (struct job){ .run = save_run, .done = save_done, .deadline = MONO_FOREVER };
    j->owner = f;
    j->path = xstrdup(f->cache_file);
    j->meta = dc_store_snapshot(f->opt.store);
    struct xp_err err;
    if (worker_submit(f->opt.pool, &j->job, &err) != 0) {
        j->job.outcome = XP_UNAVAILABLE;
        save_done(&j->job);
        loop_timer_start(&f->save_timer, SAVE_GAP_MS);
        return;
    }
    f->is_saving = true;
    f->saved_at = loop_now(f->opt.loop);
}

/* Pushes that come before the first document know some clusters and no route: the file, which a start without the console reads,
 * would say that everything else is gone and that every link goes direct. */
void dc_fetch_changed(struct dc_fetch *f)
{
    if (f->cache_file[0] == '\0' || !dc_store_has_document(f->opt.store)) {
        return;
    }
    if (f->is_saving) {
        f->save_again = true;
    } else if (!loop_timer_is_running(&f->save_timer)) {
        int64_t age_ms = mono_age(loop_now(f->opt.loop), f->saved_at);
        loop_timer_start(&f->save_timer,
                         age_ms >= SAVE_GAP_MS ? SAVE_DELAY_MS : SAVE_GAP_MS - age_ms);
    }
}

static void schedule(struct dc_fetch *f, int64_t delay_ms)
{
    loop_timer_start(&f->timer, delay_ms);
}

/* Why the console failed stays the reason that is shown: the file is only its stand-in. */
static void cache_failed(struct dc_fetch *f, const struct fetch_job *j)
{
    if (j->rc != XP_NOT_FOUND) {
        log_warn("document.cache_unusable", "file", j->cache_file, "error", j->err.msg);
    }
    schedule(f, f->retry_ms);
}

static void fetch_failed_once(struct dc_fetch *f, const struct fetch_job *j)
{
    metric_add(&fetch_failed, 1);
    if (f->last_error[0] == '\0') {
        log_warn("document.fetch_failed", "dc", dc_store_dc(f->opt.store), "error", j->err.msg,
                 "next", "the document in use stays; trying again");
    }
    (void)snprintf(f->last_error, sizeof(f->last_error), "%s", j->err.msg);
    if (!dc_store_has_document(f->opt.store) && !f->cache_was_tried && f->cache_file[0]) {
        f->cache_was_tried = true;
        start_fetch(f, true);
        return;
    }
    schedule(f, f->retry_ms);
    /* Without any document this member serves nobody: it asks more often than one that only wants the news. */
    int64_t longest_ms =
        dc_store_has_document(f->opt.store) ? f->opt.refresh_ms : RETRY_BLIND_MAX_MS;
    f->retry_ms = f->retry_ms * 2 < longest_ms ? f->retry_ms * 2 : longest_ms;
}

static void fetch_succeeded(struct dc_fetch *f, struct fetch_job *j)
{
    metric_add(&fetch_ok, 1);
    if (f->last_error[0]) {
        log_info("document.fetch_recovered", "dc", dc_store_dc(f->opt.store));
    }
    f->last_error[0] = '\0';
    f->superseded_ms = 0;
    f->retry_ms = RETRY_FIRST_MS;
    if (j->not_modified) {
        dc_store_confirm(f->opt.store, j->started_at);
        return;
    }
    free(f->etag);
    /* What did not take effect must be seen again, and an accepted document applied: then no "not modified". */
    f->etag = dc_store_wants_again(f->opt.store) ? NULL : TAKE(j->etag);
    f->etag_seq = dc_store_seq(f->opt.store);
    bool routes_applied = j->diff.routes_changed && !j->verdict.routes_held;
    if (j->diff.count > (size_t)j->verdict.held || routes_applied) {
        log_info("document.applied", "dc", dc_store_dc(f->opt.store), "version",
                 log_int(j->after->version), "added", log_int(j->diff.added), "modified",
                 log_int(j->diff.modified), "shrunk", log_int(j->diff.shrunk), "removed",
                 log_int(j->diff.removed), "held", log_int(j->verdict.held));
        dc_fetch_changed(f);
    } else if (f->hosts_changes != dc_store_hosts_changes(f->opt.store)) {
        log_info("document.hosts_changed", "dc", dc_store_dc(f->opt.store), "version",
                 log_int(j->after->version));
        dc_fetch_changed(f);
    }
    f->hosts_changes = dc_store_hosts_changes(f->opt.store);
    if (j->accept) {
        f->accept_once = false;
    }
}

/* A console without versions may answer from before the last push (metaserver.md 5.3 step 1). */
static bool is_distrusted(const struct dc_fetch *f, const struct fetch_job *j)
{
    mono_ms changed_at = dc_store_changed_at(f->opt.store);
    return j->after->version == 0 && changed_at != MONO_NEVER &&
           j->started_at <= changed_at + f->opt.sync_delay_ms;
}

/* Applies the outcome. Returns 1 when the document must be fetched again because something changed meanwhile. */
static int apply_outcome(struct dc_fetch *f, struct fetch_job *j)
{
    if (j->rc != 0 || j->not_modified) {
        return j->rc;
    }
    if (is_distrusted(f, j)) {
        metric_add(&fetch_dropped, 1);
        return 1;
    }
    mono_ms confirmed_at = j->cache_file ? MONO_NEVER : j->started_at;
    j->rc = dc_store_apply(f->opt.store, j->seq, j->after, &j->diff, &j->verdict, confirmed_at,
                           &j->err);
    if (j->rc == XP_CONFLICT && j->seq != dc_store_seq(f->opt.store)) {
        metric_add(&fetch_dropped, 1);
        return 1;
    }
    return j->rc;
}

/* While pushes come faster than a document is fetched, they are the truth: asking again can wait longer each time. */
static int64_t superseded_delay(struct dc_fetch *f)
{
    int64_t next_ms = f->superseded_ms == 0 ? SUPERSEDED_FIRST_MS : f->superseded_ms * 2;
    f->superseded_ms = next_ms < f->opt.refresh_ms ? next_ms : f->opt.refresh_ms;
    return f->superseded_ms;
}

static void fetch_done(struct job *job)
{
    struct fetch_job *j = CONTAINER_OF(job, struct fetch_job, job);
    struct dc_fetch *f = j->owner;
    f->is_fetching = false;
    if (job->outcome == XP_UNAVAILABLE) {
        fetch_job_free(j); /* shutting down */
        return;
    }
    if (job->outcome != 0) {
        j->rc = xp_fail(&j->err, XP_TIMEOUT, "no worker was free to fetch the document");
    }
    bool again = f->again;
    f->again = false;
    if (j->rc == 0 && !j->cache_file && f->opt.on_answer) {
        f->opt.on_answer(j->started_at, f->opt.arg);
    }
    int rc = apply_outcome(f, j);
    if (rc == 1) {
        schedule(f, f->opt.sync_delay_ms + superseded_delay(f));
    } else if (rc == 0 && !j->cache_file) {
        fetch_succeeded(f, j);
        schedule(f, again ? 0 : f->opt.refresh_ms);
    } else if (rc == 0) {
        log_warn("document.from_cache", "file", j->cache_file, "clusters",
                 log_int((int64_t)dc_store_count(f->opt.store)), "next",
                 "the console is asked again until it answers");
        schedule(f, f->retry_ms);
    } else if (j->cache_file) {
        cache_failed(f, j);
    } else {
        fetch_failed_once(f, j);
        if (again && !f->is_fetching) {
            schedule(f, RETRY_FIRST_MS);
        }
    }
    fetch_job_free(j);
}

static char *document_url(const struct dc_fetch *f)
{
    struct str url = STR_INIT(8192);
    str_printf(&url, "%s/api/dc/%s", f->console_url, dc_store_dc(f->opt.store));
    const char *cursor = f->cluster_types;
    const char *part;
    size_t length;
    for (char sep = '?'; text_next_part(&cursor, ",;", &part, &length); sep = '&') {
        str_printf(&url, "%ctypes=%.*s", sep, (int)length, part);
    }
    return str_take(&url);
}

static struct fetch_job *new_job(struct dc_fetch *f, bool from_cache)
{
    struct fetch_job *j = xcalloc(1, sizeof(*j));
    j->job = (struct job){ .run = fetch_run, .done = fetch_done, .deadline = MONO_FOREVER };
    j->owner = f;
    j->url = document_url(f);
    j->cache_file = from_cache ? xstrdup(f->cache_file) : NULL;
    j->dc = xstrdup(dc_store_dc(f->opt.store));
    j->before = dc_store_snapshot(f->opt.store);
    j->seq = dc_store_seq(f->opt.store);
    j->started_at = loop_now(f->opt.loop);
    j->connect_timeout_ms = f->opt.connect_timeout_ms;
    j->timeout_ms = f->opt.timeout_ms;
    j->limits = f->opt.limits;
    j->accept = f->accept_once && !from_cache;
    j->limits.is_accepted = j->accept;
    bool is_current = f->etag && f->etag_seq == j->seq;
    j->if_none_match =
        is_current && !f->accept_once ? xasprintf("If-None-Match: %s", f->etag) : NULL;
    return j;
}

static void start_fetch(struct dc_fetch *f, bool from_cache)
{
    struct fetch_job *j = new_job(f, from_cache);
    struct xp_err err;
    if (worker_submit(f->opt.pool, &j->job, &err) != 0) {
        fetch_job_free(j);
        schedule(f, RETRY_FIRST_MS);
        return;
    }
    f->is_fetching = true;
}

static void timer_fire(struct loop_timer *timer)
{
    struct dc_fetch *f = CONTAINER_OF(timer, struct dc_fetch, timer);
    if (!f->is_fetching) {
        start_fetch(f, false);
    }
}

struct dc_fetch *dc_fetch_new(const struct dc_fetch_options *opt)
{
    struct dc_fetch *f = xcalloc(1, sizeof(*f));
    f->opt = *opt;
    f->console_url = xstrdup(opt->console_url);
    f->cluster_types = xstrdup(opt->cluster_types);
    f->cache_file = xstrdup(opt->cache_file ? opt->cache_file : "");
    f->retry_ms = RETRY_FIRST_MS;
    f->saved_at = MONO_NEVER;
    loop_timer_init(&f->timer, opt->loop, timer_fire);
    loop_timer_init(&f->save_timer, opt->loop, save_fire);
    metric_register(&fetch_ok);
    metric_register(&fetch_failed);
    metric_register(&fetch_dropped);
    return f;
}

void dc_fetch_free(struct dc_fetch *f)
{
    if (!f) {
        return;
    }
    loop_timer_stop(&f->timer);
    loop_timer_stop(&f->save_timer);
    free(f->console_url);
    free(f->cluster_types);
    free(f->cache_file);
    free(f->etag);
    free(f);
}

void dc_fetch_start(struct dc_fetch *f)
{
    schedule(f, 0);
}

void dc_fetch_now(struct dc_fetch *f)
{
    if (f->is_fetching) {
        f->again = true;
    } else {
        schedule(f, 0);
    }
}

void dc_fetch_set_limits(struct dc_fetch *f, const struct brake_limits *limits, int64_t refresh_ms)
{
    f->opt.limits = *limits;
    if (refresh_ms != f->opt.refresh_ms) {
        f->opt.refresh_ms = refresh_ms;
        dc_fetch_now(f); /* the running timer still has the old period */
    }
}

void dc_fetch_accept_once(struct dc_fetch *f)
{
    f->accept_once = true;
    dc_fetch_now(f);
}

const char *dc_fetch_last_error(const struct dc_fetch *f)
{
    return f->last_error;
}
