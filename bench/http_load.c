/* http_load.c - HTTP/1.1 load at a fixed rate, or as fast as the server answers; prints what happened as one line of JSON.
 *
 * Usage: http_load --port P (--path PATH | --requests FILE) [--connections N] [--rate PER_S] [--seconds S]
 *                  [--count N] [--method M] [--header LINE]... [--expect STATUS]
 * With --rate a request is due at start + i / rate, whatever happened to those before it; it is sent as soon as a
 * connection is free, and its latency counts from the moment it was due. So a server that stands still for a second is
 * charged for every request of that second ("coordinated omission" is what a closed loop does). Without --rate every
 * connection sends its next request when it has its answer. FILE has a request a line, "PATH" or "PATH BODY", each sent once.
 * Ends after --count requests, or after --seconds, and the answers still missing.
 * Not a client for anything else: 127.0.0.1 only, keep-alive only, answers with Content-Length or 304.
 * One thread; bodies are thrown away in the kernel (MSG_TRUNC), so that reading megabytes costs next to nothing.
 * "late_us" is how far the program itself was behind its own schedule: when that is large, the machine was busy. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

enum {
    CONNECTIONS_MAX = 20000,
    HEADER_BYTES = 4096,
    REQUEST_BYTES = 64 * 1024,
    FILE_BYTES_MAX = 256 << 20,
    HEADERS_MAX = 8,
    EVENTS = 256,
    SECONDS_MAX = 3600,
    DISCARD_BYTES = 1 << 20,
    ANSWER_WAIT_S = 10, /* after the last request was due */
};

struct request {
    const char *path;
    const char *body; /* NULL: none */
};

struct options {
    int port;
    const char *method;
    const char *path;         /* NULL: from the file */
    struct request *requests; /* of the file; they point into its text */
    size_t request_count;
    char *requests_text;
    const char *headers[HEADERS_MAX];
    size_t header_count;
    size_t connections;
    int64_t rate; /* 0: closed loop */
    int64_t seconds;
    int64_t count; /* 0: no limit but the time */
    int64_t expect;
};

struct conn {
    int fd;
    bool is_waiting; /* a request is under way */
    bool is_blocked; /* its request is not sent completely */
    struct str request;
    size_t sent;
    int64_t due_us; /* latency counts from here */
    char header[HEADER_BYTES + 1];
    size_t header_length;
    bool has_header;
    int64_t body_left;
    int status;
};

struct load {
    struct options options;
    int epoll;
    struct conn *conns;
    struct conn **idle; /* a stack: the same few connections do the work while the rate is low */
    size_t idle_count;
    int64_t started_us;
    int64_t end_us;
    int64_t started; /* requests sent, or begun to be */
    int64_t answered;
    int64_t unexpected;
    int64_t broken; /* connections that ended early */
    int64_t body_bytes;
    int64_t late_max_us;
    int last_unexpected;
    uint32_t *latency_us;
};

static void give_up(const char *what, const char *why)
{
    (void)fprintf(stderr, "http_load: %s: %s\n", what, why);
    exit(1);
}

/* ---- connections ---- */

static void watch(struct load *l, struct conn *c, int op, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = c };
    if (epoll_ctl(l->epoll, op, c->fd, &event) < 0) {
        give_up("epoll_ctl", strerror(errno));
    }
}

static void connect_one(struct load *l, struct conn *c)
{
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)l->options.port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
        fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0) {
        give_up("connect", strerror(errno));
    }
    c->is_waiting = false;
    watch(l, c, EPOLL_CTL_ADD, EPOLLIN);
}

static void set_idle(struct load *l, struct conn *c)
{
    c->is_waiting = false;
    l->idle[l->idle_count++] = c;
}

/* An answer that never came is an error of the server; the load goes on. */
static void replace(struct load *l, struct conn *c)
{
    l->broken++;
    (void)close(c->fd);
    connect_one(l, c);
    set_idle(l, c);
}

/* ---- requests ---- */

static void write_request(const struct options *o, struct conn *c, int64_t number)
{
    struct request request = { .path = o->path };
    if (o->requests) {
        request = o->requests[number];
    }
    str_clear(&c->request);
    str_printf(&c->request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n", o->method, request.path,
               o->port);
    for (size_t i = 0; i < o->header_count; i++) {
        str_printf(&c->request, "%s\r\n", o->headers[i]);
    }
    if (request.body) {
        str_printf(&c->request, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                   strlen(request.body));
    }
    str_printf(&c->request, "\r\n%s", request.body ? request.body : "");
    if (c->request.overflow) {
        give_up("request", "too large");
    }
}

static void send_rest(struct load *l, struct conn *c)
{
    size_t left = c->request.len - c->sent;
    ssize_t n = send(c->fd, c->request.buf + c->sent, left, MSG_NOSIGNAL);
    c->sent += n > 0 ? (size_t)n : 0;
    bool is_blocked = c->sent < c->request.len;
    if (is_blocked != c->is_blocked) {
        c->is_blocked = is_blocked;
        watch(l, c, EPOLL_CTL_MOD, is_blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
}

static void start_request(struct load *l, int64_t due_us)
{
    struct conn *c = l->idle[--l->idle_count];
    write_request(&l->options, c, l->started);
    l->started++;
    c->due_us = due_us;
    c->sent = 0;
    c->header_length = 0;
    c->has_header = false;
    c->is_waiting = true;
    send_rest(l, c);
}

/* ---- answers ---- */

static void finish(struct load *l, struct conn *c)
{
    int64_t us = clock_mono_us() - c->due_us;
    l->latency_us = xrealloc(l->latency_us, (size_t)l->answered + 1, sizeof(*l->latency_us));
    l->latency_us[l->answered++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
    if (c->status != l->options.expect) {
        l->unexpected++;
        l->last_unexpected = c->status;
    }
    set_idle(l, c);
}

static int64_t content_length(const struct conn *c)
{
    static const char name[] = "\r\nContent-Length:";
    const char *at = strcasestr(c->header, name);
    int64_t length = 0;
    if (!at || c->status == 304) {
        return 0;
    }
    at += strlen(name);
    at += strspn(at, " ");
    if (!text_to_i64(at, strspn(at, "0123456789"), 0, INT64_MAX, &length)) {
        give_up("answer", "odd Content-Length");
    }
    return length;
}

/* The header may bring the beginning of the body along. */
static void take_header(struct load *l, struct conn *c)
{
    c->header[c->header_length] = '\0';
    char *end = strstr(c->header, "\r\n\r\n");
    int64_t status = 0;
    if (!end && c->header_length < HEADER_BYTES) {
        return;
    }
    if (!end || !text_has_prefix(c->header, "HTTP/1.1 ") ||
        !text_to_i64(c->header + 9, 3, 100, 599, &status)) {
        give_up("answer", "not an HTTP header");
    }
    end[2] = '\0';
    c->status = (int)status;
    c->has_header = true;
    int64_t length = content_length(c);
    l->body_bytes += length;
    c->body_left = length - (int64_t)(c->header_length - (size_t)(end + 4 - c->header));
}

static ssize_t receive(struct conn *c)
{
    if (!c->has_header) {
        ssize_t n = recv(c->fd, c->header + c->header_length, HEADER_BYTES - c->header_length, 0);
        c->header_length += n > 0 ? (size_t)n : 0;
        return n;
    }
    size_t wanted = c->body_left < DISCARD_BYTES ? (size_t)c->body_left : DISCARD_BYTES;
    ssize_t n = recv(c->fd, NULL, wanted, MSG_TRUNC);
    c->body_left -= n > 0 ? n : 0;
    return n;
}

static void on_readable(struct load *l, struct conn *c)
{
    ssize_t n = c->is_waiting ? receive(c) : 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        if (c->is_waiting) {
            replace(l, c);
        } else { /* closed while idle: it stays on the stack, with a new socket */
            (void)close(c->fd);
            connect_one(l, c);
        }
        return;
    }
    if (!c->has_header) {
        take_header(l, c);
    }
    if (c->has_header && c->body_left <= 0) {
        finish(l, c);
    }
}

/* ---- the schedule ---- */

static bool may_start(const struct load *l, int64_t now_us)
{
    const struct options *o = &l->options;
    return (o->count == 0 || l->started < o->count) && (o->seconds == 0 || now_us < l->end_us);
}

static int64_t due_us(const struct load *l)
{
    return l->started_us + l->started * 1000000 / l->options.rate;
}

static void start_what_is_due(struct load *l)
{
    int64_t now_us = clock_mono_us();
    if (l->options.rate == 0) {
        while (l->idle_count > 0 && may_start(l, now_us)) {
            start_request(l, now_us);
        }
        return;
    }
    if (l->idle_count > 0 && may_start(l, due_us(l)) && now_us - due_us(l) > l->late_max_us) {
        l->late_max_us = now_us - due_us(l);
    }
    while (l->idle_count > 0 && may_start(l, due_us(l)) && due_us(l) <= now_us) {
        start_request(l, due_us(l));
    }
}

static bool is_over(const struct load *l)
{
    int64_t now_us = clock_mono_us();
    bool is_due = may_start(l, l->options.rate ? due_us(l) : now_us);
    bool is_answered = l->started == l->answered + l->broken;
    return (!is_due && is_answered) || now_us > l->end_us + ANSWER_WAIT_S * 1000000LL;
}

static struct timespec wait_time(const struct load *l)
{
    int64_t us = 10000;
    if (l->options.rate && l->idle_count > 0 && may_start(l, due_us(l))) {
        us = due_us(l) - clock_mono_us();
        us = us < 0 ? 0 : us > 10000 ? 10000 : us;
    }
    return (struct timespec){ .tv_nsec = us * 1000 };
}

static void run(struct load *l)
{
    l->started_us = clock_mono_us();
    int64_t limit_s = l->options.seconds ? l->options.seconds : SECONDS_MAX;
    l->end_us = l->started_us + limit_s * 1000000;
    while (!is_over(l)) {
        start_what_is_due(l);
        struct epoll_event events[EVENTS];
        struct timespec wait = wait_time(l);
        int n = epoll_pwait2(l->epoll, events, EVENTS, &wait, NULL);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (c->is_blocked && (events[i].events & EPOLLOUT)) {
                send_rest(l, c);
            }
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                on_readable(l, c);
            }
        }
    }
}

/* ---- the report ---- */

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static json_int_t percentile(const struct load *l, int64_t per_mille)
{
    return l->answered ? (json_int_t)l->latency_us[(l->answered - 1) * per_mille / 1000] : 0;
}

static void report(const struct load *l)
{
    int64_t us = clock_mono_us() - l->started_us;
    if (l->answered > 0) {
        qsort(l->latency_us, (size_t)l->answered, sizeof(*l->latency_us), by_value);
    }
    json_auto_t *out = json_pack(
        "{s:I, s:I, s:I, s:i, s:I, s:I, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I}", "requests",
        (json_int_t)l->started, "answered", (json_int_t)l->answered, "unexpected",
        (json_int_t)l->unexpected, "last_unexpected", l->last_unexpected, "broken",
        (json_int_t)l->broken, "body_bytes", (json_int_t)l->body_bytes, "seconds", (double)us / 1e6,
        "per_s", (double)l->answered * 1e6 / (double)us, "p50_us", percentile(l, 500), "p90_us",
        percentile(l, 900), "p99_us", percentile(l, 990), "p999_us", percentile(l, 999), "max_us",
        percentile(l, 1000), "late_us", (json_int_t)l->late_max_us);
    char *text = json_dumps(out, JSON_COMPACT);
    (void)puts(text);
    free(text);
}

/* ---- options ---- */

static const struct option long_options[] = {
    { "port", required_argument, NULL, 'p' },
    { "path", required_argument, NULL, 'u' },
    { "rate", required_argument, NULL, 'r' },
    { "connections", required_argument, NULL, 'c' },
    { "seconds", required_argument, NULL, 's' },
    { "count", required_argument, NULL, 'n' },
    { "requests", required_argument, NULL, 'f' },
    { "method", required_argument, NULL, 'm' },
    { "header", required_argument, NULL, 'h' },
    { "expect", required_argument, NULL, 'e' },
    { NULL, 0, NULL, 0 },
};

static int64_t number(const char *name, int64_t min, int64_t max)
{
    int64_t value = 0;
    if (!text_to_i64(optarg, strlen(optarg), min, max, &value)) {
        give_up(name, "not a number in range");
    }
    return value;
}

static void add_header(struct options *o)
{
    if (o->header_count == HEADERS_MAX) {
        give_up("--header", "too many");
    }
    o->headers[o->header_count++] = optarg;
}

static char *read_file(const char *path)
{
    struct str text = STR_INIT(FILE_BYTES_MAX);
    FILE *file = fopen(path, "re");
    if (!file) {
        give_up(path, strerror(errno));
        return NULL;
    }
    char piece[8192];
    size_t n;
    while ((n = fread(piece, 1, sizeof(piece), file)) > 0) {
        str_add(&text, piece, n);
    }
    if (ferror(file) || text.overflow || text.len == 0) {
        give_up(path, "cannot be read, is empty or too large");
    }
    (void)fclose(file);
    return str_take(&text);
}

static void read_requests(struct options *o, const char *path)
{
    o->requests_text = read_file(path);
    char *save = NULL;
    for (char *line = strtok_r(o->requests_text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        char *blank = strchr(line, ' ');
        if (blank) {
            *blank++ = '\0';
        }
        o->requests = xrealloc(o->requests, o->request_count + 1, sizeof(*o->requests));
        o->requests[o->request_count++] = (struct request){ .path = line, .body = blank };
    }
}

static bool set_option(struct options *o, int letter)
{
    switch (letter) {
    case 'p':
        o->port = (int)number("--port", 1, 65535);
        return true;
    case 'u':
        o->path = optarg;
        return true;
    case 'r':
        o->rate = number("--rate", 1, 1000000);
        return true;
    case 'c':
        o->connections = (size_t)number("--connections", 1, CONNECTIONS_MAX);
        return true;
    case 's':
        o->seconds = number("--seconds", 1, SECONDS_MAX);
        return true;
    case 'n':
        o->count = number("--count", 1, 100000000);
        return true;
    case 'f':
        read_requests(o, optarg);
        return true;
    case 'm':
        o->method = optarg;
        return true;
    case 'h':
        add_header(o);
        return true;
    case 'e':
        o->expect = number("--expect", 100, 599);
        return true;
    default:
        return false;
    }
}

static struct options read_options(int argc, char **argv)
{
    struct options o = { .method = "GET", .connections = 1, .expect = 200 };
    int letter;
    while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (!set_option(&o, letter)) {
            give_up("usage", "see the head of bench/http_load.c");
        }
    }
    if (!o.port || !o.path == !o.requests || optind != argc ||
        (o.seconds == 0 && o.count == 0 && !o.requests)) {
        give_up("usage",
                "--port, one of --path and --requests, and --seconds or --count are required");
    }
    if (o.requests) {
        o.count = (int64_t)o.request_count;
    }
    return o;
}

int main(int argc, char **argv)
{
    struct load l = { .options = read_options(argc, argv), .epoll = epoll_create1(EPOLL_CLOEXEC) };
    l.conns = xcalloc(l.options.connections, sizeof(*l.conns));
    l.idle = xcalloc(l.options.connections, sizeof(struct conn *));
    for (size_t i = 0; i < l.options.connections; i++) {
        l.conns[i].request = STR_INIT(REQUEST_BYTES);
        connect_one(&l, &l.conns[i]);
        set_idle(&l, &l.conns[i]);
    }
    run(&l);
    report(&l);
    bool is_good = l.unexpected == 0 && l.broken == 0 && l.started == l.answered;
    for (size_t i = 0; i < l.options.connections; i++) {
        (void)close(l.conns[i].fd);
        str_done(&l.conns[i].request);
    }
    (void)close(l.epoll);
    free(l.options.requests);
    free(l.options.requests_text);
    free(l.latency_us);
    free(l.idle);
    free(l.conns);
    return is_good ? 0 : 2;
}
