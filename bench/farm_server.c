/* farm_server.c - the sockets of the instances. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/farm.h"
#include "shared/base/list.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define BACKLOG        4096
#define ACCEPTS_MAX    500 /* of one turn of the loop */
#define READ_BYTES     16384
#define OUT_MAX_BYTES  (1024 * 1024)
#define FILLER_BYTES   65536
#define FILLERS_A_TURN 16

struct farm_server {
    struct farm *farm;
    int fd;
    struct loop_io io;
    struct list conns;
    struct str out; /* answers of the commands read at once */
};

struct conn {
    struct farm_server *server;
    struct farm_redis *redis;
    struct loop_io io;
    struct loop_timer late;
    struct list link;
    struct str in;  /* the beginning of a command */
    struct str out; /* what the socket did not take, or what waits for 'late' */
    int64_t stream_bytes;
    uint8_t client;
    bool is_silent;
    bool is_closing; /* when 'out' is sent */
};

static void conn_free(struct conn *c)
{
    loop_io_stop(&c->io);
    loop_timer_stop(&c->late);
    list_remove(&c->link);
    (void)close(c->io.fd);
    str_done(&c->in);
    str_done(&c->out);
    c->server->farm->report.connected--;
    free(c);
}

/* ---- writing ---- */

/* Bytes the socket took; -1 when it failed. */
static ssize_t send_some(const struct conn *c, const char *bytes, size_t length)
{
    ssize_t n = send(c->io.fd, bytes, length, MSG_NOSIGNAL);
    return n >= 0 ? n : errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static bool send_out(struct conn *c)
{
    ssize_t n = send_some(c, c->out.buf, c->out.len);
    if (n < 0) {
        return false;
    }
    size_t left = c->out.len - (size_t)n;
    memmove(c->out.buf, c->out.buf + n, left);
    c->out.len = left;
    return true;
}

static bool send_filler(struct conn *c)
{
    static char filler[FILLER_BYTES];
    memset(filler, 'x', sizeof(filler));
    for (int i = 0; i < FILLERS_A_TURN && c->stream_bytes > 0; i++) {
        size_t want = c->stream_bytes < FILLER_BYTES ? (size_t)c->stream_bytes : FILLER_BYTES;
        ssize_t n = send_some(c, filler, want);
        if (n < 0) {
            return false;
        }
        c->stream_bytes -= n;
        if ((size_t)n < want) {
            break;
        }
    }
    return true;
}

/* False: the connection is gone. */
static bool flush(struct conn *c)
{
    bool ok = !c->out.overflow && (c->out.len == 0 || send_out(c));
    if (ok && c->out.len == 0 && c->stream_bytes > 0) {
        ok = send_filler(c);
    }
    bool is_done = c->out.len == 0 && c->stream_bytes == 0;
    if (!ok || (is_done && c->is_closing)) {
        conn_free(c);
        return false;
    }
    loop_io_want(&c->io, LOOP_READ | (is_done ? 0 : LOOP_WRITE));
    return true;
}

static void late_fired(struct loop_timer *timer)
{
    (void)flush(CONTAINER_OF(timer, struct conn, late));
}

/* The answers of what was read at once go out together, as a Redis does it. */
static void send_answers(struct conn *c)
{
    struct str *out = &c->server->out;
    bool is_late = c->redis->delay_ms > 0;
    if (!is_late && c->out.len == 0 && c->stream_bytes == 0 && !c->is_closing && out->len > 0) {
        ssize_t n = send_some(c, out->buf, out->len);
        if (n == (ssize_t)out->len) {
            return;
        }
        str_add(&c->out, out->buf + (n > 0 ? n : 0), out->len - (size_t)(n > 0 ? n : 0));
    } else {
        str_add(&c->out, out->buf, out->len);
    }
    if (!is_late) {
        (void)flush(c);
    } else if (!loop_timer_is_running(&c->late)) {
        loop_timer_start(&c->late, c->redis->delay_ms);
    }
}

/* ---- reading ---- */

struct command {
    size_t argc;
    char *argv[FARM_WORDS_MAX];
    size_t bytes;
};

enum parsed { PARSED, INCOMPLETE, BAD };

static enum parsed parse_number(char **at, const char *end, char kind, size_t max, size_t *ret)
{
    char *line_end = memchr(*at, '\n', (size_t)(end - *at));
    int64_t value = 0;
    if (!line_end) {
        return end - *at > 32 ? BAD : INCOMPLETE;
    }
    if (**at != kind || line_end - *at < 3 ||
        !text_to_i64(*at + 1, (size_t)(line_end - *at) - 2, 0, (int64_t)max, &value)) {
        return BAD;
    }
    *at = line_end + 1;
    *ret = (size_t)value;
    return PARSED;
}

static enum parsed parse_array(char *from, char *end, struct command *ret)
{
    char *at = from;
    size_t lengths[FARM_WORDS_MAX] = { 0 };
    enum parsed p = parse_number(&at, end, '*', FARM_WORDS_MAX, &ret->argc);
    for (size_t i = 0; p == PARSED && i < ret->argc; i++) {
        p = at == end ? INCOMPLETE : parse_number(&at, end, '$', FARM_COMMAND_MAX, &lengths[i]);
        if (p == PARSED && (size_t)(end - at) < lengths[i] + 2) {
            p = INCOMPLETE;
        }
        if (p == PARSED) {
            ret->argv[i] = at;
            at += lengths[i] + 2;
        }
    }
    for (size_t i = 0; p == PARSED && i < ret->argc; i++) {
        ret->argv[i][lengths[i]] = '\0';
    }
    ret->bytes = (size_t)(at - from);
    return p == PARSED && ret->argc == 0 ? BAD : p;
}

static enum parsed parse_inline(char *from, char *end, struct command *ret)
{
    char *line_end = memchr(from, '\n', (size_t)(end - from));
    if (!line_end) {
        return INCOMPLETE;
    }
    ret->bytes = (size_t)(line_end - from) + 1;
    ret->argc = 0;
    *line_end = '\0';
    for (char *at = from; ret->argc < FARM_WORDS_MAX;) {
        at += strspn(at, " \r\t");
        if (*at == '\0') {
            break;
        }
        ret->argv[ret->argc++] = at;
        at += strcspn(at, " \r\t");
        if (*at) {
            *at++ = '\0';
        }
    }
    return ret->argc > 0 ? PARSED : BAD;
}

static void run_command(struct conn *c, const struct command *cmd)
{
    struct farm_answer answer = { .out = &c->server->out };
    struct farm_call call = { c->redis, &c->client, cmd->argc, cmd->argv };
    switch (farm_answer(c->server->farm, &call, &answer)) {
    case FARM_ANSWER:
        break;
    case FARM_SILENCE:
        c->is_silent = true;
        break;
    case FARM_CLOSE:
        c->is_closing = true;
        break;
    case FARM_STREAM:
        c->stream_bytes = answer.stream_bytes;
        break;
    }
}

/* Runs every whole command of [from, end); returns where the first one that is not whole begins, NULL for garbage. */
static char *run_commands(struct conn *c, char *from, char *end)
{
    while (from < end) {
        struct command cmd;
        enum parsed p = *from == '*' ? parse_array(from, end, &cmd) : parse_inline(from, end, &cmd);
        if (p == BAD || (p == INCOMPLETE && end - from > FARM_COMMAND_MAX)) {
            return NULL;
        }
        if (p == INCOMPLETE) {
            break;
        }
        from += cmd.bytes;
        if (!c->is_silent && !c->is_closing && c->stream_bytes == 0) {
            run_command(c, &cmd);
        }
    }
    return from;
}

static void take_bytes(struct conn *c, char *bytes, size_t length)
{
    bool is_joined = c->in.len > 0;
    if (is_joined) {
        str_add(&c->in, bytes, length);
        bytes = c->in.buf;
        length = c->in.len;
    }
    str_clear(&c->server->out);
    char *rest = c->in.overflow ? NULL : run_commands(c, bytes, bytes + length);
    if (!rest) {
        c->server->farm->report.bad_commands++;
        conn_free(c);
        return;
    }
    size_t left = (size_t)(bytes + length - rest);
    if (is_joined) {
        memmove(c->in.buf, rest, left);
        c->in.len = left;
    } else if (left > 0) {
        str_add(&c->in, rest, left);
    }
    if (c->server->out.len > 0 || c->is_closing || c->stream_bytes > 0) {
        send_answers(c);
    }
}

static void note_turn(struct farm *f)
{
    mono_ms now = loop_now(f->loop);
    if (now != f->turn_at) {
        f->turn_before = f->turn_at;
        f->turn_at = now;
    }
}

static void conn_ready(struct loop_io *io, int events)
{
    struct conn *c = CONTAINER_OF(io, struct conn, io);
    note_turn(c->server->farm);
    char bytes[READ_BYTES];
    if ((events & LOOP_WRITE) && !flush(c)) {
        return;
    }
    if (!(events & LOOP_READ)) {
        return;
    }
    ssize_t n = recv(io->fd, bytes, sizeof(bytes), 0);
    if (n > 0) {
        take_bytes(c, bytes, (size_t)n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        conn_free(c);
    }
}

/* ---- accepting ---- */

/* The living instance behind 127.(NET + index).y.z; NULL: none. */
static struct farm_redis *redis_of(struct farm *f, int fd)
{
    struct sockaddr_in in = { 0 };
    socklen_t size = sizeof(in);
    if (getsockname(fd, (struct sockaddr *)&in, &size) != 0 || in.sin_family != AF_INET) {
        return NULL;
    }
    uint32_t ip = ntohl(in.sin_addr.s_addr);
    size_t last = ip & 255;
    size_t number = (size_t)((ip >> 8) & 255) * 250 + last - 1;
    size_t index = ((ip >> 16) & 255) - (uint32_t)f->net;
    bool is_ours = ip >> 24 == 127 && index < farm_per_shard(f) && number < f->shards;
    struct farm_redis *r = is_ours && last >= 1 && last <= 250 ? farm_at(f, number, index) : NULL;
    return r && !r->is_gone ? r : NULL;
}

static void conn_new(struct farm_server *s, int fd)
{
    struct farm_redis *redis = redis_of(s->farm, fd);
    int one = 1;
    if (!redis || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0) {
        (void)close(fd);
        return;
    }
    struct conn *c = xcalloc(1, sizeof(*c));
    c->server = s;
    c->redis = redis;
    c->in = STR_INIT(2 * READ_BYTES);
    c->out = STR_INIT(OUT_MAX_BYTES);
    loop_io_init(&c->io, s->farm->loop, fd, conn_ready);
    loop_timer_init(&c->late, s->farm->loop, late_fired);
    loop_io_want(&c->io, LOOP_READ);
    list_push_back(&s->conns, &c->link);
    s->farm->report.accepted++;
    s->farm->report.connected++;
}

static void accept_ready(struct loop_io *io, int events)
{
    (void)events;
    struct farm_server *s = CONTAINER_OF(io, struct farm_server, io);
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return;
        }
        conn_new(s, fd);
    }
}

/* Every address of this machine, but from the interface lo only: nobody else can reach it. */
static int listen_on_lo(int port, int *ret_fd, struct xp_err *err)
{
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_ANY) };
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof("lo")) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
        bind(fd, (const struct sockaddr *)&in, sizeof(in)) == 0 && listen(fd, BACKLOG) == 0) {
        *ret_fd = fd;
        return 0;
    }
    int rc =
        xp_fail(err, XP_IO, "cannot listen on port %d of interface lo: %s", port, strerror(errno));
    if (fd >= 0) {
        (void)close(fd);
    }
    return rc;
}

int farm_server_start(struct farm *f, struct xp_err *err)
{
    int fd = -1;
    int rc = listen_on_lo(f->port, &fd, err);
    if (rc != 0) {
        return rc;
    }
    struct farm_server *s = xcalloc(1, sizeof(*s));
    s->farm = f;
    s->fd = fd;
    s->out = STR_INIT(OUT_MAX_BYTES);
    list_init(&s->conns);
    loop_io_init(&s->io, f->loop, fd, accept_ready);
    loop_io_want(&s->io, LOOP_READ);
    f->server = s;
    return 0;
}

void farm_server_drop(struct farm *f, const struct farm_redis *redis)
{
    list_for_each (at, &f->server->conns) {
        struct conn *c = LIST_ENTRY(at, struct conn, link);
        if (!redis || c->redis == redis) {
            conn_free(c);
        }
    }
}

void farm_server_stop(struct farm *f)
{
    if (f->server) {
        farm_server_drop(f, NULL);
        loop_io_stop(&f->server->io);
        (void)close(f->server->fd);
        str_done(&f->server->out);
        free(TAKE(f->server));
    }
}
