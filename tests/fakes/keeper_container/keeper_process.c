/* keeper_process.c - see keeper_process.h. */
#include "tests/fakes/keeper_container/keeper_process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "shared/base/random.h"
#include "shared/base/str.h"
#include "shared/net/rsync.h"

#include "shared/base/banned.h"

enum { START_LIMIT_MS = 8000, STOP_LIMIT_MS = 3000, LOOK_MS = 10, CONF_MAX = 16384 };

static void pause_ms(int64_t ms)
{
    struct timespec t = { .tv_nsec = ms * 1000000 };
    (void)nanosleep(&t, NULL);
}

static int io_error(struct xp_err *err, const char *what, const char *path)
{
    return xp_fail(err, XP_IO, "%s %s: %s", what, path, strerror(errno));
}

static int write_text(const char *path, const char *text, struct xp_err *err)
{
    FILE *f = fopen(path, "we");
    if (!f) {
        return io_error(err, "cannot write", path);
    }
    bool is_written = fputs(text, f) >= 0;
    if (fclose(f) != 0 || !is_written) {
        return io_error(err, "cannot write", path);
    }
    return 0;
}

static bool is_run_id(const char *text)
{
    return text && strlen(text) == RUN_ID_LEN &&
           strspn(text, "0123456789abcdefABCDEF") == RUN_ID_LEN;
}

static void new_run_id(char id[RUN_ID_LEN + 1])
{
    unsigned char bytes[RUN_ID_LEN / 2];
    random_fill(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        (void)snprintf(id + 2 * i, 3, "%02x", bytes[i]);
    }
}

/* A keeper keeps its run id with its store; the metadata may bring one. */
static int find_run_id(const struct keeper_launch *l, char id[RUN_ID_LEN + 1], struct xp_err *err)
{
    AUTO_FREE char *path = xasprintf("%s/run_id", l->dir);
    char kept[RUN_ID_LEN + 1] = "";
    FILE *f = fopen(path, "re");
    if (f) {
        (void)!fread(kept, 1, RUN_ID_LEN, f);
        (void)fclose(f);
    }
    if (is_run_id(l->run_id)) {
        (void)snprintf(id, RUN_ID_LEN + 1, "%s", l->run_id);
    } else if (is_run_id(kept)) {
        (void)snprintf(id, RUN_ID_LEN + 1, "%s", kept);
    } else {
        new_run_id(id);
    }
    return strcmp(id, kept) == 0 ? 0 : write_text(path, id, err);
}

static int write_config(const struct keeper_launch *l, const char *path, struct xp_err *err)
{
    AUTO_STR struct str conf = STR_INIT(CONF_MAX);
    char run_id[RUN_ID_LEN + 1];
    int rc = find_run_id(l, run_id, err);
    if (rc != 0) {
        return rc;
    }
    str_printf(&conf,
               "bind %s\nport %d\ndir %s\npidfile redis.pid\nprotected-mode no\nsave "
               "\"\"\nappendonly no\n",
               l->addr.host, l->addr.port, l->dir);
    /* At once when asked to end, and to serve: a keeper waits for nobody. */
    str_puts(&conf, "shutdown-timeout 0\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 0\n"
                    "repl-backlog-size 8mb\nreplica-serve-stale-data yes\n");
    str_printf(&conf, "loadmodule %s ip %s port %d run-id %s state-file %s/keeper.state", l->module,
               l->addr.host, l->addr.port, run_id, l->dir);
    if (l->zk_hosts[0]) {
        str_printf(&conf, " zk-hosts %s zk-path %s zk-session-ms %lld", l->zk_hosts, l->zk_path,
                   (long long)l->zk_session_ms);
    }
    str_putc(&conf, '\n');
    if (conf.overflow) {
        return xp_fail(err, XP_TOO_LARGE, "redis.conf of %s is too large", l->dir);
    }
    return write_text(path, str_text(&conf), err);
}

/* Another server on the address would answer in place of the child. */
static int check_free(const struct addr *a, struct xp_err *err)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)a->port) };
    int one = 1;
    if (inet_pton(AF_INET, a->host, &in.sin_addr) != 1) {
        return xp_fail(err, XP_INVALID, "keeperMeta.ip: '%s' is not an IPv4 address", a->host);
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    bool is_free = bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0;
    int why = errno;
    close(fd);
    return is_free ? 0 : xp_fail(err, XP_CONFLICT, "%s: %s", ADDR_TEXT(a), strerror(why));
}

/* In the child: only calls that are safe after fork in a process with threads. */
static void become_keeper(const char *program, const char *conf, const char *log, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) { /* it died before it could be told */
        _exit(1);
    }
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0) {
        _exit(1);
    }
    (void)close_range(STDERR_FILENO + 1, ~0U, 0);
    (void)execlp(program, program, conf, (char *)NULL);
    _exit(1);
}

static bool answers(const struct addr *a)
{
    struct rsync_options o = { .addr = *a, .deadline = clock_mono_ms() + 1000 };
    const char *ping[] = { "PING" };
    struct rsync *conn = NULL;
    struct rreply *reply = NULL;
    struct xp_err err;
    bool is_pong = rsync_open(&o, &conn, &err) == 0 &&
                   rsync_command(conn, 1, ping, NULL, &reply, &err) == 0 &&
                   rreply_is(reply, "PONG");
    rreply_free(reply);
    rsync_close(conn);
    return is_pong;
}

static int wait_ready(const struct keeper_launch *l, const char *log, pid_t *pid,
                      struct xp_err *err)
{
    mono_ms limit = clock_mono_ms() + START_LIMIT_MS;
    while (keeper_process_is_running(pid)) {
        if (answers(&l->addr)) {
            return 0;
        }
        if (clock_mono_ms() >= limit) {
            keeper_process_ask_end(*pid);
            keeper_process_wait_end(pid);
            return xp_fail(err, XP_TIMEOUT, "keeper %s does not answer, see %s",
                           ADDR_TEXT(&l->addr), log);
        }
        pause_ms(LOOK_MS);
    }
    return xp_fail(err, XP_IO, "keeper %s ended at its start, see %s", ADDR_TEXT(&l->addr), log);
}

int keeper_process_start(const struct keeper_launch *l, pid_t *ret_pid, struct xp_err *err)
{
    AUTO_FREE char *conf = xasprintf("%s/redis.conf", l->dir);
    AUTO_FREE char *log = xasprintf("%s/keeper.log", l->dir);
    if (mkdir(l->dir, 0755) != 0 && errno != EEXIST) {
        return io_error(err, "cannot make", l->dir);
    }
    int rc = check_free(&l->addr, err);
    rc = rc != 0 ? rc : write_config(l, conf, err);
    if (rc != 0) {
        return rc;
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become_keeper(l->redis_server, conf, log, parent);
    }
    if (pid < 0) {
        return io_error(err, "cannot fork for", l->dir);
    }
    rc = wait_ready(l, log, &pid, err);
    if (rc == 0) {
        *ret_pid = pid;
    }
    return rc;
}

bool keeper_process_is_running(pid_t *pid)
{
    if (*pid != 0 && waitpid(*pid, NULL, WNOHANG) != 0) {
        *pid = 0;
    }
    return *pid != 0;
}

void keeper_process_ask_end(pid_t pid)
{
    if (pid != 0) {
        (void)kill(pid, SIGTERM);
        (void)kill(pid, SIGCONT); /* a frozen one hears it, too */
    }
}

void keeper_process_wait_end(pid_t *pid)
{
    mono_ms limit = clock_mono_ms() + STOP_LIMIT_MS;
    while (keeper_process_is_running(pid)) {
        if (clock_mono_ms() >= limit) {
            (void)kill(*pid, SIGKILL);
            (void)waitpid(*pid, NULL, 0);
            *pid = 0;
            return;
        }
        pause_ms(LOOK_MS);
    }
}
