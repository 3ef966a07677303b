/* proxy.h - the stand-in proxy: a TCP forwarder that speaks the +PROXY line, one libev loop, one
 * thread.
 *
 * Differences from the real proxy: no compression (CONTENT is refused), TLS hops are plain TCP,
 * closed tunnels disappear from the statistics at once. Everything is bounded: connections,
 * line, buffers, known endpoints. */
#ifndef TESTS_FAKES_PROXY_PROXY_H
#define TESTS_FAKES_PROXY_PROXY_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/fakes/proxy/proxy_route.h"

enum { CONNS_MAX = 1024, BUFFER_BYTES = 64 * 1024, ADDR_TEXT_MAX = 64, ENDPOINTS_MAX = 64 };

struct conn;

struct traffic {
    int64_t last_ms;
    uint64_t in_bytes;
    uint64_t out_bytes;
    uint64_t in_before; /* at the last sample */
    uint64_t out_before;
    uint64_t in_rate_bytes_s;
    uint64_t out_rate_bytes_s;
};

/* One socket and the bytes waiting to be written to it. */
struct side {
    struct conn *conn;
    int fd; /* -1 none */
    struct ev_io readable;
    struct ev_io writable;
    struct ev_timer delay;
    char remote[ADDR_TEXT_MAX];
    char local[ADDR_TEXT_MAX];
    struct traffic traffic;
    size_t out_len;
    char out[BUFFER_BYTES];
};

enum conn_state {
    CONN_LINE,
    CONN_WAITING /* for nothing or for a ping */,
    CONN_CONNECTING,
    CONN_OPEN
};

/* A frontend connection, and its backend once it is a tunnel. */
struct conn {
    enum conn_state state;
    struct side front;
    struct side back;
    struct proxy_line line;
    int tries;
    struct ev_timer retry; /* next try, or the limit of a connect */
    bool is_ping;          /* the backend is asked +PROXY PING on behalf of the frontend */
    int64_t received_ms;
    int64_t sent_ms;
    size_t in_len;
    char in[16 * 1024]; /* bytes of the frontend until its line is complete */
};

struct proxy {
    struct ev_loop *loop;
    char bind_ip[ADDR_TEXT_MAX];
    int port;
    int listen_fd;
    struct ev_io acceptable;
    FILE *log; /* route lines; NULL: none */
    bool refuse;
    bool hang;
    int64_t delay_ms;
    uint64_t refused_lines;
    uint64_t tunnels_opened;
    struct conn *conns[CONNS_MAX];
};

extern struct proxy proxy;

int64_t proxy_wall_ms(void);
/* Binds 127.0.0.1:port; returns the socket, -1 on failure. */
int proxy_listen(int port);
bool proxy_accept_start(void); /* opens the listening socket and serves it */
void proxy_accept_stop(void);  /* closes it: connections are refused */

/* proxy_tunnel.c */
void conn_new(int fd);
void conn_close(struct conn *c);
int conn_close_all(void); /* returns how many */
/* Queues bytes. False: too many, the connection is closed and freed. */
bool side_send(struct side *s, const char *data, size_t len);
/* Starts a non-blocking connect. Returns the socket, -1 on failure. */
int endpoint_connect(const struct endpoint *e);
void socket_names(int fd, char *local, char *remote);

/* proxy_monitor.c */
/* False: the connection was closed and freed. */
bool monitor_answer(struct conn *c, const char *type);
void monitor_start(void);
/* a proxy that appeared in a route is probed from now on */
void monitor_saw(const struct endpoint *e);

/* proxy_control.c */
bool control_start(int port);

#endif
