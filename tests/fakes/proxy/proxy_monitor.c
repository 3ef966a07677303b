/* proxy_monitor.c - answers to +PROXY MONITOR, and the probing of the proxies that appeared in
 * routes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fakes/proxy/proxy.h"

#include "shared/base/banned.h"

enum { PROBE_FAILED_END = 2147483647, ROWS_PER_ENDPOINT = 3 };

struct probe {
    struct endpoint endpoint;
    int64_t start_ms; /* -1: no result yet */
    int64_t end_ms;
    int64_t asked_ms;
    struct ev_io connected;
    bool under_way;
};

static struct {
    struct probe probes[ENDPOINTS_MAX];
    int count;
    struct ev_timer tick;
} monitor;

static void tunnel_id(const struct conn *c, char *out, size_t size)
{
    (void)snprintf(out, size, "%s-R(%s)-L(%s)->R(%s)-%s",
                   c->line.source[0] ? c->line.source : c->front.remote, c->front.remote,
                   c->back.local, c->back.remote, c->line.final_uri);
}

static void add_tunnel(FILE *out, const struct conn *c, const char *id)
{
    (void)fprintf(
        out,
        "*8\r\n+%s\r\n+Tunnel-Established\r\n:%lld\r\n:%lld\r\n:-1\r\n+Not Yet\r\n+%s\r\n+%s\r\n",
        id, (long long)c->received_ms, (long long)c->sent_ms, c->front.local, c->back.local);
}

static void add_side_traffic(FILE *out, const struct traffic *t)
{
    (void)fprintf(out, "*5\r\n:%lld\r\n:%llu\r\n:%llu\r\n:%llu\r\n:%llu\r\n", (long long)t->last_ms,
                  (unsigned long long)t->in_bytes, (unsigned long long)t->out_bytes,
                  (unsigned long long)t->in_rate_bytes_s, (unsigned long long)t->out_rate_bytes_s);
}

static void add_traffic(FILE *out, const struct conn *c, const char *id)
{
    (void)fprintf(out, "*3\r\n+%s\r\n", id);
    add_side_traffic(out, &c->front.traffic);
    add_side_traffic(out, &c->back.traffic);
}

/* As the real proxy with proxy.monitor.start=false: nothing was ever sampled. */
static void add_socket(FILE *out, const struct conn *c, const char *id)
{
    long long now = (long long)proxy_wall_ms();

    (void)c;
    (void)fprintf(out, "*3\r\n+%s\r\n*2\r\n:%lld\r\n+Empty\r\n*2\r\n:%lld\r\n+Empty\r\n", id, now,
                  now);
}

static void each_tunnel(FILE *out, void (*add)(FILE *, const struct conn *, const char *id))
{
    char id[HOST_MAX_BYTES * 4];
    int count = 0;

    for (int i = 0; i < CONNS_MAX; i++) {
        count += proxy.conns[i] && proxy.conns[i]->state == CONN_OPEN;
    }
    (void)fprintf(out, "*%d\r\n", count);
    for (int i = 0; i < CONNS_MAX; i++) {
        if (proxy.conns[i] && proxy.conns[i]->state == CONN_OPEN) {
            tunnel_id(proxy.conns[i], id, sizeof id);
            add(out, proxy.conns[i], id);
        }
    }
}

static void add_pings(FILE *out)
{
    (void)fprintf(out, "*%d\r\n", monitor.count * ROWS_PER_ENDPOINT);
    for (int i = 0; i < monitor.count * ROWS_PER_ENDPOINT; i++) {
        const struct probe *p = &monitor.probes[i / ROWS_PER_ENDPOINT];
        (void)fprintf(out, "*4\r\n:%lld\r\n:%lld\r\n+%s:%d\r\n+%s:%d\r\n", (long long)p->start_ms,
                      (long long)p->end_ms, p->endpoint.host, p->endpoint.port, p->endpoint.host,
                      p->endpoint.port);
    }
}

bool monitor_answer(struct conn *c, const char *type)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    bool alive;

    if (!out) {
        abort();
    }
    if (strcasecmp(type, "TunnelStats") == 0) {
        each_tunnel(out, add_tunnel);
    } else if (strcasecmp(type, "TrafficStats") == 0) {
        each_tunnel(out, add_traffic);
    } else if (strcasecmp(type, "SocketStats") == 0) {
        each_tunnel(out, add_socket);
    } else if (strcasecmp(type, "PingStats") == 0) {
        add_pings(out);
    }
    (void)fclose(out);
    alive = len == 0 || side_send(&c->front, text, len); /* an unknown type gets no answer at all */
    free(text);
    return alive;
}

void monitor_saw(const struct endpoint *e)
{
    for (int i = 0; i < monitor.count; i++) {
        const struct endpoint *known = &monitor.probes[i].endpoint;
        if (known->port == e->port && strcasecmp(known->host, e->host) == 0) {
            return;
        }
    }
    if (monitor.count < ENDPOINTS_MAX) {
        monitor.probes[monitor.count++] =
            (struct probe){ .endpoint = *e, .start_ms = -1, .end_ms = -1, .under_way = false };
    }
}

static void finish_probe(struct probe *p, bool ok)
{
    p->start_ms = p->asked_ms;
    p->end_ms = ok ? proxy_wall_ms() : PROBE_FAILED_END;
    p->under_way = false;
}

static void on_probe(struct ev_loop *loop, struct ev_io *w, int events)
{
    struct probe *p = w->data;
    int error = 0;
    socklen_t len = sizeof error;

    (void)events;
    ev_io_stop(loop, w);
    getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    close(w->fd);
    finish_probe(p, error == 0);
}

/* A probe that is still under way after a whole second counts as failed. */
static void start_probe(struct probe *p)
{
    int fd;

    if (p->under_way) {
        ev_io_stop(proxy.loop, &p->connected);
        close(p->connected.fd);
        finish_probe(p, false);
    }
    p->asked_ms = proxy_wall_ms();
    fd = endpoint_connect(&p->endpoint);
    if (fd < 0) {
        finish_probe(p, false);
        return;
    }
    p->under_way = true;
    ev_io_init(&p->connected, on_probe, fd, EV_WRITE);
    p->connected.data = p;
    ev_io_start(proxy.loop, &p->connected);
}

static void sample(struct traffic *t)
{
    t->in_rate_bytes_s = t->in_bytes - t->in_before;
    t->out_rate_bytes_s = t->out_bytes - t->out_before;
    t->in_before = t->in_bytes;
    t->out_before = t->out_bytes;
}

static void on_tick(struct ev_loop *loop, struct ev_timer *t, int events)
{
    (void)loop;
    (void)t;
    (void)events;
    for (int i = 0; i < CONNS_MAX; i++) {
        if (proxy.conns[i]) {
            sample(&proxy.conns[i]->front.traffic);
            sample(&proxy.conns[i]->back.traffic);
        }
    }
    for (int i = 0; i < monitor.count; i++) {
        start_probe(&monitor.probes[i]);
    }
}

void monitor_start(void)
{
    ev_timer_init(&monitor.tick, on_tick, 1.0, 1.0);
    ev_timer_start(proxy.loop, &monitor.tick);
}
