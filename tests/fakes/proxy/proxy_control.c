/* proxy_control.c - the control port: one command per line, one answer per line.
 *
 *   refuse on|off   close (reopen) the listening socket
 *   hang on|off     accept, then stay silent
 *   cut             close every connection now; "OK <count>"
 *   delay MS        hold back every chunk that long
 *   status          "OK port=P tunnels=N opened=N refused_lines=N" */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fakes/proxy/proxy.h"

#include "shared/base/banned.h"

enum { CONTROLLERS_MAX = 16, DELAY_MAX_MS = 60000 };

struct controller {
    int fd; /* 0: free slot */
    struct ev_io readable;
    size_t len;
    char in[256];
};

static struct {
    struct controller controllers[CONTROLLERS_MAX];
    struct ev_io acceptable;
} control;

static void end(struct controller *c)
{
    ev_io_stop(proxy.loop, &c->readable);
    close(c->fd);
    c->fd = 0;
}

static bool refuse(bool on)
{
    if (on == proxy.refuse) {
        return true;
    }
    proxy.refuse = on;
    if (on) {
        proxy_accept_stop();
        return true;
    }
    return proxy_accept_start();
}

static bool set_delay(const char *text)
{
    char *rest = NULL;
    long ms = strtol(text, &rest, 10);

    if (rest == text || *rest != '\0' || ms < 0 || ms > DELAY_MAX_MS) {
        return false;
    }
    proxy.delay_ms = ms;
    return true;
}

static void status(char *out, size_t size)
{
    int tunnels = 0;

    for (int i = 0; i < CONNS_MAX; i++) {
        tunnels += proxy.conns[i] && proxy.conns[i]->state == CONN_OPEN;
    }
    (void)snprintf(out, size, "OK port=%d tunnels=%d opened=%llu refused_lines=%llu\n", proxy.port,
                   tunnels, (unsigned long long)proxy.tunnels_opened,
                   (unsigned long long)proxy.refused_lines);
}

static void run(const char *line, char *out, size_t size)
{
    bool ok = true;

    (void)snprintf(out, size, "OK\n");
    if (strncmp(line, "refuse ", 7) == 0) {
        ok = refuse(strcmp(line + 7, "on") == 0);
    } else if (strncmp(line, "hang ", 5) == 0) {
        proxy.hang = strcmp(line + 5, "on") == 0;
    } else if (strcmp(line, "cut") == 0) {
        (void)snprintf(out, size, "OK %d\n", conn_close_all());
    } else if (strncmp(line, "delay ", 6) == 0) {
        ok = set_delay(line + 6);
    } else if (strcmp(line, "status") == 0) {
        status(out, size);
    } else {
        ok = false;
    }
    if (!ok) {
        (void)snprintf(out, size, "ERROR cannot do: %.100s\n", line);
    }
}

static void on_control(struct ev_loop *loop, struct ev_io *w, int events)
{
    struct controller *c = w->data;
    char out[256];
    char *newline;
    ssize_t n = recv(c->fd, c->in + c->len, sizeof c->in - 1 - c->len, 0);

    (void)loop;
    (void)events;
    if (n <= 0) {
        end(c);
        return;
    }
    c->len += (size_t)n;
    c->in[c->len] = '\0';
    while ((newline = strchr(c->in, '\n')) != NULL) {
        *newline = '\0';
        c->in[strcspn(c->in, "\r")] = '\0';
        run(c->in, out, sizeof out);
        if (send(c->fd, out, strlen(out), MSG_NOSIGNAL) < 0) {
            end(c);
            return;
        }
        c->len -= (size_t)(newline + 1 - c->in);
        memmove(c->in, newline + 1, c->len + 1);
    }
    if (c->len == sizeof c->in - 1) {
        end(c); /* no command is that long */
    }
}

static struct controller *free_slot(void)
{
    for (int i = 0; i < CONTROLLERS_MAX; i++) {
        if (!control.controllers[i].fd) {
            return &control.controllers[i];
        }
    }
    return NULL;
}

static void on_accept(struct ev_loop *loop, struct ev_io *w, int events)
{
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC);
    struct controller *c = free_slot();

    (void)events;
    if (fd < 0) {
        return;
    }
    if (!c) {
        close(fd);
        return;
    }
    c->fd = fd;
    c->len = 0;
    ev_io_init(&c->readable, on_control, fd, EV_READ);
    c->readable.data = c;
    ev_io_start(loop, &c->readable);
}

bool control_start(int port)
{
    int fd = proxy_listen(port);

    if (fd < 0) {
        return false;
    }
    ev_io_init(&control.acceptable, on_accept, fd, EV_READ);
    ev_io_start(proxy.loop, &control.acceptable);
    return true;
}
