/* zk_fixture.h - a real ZooKeeper for unit tests, and a wire to it that can be cut.
 *
 * Static functions for the test that includes it. One standalone server on a free port of 127.0.0.1 with its data in
 * a temporary folder; short ticks, so that sessions from 400 ms are granted. A wire forwards a second port to the
 * server by a thread of its own; cut, it swallows every byte: the client is partitioned. */
#ifndef TESTS_UNIT_ZK_FIXTURE_H
#define TESTS_UNIT_ZK_FIXTURE_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "shared/net/loop.h"
#include "tests/unit/reserved_port.h"
#include "tests/unit/stretch.h"
#include "tests/unit/unit.h"

#define ZK_FIXTURE_START_LIMIT_MS 30000
#define ZK_FIXTURE_JAR            "/usr/share/java/zookeeper.jar"
#define WIRE_LINKS_MAX            16

struct zk_fixture {
    pid_t pid;
    int port;
    char folder[64];
    char hosts[32];
};

static int fixture_listen(int *ret_port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&at, &length), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static int fixture_connect(int port)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)(void *)&at, sizeof(at)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* True when the server answers the four letter word. */
static bool zk_fixture_is_up(int port)
{
    char answer[8] = { 0 };
    int fd = fixture_connect(port);
    if (fd < 0) {
        return false;
    }
    struct timeval limit = { .tv_sec = 1 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    bool up =
        write(fd, "srvr", 4) == 4 && read(fd, answer, 7) > 0 && strncmp(answer, "Zookeep", 7) == 0;
    close(fd);
    return up;
}

static void zk_fixture_spawn(struct zk_fixture *z)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/zoo.cfg", z->folder);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fprintf(f,
            "tickTime=100\ndataDir=%s/data\nclientPort=%d\nclientPortAddress=127.0.0.1\n"
            "minSessionTimeout=400\nmaxSessionTimeout=60000\nadmin.enableServer=false\n"
            "maxClientCnxns=0\n4lw.commands.whitelist=*\n",
            z->folder, z->port);
    fclose(f);
    z->pid = fork();
    assert_true(z->pid >= 0);
    if (z->pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execlp("java", "java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx96m",
               "-Dzookeeper.jmx.log4j.disable=true", "-cp", ZK_FIXTURE_JAR,
               "org.apache.zookeeper.server.ZooKeeperServerMain", path, (char *)NULL);
        _exit(127);
    }
}

static void zk_fixture_start(struct zk_fixture *z)
{
    z->port = reserved_port();
    snprintf(z->folder, sizeof(z->folder), "/tmp/xpipe-zk-XXXXXX");
    assert_non_null(mkdtemp(z->folder));
    snprintf(z->hosts, sizeof(z->hosts), "127.0.0.1:%d", z->port);
    zk_fixture_spawn(z);
    struct stretch s = stretch_begin();
    while (!zk_fixture_is_up(z->port)) {
        assert_lasted(&s, 0, ZK_FIXTURE_START_LIMIT_MS);
        assert_int_equal(waitpid(z->pid, NULL, WNOHANG), 0);
        poll(NULL, 0, 20);
    }
}

/* SIGSTOP, and not back before every thread stands: a reply that is on its way out would spoil what the test shows. */
static inline void zk_fixture_pause(struct zk_fixture *z)
{
    int status;
    kill(z->pid, SIGSTOP);
    assert_int_equal(waitpid(z->pid, &status, WUNTRACED), z->pid);
    assert_true(WIFSTOPPED(status));
}

static inline void zk_fixture_resume(struct zk_fixture *z)
{
    kill(z->pid, SIGCONT);
}

static void zk_fixture_stop(struct zk_fixture *z)
{
    char *const rm[] = { (char *)(uintptr_t) "rm", (char *)(uintptr_t) "-rf", z->folder, NULL };
    kill(z->pid, SIGKILL);
    waitpid(z->pid, NULL, 0);
    pid_t pid = fork();
    if (pid == 0) {
        execvp("rm", rm);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}

/* One for all tests of a group. */
static struct zk_fixture server;

static inline int zk_up(void **state)
{
    (void)state;
    zk_fixture_start(&server);
    return 0;
}

static inline int zk_down(void **state)
{
    (void)state;
    zk_fixture_stop(&server);
    return 0;
}

/* ---- wire ---- */

struct wire {
    int listener;
    int port;
    int server_port;
    atomic_bool is_cut;
    atomic_bool is_over;
    pthread_t thread;
    char hosts[32];
    int ends[WIRE_LINKS_MAX][2];
    int link_count;
};

static void wire_close_link(struct wire *w, int link)
{
    close(w->ends[link][0]);
    close(w->ends[link][1]);
    w->link_count--;
    memmove(w->ends[link], w->ends[w->link_count], sizeof(w->ends[0]));
}

static void wire_accept(struct wire *w)
{
    int client = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC);
    int upstream = atomic_load(&w->is_cut) || w->link_count == WIRE_LINKS_MAX
                       ? -1
                       : fixture_connect(w->server_port);
    if (client < 0 || upstream < 0) {
        close(client);
        close(upstream);
        return;
    }
    w->ends[w->link_count][0] = client;
    w->ends[w->link_count][1] = upstream;
    w->link_count++;
}

/* False when the link is over. A cut wire swallows the bytes and hides the end. */
static bool wire_forward(struct wire *w, int from, int to)
{
    char bytes[4096];
    ssize_t n = read(from, bytes, sizeof(bytes));
    if (atomic_load(&w->is_cut)) {
        return n > 0;
    }
    return n > 0 && write(to, bytes, (size_t)n) == n;
}

static void *wire_run(void *arg)
{
    struct wire *w = arg;
    while (!atomic_load(&w->is_over)) {
        struct pollfd fds[1 + 2 * WIRE_LINKS_MAX] = { { .fd = w->listener, .events = POLLIN } };
        int links = w->link_count;
        for (int i = 0; i < links * 2; i++) {
            fds[1 + i] = (struct pollfd){ .fd = w->ends[i / 2][i % 2], .events = POLLIN };
        }
        poll(fds, (nfds_t)(1 + links * 2), 10);
        for (int i = links - 1; i >= 0; i--) {
            bool ok = true;
            for (int side = 0; side < 2 && ok; side++) {
                ok = !fds[1 + i * 2 + side].revents ||
                     wire_forward(w, w->ends[i][side], w->ends[i][1 - side]);
            }
            if (!ok) {
                wire_close_link(w, i);
            }
        }
        if (fds[0].revents) {
            wire_accept(w);
        }
    }
    while (w->link_count > 0) {
        wire_close_link(w, 0);
    }
    close(w->listener);
    return NULL;
}

static void wire_start(struct wire *w, const struct zk_fixture *z)
{
    memset(w, 0, sizeof(*w));
    w->listener = fixture_listen(&w->port);
    w->server_port = z->port;
    snprintf(w->hosts, sizeof(w->hosts), "127.0.0.1:%d", w->port);
    assert_int_equal(pthread_create(&w->thread, NULL, wire_run, w), 0);
}

static void wire_stop(struct wire *w)
{
    atomic_store(&w->is_over, true);
    pthread_join(w->thread, NULL);
}

/* ---- waiting on a loop ---- */

struct waiter {
    struct loop_timer tick;
    struct loop *loop;
    bool (*is_true)(void *arg);
    void *arg;
    mono_ms limit;
    bool ok;
};

static void waiter_tick(struct loop_timer *t)
{
    struct waiter *w = CONTAINER_OF(t, struct waiter, tick);
    w->ok = w->is_true(w->arg);
    if (w->ok || clock_mono_ms() >= w->limit) {
        loop_stop(w->loop);
    } else {
        loop_timer_start(t, 2);
    }
}

/* Runs the loop until the condition holds; returns how long it took, or -1 at the limit. */
static int64_t wait_on_loop(struct loop *loop, bool (*is_true)(void *arg), void *arg,
                            int64_t limit_ms)
{
    mono_ms begin = clock_mono_ms();
    struct waiter w = { .loop = loop, .is_true = is_true, .arg = arg, .limit = begin + limit_ms };
    loop_timer_init(&w.tick, loop, waiter_tick);
    loop_timer_start(&w.tick, 0);
    loop_run(loop);
    loop_timer_stop(&w.tick);
    return w.ok ? clock_mono_ms() - begin : -1;
}

#endif
