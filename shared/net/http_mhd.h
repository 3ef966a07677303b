/* http_mhd.h - what the two files of the libmicrohttpd transport share; nobody else includes it.
 *
 * Lock: server->lock guards 'conns'; shutdown(2) is called under it, so that the connection cannot go away in between; no
 * callback of MHD takes it while MHD holds a lock. */
#ifndef SHARED_NET_HTTP_MHD_H
#define SHARED_NET_HTTP_MHD_H

#include <microhttpd.h>

#include "shared/net/http_impl.h"

/* Connections beyond the limit that are taken to be told so. */
#define HTTP_CONNECTIONS_SPARE 64

struct http_conn {    /* one TCP connection; owner: HTTP thread */
    struct list link; /* in conns */
    int fd;
    mono_ms cut_at;      /* atomic: by then a whole header, or a whole body, has arrived */
    mono_ms waits_since; /* lock held: for the header of its next request; MONO_FOREVER: has one */
    int is_idle;         /* atomic: its last request is answered and no other has begun */
    bool is_over_limit;  /* its request is answered 503 */
};

struct http_mhd { /* server->wire */
    struct MHD_Daemon *daemon;
    MHD_socket listener; /* main, while stopping */
    struct list conns;   /* lock held; struct http_conn.link, in the order of waits_since */
    int conn_count;      /* lock held */
};

static inline struct http_mhd *wire_of(const struct http_server *server)
{
    return server->wire;
}

/* http_receive.c: the callbacks of MHD. */
void *http_on_uri(void *cls, const char *uri, struct MHD_Connection *conn);
enum MHD_Result http_on_access(void *cls, struct MHD_Connection *, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *data_size, void **req);
void http_on_completed(void *cls, struct MHD_Connection *, void **req,
                       enum MHD_RequestTerminationCode);
void http_on_connection(void *cls, struct MHD_Connection *, void **context,
                        enum MHD_ConnectionNotificationCode);
/* Main, at the stop: a connection is new or in the middle of a request. */
bool http_is_receiving(struct http_server *);

#endif
