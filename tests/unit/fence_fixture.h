/* fence_fixture.h - a master and its replicas, real, under writers that count what was acknowledged, and one fence after the other. */
#ifndef TESTS_UNIT_FENCE_FIXTURE_H
#define TESTS_UNIT_FENCE_FIXTURE_H

#include <fcntl.h>
#include <sys/stat.h>

#include "shared/base/str.h"
#include "shared/switch/fence.h"
#include "tests/unit/redis_fixture.h"

#define FENCE_LIMIT_MS 20000

/* ---- one Redis ---- */

struct server {
    struct redis_fixture redis;
    char file[128]; /* "": without a config file */
    int fd;         /* for simple commands */
};

static inline void server_launch(struct server *s, const char *const *more)
{
    char port_text[16];
    const char *argv[24] = { redis_program };
    size_t count = 1;
    (void)snprintf(port_text, sizeof(port_text), "%d", s->redis.port);
    if (s->file[0]) {
        argv[count++] = s->file;
    }
    const char *const fixed[] = { "--port",
                                  port_text,
                                  "--bind",
                                  "127.0.0.1",
                                  "--dir",
                                  s->redis.folder,
                                  "--save",
                                  "",
                                  "--logfile",
                                  "/dev/null",
                                  "--repl-diskless-sync-delay",
                                  "0" };
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
        argv[count++] = fixed[i];
    }
    for (size_t i = 0; more && more[i]; i++) {
        argv[count++] = more[i];
    }
    s->redis.pid = fork();
    assert_true(s->redis.pid >= 0);
    if (s->redis.pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execvp(redis_program, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    redis_wait(s->redis.port);
    s->fd = connect_to(s->redis.port);
    assert_true(s->fd >= 0);
}

/* 'more': further arguments, up to NULL; may be NULL. */
static inline void server_start(struct server *s, bool has_file, const char *const *more)
{
    *s = (struct server){ .fd = -1 };
    (void)snprintf(s->redis.folder, sizeof(s->redis.folder), "/tmp/xpipe-fence.XXXXXX");
    assert_non_null(mkdtemp(s->redis.folder));
    s->redis.port = reserved_port();
    s->redis.addr = addr_of("127.0.0.1", s->redis.port);
    if (has_file) {
        (void)snprintf(s->file, sizeof(s->file), "%s/redis.conf", s->redis.folder);
        int fd = open(s->file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        (void)close(fd);
    }
    server_launch(s, more);
}

static inline void server_stop(struct server *s)
{
    (void)close(s->fd);
    if (s->file[0]) {
        (void)unlink(s->file);
    }
    redis_stop(&s->redis);
    char dump[128]; /* of a full synchronization */
    (void)snprintf(dump, sizeof(dump), "%s/dump.rdb", s->redis.folder);
    (void)unlink(dump);
    (void)rmdir(s->redis.folder);
}

/* The whole reply to one command in a line, as it came (at most what fits). */
static inline const char *server_say(struct server *s, const char *line, char *buf, size_t size)
{
    AUTO_FREE char *bytes = xasprintf("%s\r\n", line);
    assert_true(script_say(s->fd, bytes));
    size_t length = 0;
    mono_ms limit = clock_mono_ms() + FENCE_LIMIT_MS;
    for (;;) {
        assert_true(clock_mono_ms() < limit);
        ssize_t n = recv(s->fd, buf + length, size - 1 - length, 0);
        assert_true(n > 0);
        length += (size_t)n;
        buf[length] = '\0';
        long bulk = buf[0] == '$' ? strtol(buf + 1, NULL, 10) : -1;
        const char *head = strstr(buf, "\r\n");
        if (head &&
            (buf[0] != '$' || bulk < 0 || length >= (size_t)(head - buf) + 2 + (size_t)bulk + 2)) {
            return buf;
        }
    }
}
#define SAY(s, line) server_say((s), (line), (char[16384]){ 0 }, 16384)

static inline int64_t server_info(struct server *s, const char *name)
{
    const char *at = strstr(SAY(s, "INFO replication"), name);
    return at ? strtoll(at + strlen(name), NULL, 10) : -1;
}

/* "min-slaves-to-write" as text, asked one by one: an array of two. */
static inline void check_setting(struct server *s, const char *name, const char *wanted)
{
    char bytes[256] = "";
    AUTO_FREE char *line = xasprintf("CONFIG GET %s\r\n", name);
    AUTO_FREE char *tail = xasprintf("\r\n%s\r\n", wanted);
    size_t length = 0;
    assert_true(script_say(s->fd, line));
    for (int lines = 0; lines < 5;) {
        ssize_t n = recv(s->fd, bytes + length, 1, 0);
        assert_true(n == 1 && length < sizeof(bytes) - 2);
        lines += bytes[length++] == '\n';
    }
    if (strcmp(bytes + length - strlen(tail), tail) != 0) {
        fail_msg("%s is not %s: %s", name, wanted, bytes);
    }
}

static inline void server_follow(struct server *s, const struct server *master)
{
    char line[64];
    (void)snprintf(line, sizeof(line), "SLAVEOF 127.0.0.1 %d", master->redis.port);
    assert_memory_equal(SAY(s, line), "+OK", 3);
    mono_ms limit = clock_mono_ms() + FENCE_LIMIT_MS;
    while (!strstr(SAY(s, "INFO replication"), "master_link_status:up")) {
        assert_true(clock_mono_ms() < limit);
        (void)usleep(5000);
    }
}

/* ---- writers ---- */

struct writer {
    pthread_t thread;
    int port;
    int number;
    bool is_over;     /* __atomic: stop */
    int64_t accepted; /* __atomic: acknowledged with OK */
    int64_t refused;  /* __atomic */
};

/* SET w:<number>:<n>, one after the other, from a new connection when one breaks. */
static inline void *writer_main(void *arg)
{
    struct writer *w = arg;
    int fd = -1;
    char line[128];
    char reply[256];
    while (!__atomic_load_n(&w->is_over, __ATOMIC_ACQUIRE)) {
        if (fd < 0 && (fd = connect_to(w->port)) < 0) {
            (void)usleep(1000);
            continue;
        }
        int64_t next = __atomic_load_n(&w->accepted, __ATOMIC_ACQUIRE) + 1;
        (void)snprintf(line, sizeof(line), "SET w:%d:%lld x\r\n", w->number, (long long)next);
        ssize_t n = script_say(fd, line) ? recv(fd, reply, sizeof(reply), 0) : -1;
        if (n <= 0) {
            (void)close(fd);
            fd = -1;
        } else if (reply[0] == '+') {
            __atomic_store_n(&w->accepted, next, __ATOMIC_RELEASE);
        } else {
            __atomic_add_fetch(&w->refused, 1, __ATOMIC_ACQ_REL);
        }
    }
    (void)close(fd);
    return NULL;
}

static inline void writer_start(struct writer *w, int port, int number)
{
    *w = (struct writer){ .port = port, .number = number };
    assert_int_equal(pthread_create(&w->thread, NULL, writer_main, w), 0);
}

static inline void writer_stop(struct writer *w)
{
    __atomic_store_n(&w->is_over, true, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(w->thread, NULL), 0);
}

/* Until it has 'more' new acknowledgments (refusals). */
static inline void writer_wait(struct writer *w, int64_t *counter, int64_t more)
{
    (void)w;
    int64_t wanted = __atomic_load_n(counter, __ATOMIC_ACQUIRE) + more;
    mono_ms limit = clock_mono_ms() + FENCE_LIMIT_MS;
    while (__atomic_load_n(counter, __ATOMIC_ACQUIRE) < wanted) {
        assert_true(clock_mono_ms() < limit);
        (void)usleep(200);
    }
}

/* ---- fences ---- */

struct fencer {
    struct loop *loop;
    struct fence_options options;
    struct fence_run *run;
    struct addr redis[SWITCH_REDIS_MAX];
    int done_count;
    int64_t done_us;
    struct switch_fence result;
    char *log;
    int asked;   /* of may_command */
    int allowed; /* so many, then refused; -1: always */
};

static inline void fencer_done(const struct switch_fence *result, void *arg)
{
    struct fencer *f = arg;
    f->done_count++;
    f->done_us = clock_mono_us();
    f->result = *result;
    f->result.log = NULL;
    fence_run_free(TAKE(f->run));
}

static inline int fencer_may(void *arg, struct xp_err *err)
{
    struct fencer *f = arg;
    f->asked++;
    return f->allowed < 0 || f->asked <= f->allowed
               ? 0
               : xp_fail(err, XP_NOT_OWNER, "the lease is over");
}

static inline void fencer_open(struct fencer *f, const struct addr *addrs, size_t count)
{
    *f = (struct fencer){ .loop = loop_new(), .allowed = -1 };
    memcpy(f->redis, addrs, count * sizeof(*addrs));
    f->options = (struct fence_options){
        .run.loop = f->loop,
        .run.redis = f->redis,
        .run.redis_count = count,
        .run.client_name = "xpipe-fence",
        .run.connect_timeout_ms = 300,
        .run.deadline_ms = 5000,
        .run.may_command = fencer_may,
        .run.arg = f,
        .drain_ms = 3000,
        .on_done = fencer_done,
    };
}

static inline void fencer_close(struct fencer *f)
{
    fence_run_free(f->run);
    loop_free(f->loop);
    free(f->log);
}

static inline bool fencer_is_done(void *arg)
{
    return ((struct fencer *)arg)->done_count > 0;
}

/* What was saved by an earlier fence, and who was the master, are handed on. */
static inline enum fence_state fencer_go(struct fencer *f, enum fence_goal goal)
{
    struct execution_log *log = execution_log_new(NULL);
    f->done_count = 0;
    f->asked = 0;
    f->options.goal = goal;
    f->options.run.log = log;
    f->options.saved = f->result.saved;
    f->options.hint = f->result.master;
    f->run = fence_run_start(&f->options);
    assert_int_equal(f->done_count, 0);
    assert_true(loop_wait(f->loop, fencer_is_done, f, FENCE_LIMIT_MS));
    assert_int_equal(f->done_count, 1);
    free(f->log);
    f->log = execution_log_take(log);
    execution_log_free(log);
    return f->result.state;
}

/* Shows the log when it is not as wanted. */
static inline void check_state(struct fencer *f, enum fence_goal goal, enum fence_state wanted)
{
    enum fence_state state = fencer_go(f, goal);
    if (state != wanted) {
        fail_msg("%s instead of %s:\n%s", fence_state_text(state), fence_state_text(wanted),
                 f->log);
    }
}

static inline void check_log(const struct fencer *f, const char *text)
{
    if (!strstr(f->log, text)) {
        fail_msg("no '%s' in:\n%s", text, f->log);
    }
}

#endif
