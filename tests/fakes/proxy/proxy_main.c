/* proxy_main.c - fake_proxy --port P --control-port P [--log FILE]: start, options, signals.
 * Binds 127.0.0.1 only. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/fakes/proxy/proxy.h"

#include "shared/base/banned.h"

struct proxy proxy = { .bind_ip = "127.0.0.1", .listen_fd = -1 };

int64_t proxy_wall_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int proxy_listen(int port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;

    inet_pton(AF_INET, proxy.bind_ip, &a.sin_addr);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 128) != 0) {
        (void)fprintf(stderr, "fake_proxy: cannot listen on %s:%d: %s\n", proxy.bind_ip, port,
                      strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

static void on_accept(struct ev_loop *loop, struct ev_io *w, int events)
{
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)loop;
    (void)events;
    if (fd >= 0) {
        conn_new(fd);
    }
}

bool proxy_accept_start(void)
{
    proxy.listen_fd = proxy_listen(proxy.port);
    if (proxy.listen_fd < 0) {
        return false;
    }
    ev_io_init(&proxy.acceptable, on_accept, proxy.listen_fd, EV_READ);
    ev_io_start(proxy.loop, &proxy.acceptable);
    return true;
}

void proxy_accept_stop(void)
{
    ev_io_stop(proxy.loop, &proxy.acceptable);
    close(proxy.listen_fd);
    proxy.listen_fd = -1;
}

static int port_of(const char *text)
{
    char *end = NULL;
    long port = strtol(text, &end, 10);

    return end != text && *end == '\0' && port > 0 && port < 65536 ? (int)port : 0;
}

static int read_options(int argc, char **argv, const char **ret_log)
{
    static const struct option options[] = { { "port", required_argument, NULL, 'p' },
                                             { "control-port", required_argument, NULL, 'c' },
                                             { "log", required_argument, NULL, 'l' },
                                             { NULL, 0, NULL, 0 } };
    int control_port = 0;
    int o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (o == 'p') {
            proxy.port = port_of(optarg);
        } else if (o == 'c') {
            control_port = port_of(optarg);
        } else if (o == 'l') {
            *ret_log = optarg;
        } else {
            return 0;
        }
    }
    return proxy.port ? control_port : 0;
}

static void on_signal(struct ev_loop *loop, struct ev_signal *w, int events)
{
    (void)w;
    (void)events;
    ev_break(loop, EVBREAK_ALL);
}

int main(int argc, char **argv)
{
    const char *log = NULL;
    int control_port = read_options(argc, argv, &log);
    struct ev_signal signals[2];

    if (!control_port) {
        (void)fprintf(stderr, "usage: fake_proxy --port PORT --control-port PORT [--log FILE]\n");
        return 2;
    }
    if (log) {
        proxy.log = fopen(log, "ae");
        if (!proxy.log) {
            (void)fprintf(stderr, "fake_proxy: cannot write %s: %s\n", log, strerror(errno));
            return 1;
        }
    }
    srandom((unsigned)(proxy_wall_ms() ^ getpid()));
    proxy.loop = ev_default_loop(0);
    if (!proxy_accept_start() || !control_start(control_port)) {
        return 1;
    }
    monitor_start();
    ev_signal_init(&signals[0], on_signal, SIGTERM);
    ev_signal_init(&signals[1], on_signal, SIGINT);
    ev_signal_start(proxy.loop, &signals[0]);
    ev_signal_start(proxy.loop, &signals[1]);
    ev_run(proxy.loop, 0);
    conn_close_all();
    if (proxy.log) {
        (void)fclose(proxy.log);
    }
    return 0;
}
