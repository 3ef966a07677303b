/* http_attempt.c - see http_attempt.h. One easy handle per thread, kept between calls for its connections, until the thread
 * rests: curl looks at a kept connection only when the handle is used, so one that the other side has closed would stay for
 * as long as the thread has nothing to do. Every option is set again for each call, because curl_easy_reset forgets them. */
#include "shared/net/http_attempt.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"

#include <curl/curl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "shared/base/banned.h"

#define MAX_IDLE_S        20L /* below the 30 s after which our own server closes an idle connection */
#define KEPT_CONNECTIONS  16L
#define HEADERS_MAX_BYTES (64 * 1024)

/* ---- the handle of this thread ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t handle_key;

static void free_handle(void *handle)
{
    curl_easy_cleanup(handle);
}

static void init_once(void)
{
    xp_check(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    xp_check(pthread_key_create(&handle_key, free_handle) == 0);
}

void http_attempt_init(void)
{
    (void)pthread_once(&once, init_once);
}

static void give_handle_back(void)
{
    free_handle(pthread_getspecific(handle_key));
    xp_check(pthread_setspecific(handle_key, NULL) == 0);
}

static CURL *thread_handle(void)
{
    http_attempt_init();
    CURL *handle = pthread_getspecific(handle_key);
    if (!handle) {
        handle = curl_easy_init();
        xp_check(handle != NULL && pthread_setspecific(handle_key, handle) == 0);
        thread_keeps(give_handle_back);
    }
    curl_easy_reset(handle);
    return handle;
}

/* ---- one attempt ---- */

struct attempt {
    const struct http_call *call;
    int64_t timeout_ms; /* what is left of the call's time */
    struct str body;    /* max: max_reply_bytes */
    size_t header_bytes;
    bool is_header_whole; /* curl calls a reply that ends inside its header a success */
    char *etag;           /* owned */
    char *header;         /* owned; of kept_header */
    long status;
    char why[CURL_ERROR_SIZE];
};

static bool is_method(const struct http_call *call, const char *method)
{
    return strcmp(call->method, method) == 0;
}

static size_t on_body(char *data, size_t one, size_t length, void *arg)
{
    (void)one;
    struct attempt *a = arg;
    str_add(&a->body, data, length);
    return a->body.overflow ? 0 : length;
}

/* 'name' without the colon. The last one of several counts. */
static void keep_header(const char *name, char **value, const char *line, size_t length)
{
    size_t n = strlen(name);
    if (length <= n + 1 || line[n] != ':' || curl_strnequal(line, name, n) == 0) {
        return;
    }
    AUTO_FREE char *rest = xstrndup(line + n + 1, length - n - 1);
    const char *cursor = rest;
    const char *part;
    size_t part_length;
    if (text_next_part(&cursor, "\r\n", &part, &part_length)) {
        free(*value);
        *value = xstrndup(part, part_length);
    }
}

static size_t on_header(char *data, size_t one, size_t length, void *arg)
{
    (void)one;
    struct attempt *a = arg;
    a->header_bytes += length;
    if (length >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        a->is_header_whole = false; /* a second one follows after "100 Continue" */
    } else if (length > 0 && (data[0] == '\r' || data[0] == '\n')) {
        a->is_header_whole = true;
    }
    keep_header("ETag", &a->etag, data, length);
    if (a->call->kept_header) {
        keep_header(a->call->kept_header, &a->header, data, length);
    }
    return a->header_bytes > HEADERS_MAX_BYTES ? 0 : length;
}

static bool has_header(const struct http_call *call, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < ARRAY_LEN(call->headers) && call->headers[i]; i++) {
        if (curl_strnequal(call->headers[i], name, n) && call->headers[i][n] == ':') {
            return true;
        }
    }
    return false;
}

static struct curl_slist *add_line(struct curl_slist *list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(list, line);
    xp_check(longer != NULL);
    return longer;
}

/* Returns owned (curl_slist_free_all). */
static struct curl_slist *header_list(const struct http_call *call)
{
    /* else a body over 1 MB waits for a "100 Continue" */
    struct curl_slist *list = add_line(NULL, "Expect:");
    if (!has_header(call, "Content-Type")) {
        list = add_line(list, call->body ? "Content-Type: application/json;charset=UTF-8"
                                         : "Content-Type:");
    }
    for (size_t i = 0; i < ARRAY_LEN(call->headers) && call->headers[i]; i++) {
        list = add_line(list, call->headers[i]);
    }
    return list;
}

#define SET(handle, option, value) xp_check(curl_easy_setopt(handle, option, value) == CURLE_OK)

static void set_method(CURL *h, const struct http_call *call)
{
    bool needs_length =
        is_method(call, "POST") || is_method(call, "PUT") || is_method(call, "PATCH");
    if (call->body || needs_length) {
        SET(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(call->body ? call->body_length : 0));
        SET(h, CURLOPT_POSTFIELDS,
            call->body ? call->body : ""); /* borrowed by curl until the end */
    }
    if (is_method(call, "HEAD")) {
        SET(h, CURLOPT_NOBODY, 1L);
    } else if (!is_method(call, "GET") || call->body) {
        SET(h, CURLOPT_CUSTOMREQUEST, call->method);
    }
}

static void set_connection(CURL *h, const struct attempt *a)
{
    const struct http_call *call = a->call;
    int64_t connect_ms =
        call->connect_timeout_ms < a->timeout_ms ? call->connect_timeout_ms : a->timeout_ms;
    bool keeps = is_method(call, "GET") || is_method(call, "HEAD") || call->may_come_twice;
    SET(h, CURLOPT_NOSIGNAL, 1L);
    SET(h, CURLOPT_PROXY, "");
    SET(h, CURLOPT_FOLLOWLOCATION, 0L);
    SET(h, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(h, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    SET(h, CURLOPT_TIMEOUT_MS, (long)a->timeout_ms);
    SET(h, CURLOPT_MAXAGE_CONN, MAX_IDLE_S);
    SET(h, CURLOPT_MAXCONNECTS, KEPT_CONNECTIONS);
    /* curl repeats a request whose reused connection died without an answer, a POST too. */
    SET(h, CURLOPT_FRESH_CONNECT, keeps ? 0L : 1L);
    SET(h, CURLOPT_FORBID_REUSE, keeps ? 0L : 1L);
}

static int too_large(const struct attempt *a, struct xp_err *err)
{
    return a->body.overflow
               ? xp_fail(err, XP_TOO_LARGE, "%s %s: the reply is larger than %zu bytes",
                         a->call->method, a->call->url, a->call->max_reply_bytes)
               : xp_fail(err, XP_TOO_LARGE,
                         "%s %s: the header of the reply is larger than %d bytes", a->call->method,
                         a->call->url, HEADERS_MAX_BYTES);
}

/* Tells a connection that never came about from an answer that never came. */
static bool was_sent(CURL *h)
{
    long sent_bytes = 0;
    (void)curl_easy_getinfo(h, CURLINFO_REQUEST_SIZE, &sent_bytes);
    return sent_bytes > 0;
}

static int timed_out(CURL *h, const struct attempt *a, struct xp_err *err)
{
    if (was_sent(h)) {
        return xp_fail(err, XP_TIMEOUT, "%s %s: no answer within %lld ms", a->call->method,
                       a->call->url, (long long)a->timeout_ms);
    }
    return xp_fail(err, XP_IO, "%s %s: could not connect in time (%s)", a->call->method,
                   a->call->url, a->why);
}

static int explain(CURL *h, CURLcode code, const struct attempt *a, struct xp_err *err)
{
    const char *why = a->why[0] ? a->why : curl_easy_strerror(code);
    if (code == CURLE_OPERATION_TIMEDOUT) {
        return timed_out(h, a, err);
    }
    if (code == CURLE_WRITE_ERROR && (a->body.overflow || a->header_bytes > HEADERS_MAX_BYTES)) {
        return too_large(a, err);
    }
    /* "Unsupported protocol" is also what curl says about a reply that is no HTTP. */
    bool is_caller =
        (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL) && !was_sent(h);
    return xp_fail(err, is_caller ? XP_INVALID : XP_IO, "%s %s: %s", a->call->method, a->call->url,
                   why);
}

static int perform(CURL *h, struct attempt *a, bool *ret_was_sent, struct xp_err *err)
{
    struct curl_slist *headers = header_list(a->call);
    SET(h, CURLOPT_ERRORBUFFER, a->why);
    SET(h, CURLOPT_HTTPHEADER, headers);
    SET(h, CURLOPT_WRITEFUNCTION, on_body);
    SET(h, CURLOPT_WRITEDATA, a);
    SET(h, CURLOPT_HEADERFUNCTION, on_header);
    SET(h, CURLOPT_HEADERDATA, a);
    set_method(h, a->call);
    set_connection(h, a);
    CURLcode code = curl_easy_setopt(h, CURLOPT_URL, a->call->url);
    code = code == CURLE_OK ? curl_easy_perform(h) : code;
    int rc = code == CURLE_OK ? 0 : explain(h, code, a, err);
    if (rc == 0 && !a->is_header_whole) {
        rc = xp_fail(err, XP_IO, "%s %s: the reply ended inside its header", a->call->method,
                     a->call->url);
    }
    (void)curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &a->status);
    *ret_was_sent = was_sent(h);
    curl_easy_reset(h); /* it must not keep pointers into this call */
    curl_slist_free_all(headers);
    return rc;
}

int http_attempt(const struct http_call *call, int64_t timeout_ms, struct http_reply *ret_reply,
                 struct xp_err *err)
{
    CURL *h = thread_handle();
    struct attempt a = { .call = call,
                         .timeout_ms = timeout_ms,
                         .body = STR_INIT(call->max_reply_bytes) };
    bool is_sent = false;
    int rc = perform(h, &a, &is_sent, err);
    ret_reply->was_sent = is_sent;
    if (rc == 0) {
        size_t length = a.body.len;
        *ret_reply = (struct http_reply){ .status = (int)a.status,
                                          .body = str_take(&a.body),
                                          .length = length,
                                          .etag = TAKE(a.etag),
                                          .header = TAKE(a.header),
                                          .was_sent = is_sent };
    }
    str_done(&a.body);
    free(a.etag);
    free(a.header);
    return rc;
}

void http_pause(int64_t ms)
{
    struct timespec left = { .tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000 };
    while (nanosleep(&left, &left) != 0) {
    }
}
