/* redis_fixture.h - servers for the tests of Redis connections: a real redis-server, and scripted ones in a thread.
 *
 * All on free ports of 127.0.0.1. The redis-server dies with the test process, its folder is removed by redis_stop.
 * A scripted server serves one connection after the other with the given function. Waiting is done on conditions. */
#ifndef TESTS_UNIT_REDIS_FIXTURE_H
#define TESTS_UNIT_REDIS_FIXTURE_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/addr.h"
#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/net/loop.h"
#include "tests/unit/reserved_port.h"
#include "tests/unit/unit.h"

#define START_LIMIT_MS 20000

/* ---- sockets ---- */

static inline struct sockaddr_in loopback(int port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static inline int listen_on_free_port(int backlog, int *ret_port)
{
    struct sockaddr_in a = loopback(0);
    socklen_t length = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &length), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static inline int connect_to(int port)
{
    struct sockaddr_in a = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* ---- a real Redis ---- */

/* Which redis-server: the one of the PATH, unless with_each_redis says otherwise. */
static const char *redis_program = "redis-server";

/* Runs a group of tests with each of the programs that XPIPE_REDIS_SERVERS lists, separated by blanks or colons; without it with
 * the redis-server of the PATH. Returns how many tests failed. */
static inline int with_each_redis(const char *name, int (*run)(const char *name))
{
    const char *programs = getenv("XPIPE_REDIS_SERVERS");
    const char *part = NULL;
    size_t length = 0;
    int failed = 0;
    if (text_is_empty(programs)) {
        return run(name);
    }
    while (text_next_part(&programs, " :", &part, &length)) {
        AUTO_FREE char *program = xstrndup(part, length);
        redis_program = program;
        failed += run(program);
    }
    return failed;
}

struct redis_fixture {
    pid_t pid;
    int port;
    struct addr addr;
    char folder[64];
};

static inline bool redis_answers(int port)
{
    char bytes[64];
    int fd = connect_to(port);
    if (fd < 0) {
        return false;
    }
    bool is_up =
        send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6 && recv(fd, bytes, sizeof(bytes), 0) > 0;
    (void)close(fd);
    return is_up;
}

static inline void redis_wait(int port)
{
    mono_ms limit = clock_mono_ms() + START_LIMIT_MS;
    while (!redis_answers(port)) {
        assert_true(clock_mono_ms() < limit);
        (void)usleep(5000);
    }
}

/* 'option' and 'value' as in redis.conf, without dashes; NULL: none. */
static inline void redis_start(struct redis_fixture *r, const char *option, const char *value)
{
    char port_text[16];
    char flag[64];
    (void)snprintf(r->folder, sizeof(r->folder), "/tmp/xpipe-redis.XXXXXX");
    assert_non_null(mkdtemp(r->folder));
    r->port = reserved_port();
    r->addr = addr_of("127.0.0.1", r->port);
    (void)snprintf(port_text, sizeof(port_text), "%d", r->port);
    (void)snprintf(flag, sizeof(flag), "--%s", option ? option : "databases");
    r->pid = fork();
    assert_true(r->pid >= 0);
    if (r->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execlp(redis_program, redis_program, "--port", port_text, "--bind", "127.0.0.1",
                     "--dir", r->folder, "--save", "", "--logfile", "/dev/null", flag,
                     value ? value : "16", (char *)NULL);
        _exit(127);
    }
    redis_wait(r->port);
}

static inline void redis_stop(struct redis_fixture *r)
{
    int status = 0;
    (void)kill(r->pid, SIGKILL);
    (void)waitpid(r->pid, &status, 0);
    (void)rmdir(r->folder);
}

/* One for all tests of a group. */
static struct redis_fixture redis;

static inline int redis_up(void **state)
{
    (void)state;
    redis_start(&redis, NULL, NULL);
    return 0;
}

static inline int redis_down(void **state)
{
    (void)state;
    redis_stop(&redis);
    return 0;
}

/* ---- a scripted server ---- */

struct script {
    void (*serve)(struct script *, int fd);
    int listen_fd;
    int port;
    struct addr addr;
    pthread_t thread;
    int served_count;      /* read it with script_served */
    mono_ms served_at[16]; /* the first connections */
};

static inline int script_served(struct script *s)
{
    return __atomic_load_n(&s->served_count, __ATOMIC_ACQUIRE);
}

static inline void *script_main(void *arg)
{
    struct script *s = arg;
    int fd;
    while ((fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        int number = script_served(s);
        if (number < (int)ARRAY_LEN(s->served_at)) {
            s->served_at[number] = clock_mono_ms();
        }
        __atomic_store_n(&s->served_count, number + 1, __ATOMIC_RELEASE);
        s->serve(s, fd);
        (void)close(fd);
    }
    return NULL;
}

static inline void script_start(struct script *s, void (*serve)(struct script *, int fd))
{
    *s = (struct script){ .serve = serve };
    s->listen_fd = listen_on_free_port(16, &s->port);
    s->addr = addr_of("127.0.0.1", s->port);
    assert_int_equal(pthread_create(&s->thread, NULL, script_main, s), 0);
}

/* Close the client first: the thread may be serving it. */
static inline void script_stop(struct script *s)
{
    (void)shutdown(s->listen_fd, SHUT_RDWR);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    (void)close(s->listen_fd);
}

/* Pieces of scripts. */
static inline bool script_read(int fd) /* something was received; false at the end */
{
    char bytes[4096];
    return recv(fd, bytes, sizeof(bytes), 0) > 0;
}

static inline void script_read_to_end(int fd)
{
    while (script_read(fd)) {
    }
}

static inline bool script_say(int fd, const char *text)
{
    size_t length = strlen(text);
    return send(fd, text, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static inline void script_flood(int fd, size_t bytes) /* until the peer has had enough */
{
    char block[65536];
    memset(block, 'x', sizeof(block));
    for (size_t sent = 0; sent < bytes;) {
        ssize_t n = send(fd, block, sizeof(block), MSG_NOSIGNAL);
        if (n <= 0) {
            return;
        }
        sent += (size_t)n;
    }
    script_read_to_end(fd);
}

static inline void script_reset(int fd)
{
    struct linger hard = { .l_onoff = 1, .l_linger = 0 };
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

static inline void serve_silence(struct script *s, int fd)
{
    (void)s;
    script_read_to_end(fd);
}

static inline void serve_half_reply(struct script *s, int fd)
{
    (void)s;
    (void)(script_read(fd) && script_say(fd, "$10\r\nabc"));
    script_read_to_end(fd);
}

static inline void serve_reset(struct script *s, int fd)
{
    (void)s;
    (void)script_read(fd);
    script_reset(fd);
}

static inline void serve_garbage(struct script *s, int fd)
{
    (void)s;
    (void)(script_read(fd) && script_say(fd, "HTTP/1.1 400 Bad Request\r\n\r\n"));
    script_read_to_end(fd);
}

static inline void serve_huge_bulk(struct script *s, int fd)
{
    (void)s;
    if (script_read(fd) && script_say(fd, "$104857600\r\n")) {
        script_flood(fd, 104857600);
    }
}

static inline void serve_endless_line(struct script *s, int fd)
{
    (void)s;
    if (script_read(fd) && script_say(fd, "+")) {
        script_flood(fd, SIZE_MAX / 2);
    }
}

static inline void serve_absurd_array(struct script *s, int fd)
{
    (void)s;
    (void)(script_read(fd) && script_say(fd, "*2147483647\r\n:1\r\n"));
    script_read_to_end(fd);
}

static inline void serve_unasked(struct script *s, int fd)
{
    (void)s;
    (void)script_say(fd, "+OK\r\n");
    script_read_to_end(fd);
}

static inline void serve_goodbye(struct script *s, int fd)
{
    (void)s;
    (void)fd;
}

/* ---- waiting on a loop ---- */

struct loop_wait {
    struct loop_timer timer;
    bool (*cond)(void *arg);
    void *arg;
    mono_ms limit;
    bool is_met;
};

static inline void loop_wait_look(struct loop_timer *t)
{
    struct loop_wait *w = CONTAINER_OF(t, struct loop_wait, timer);
    w->is_met = w->cond(w->arg);
    if (w->is_met || loop_now(t->loop) >= w->limit) {
        loop_stop(t->loop);
    } else {
        loop_timer_start(t, 1);
    }
}

/* Runs the loop until cond(arg); false when 'limit_ms' passed first. */
static inline bool loop_wait(struct loop *l, bool (*cond)(void *arg), void *arg, int64_t limit_ms)
{
    struct loop_wait w = { .cond = cond, .arg = arg, .limit = clock_mono_ms() + limit_ms };
    loop_timer_init(&w.timer, l, loop_wait_look);
    loop_timer_start(&w.timer, 0);
    loop_run(l);
    loop_timer_stop(&w.timer);
    return w.is_met;
}

#endif
