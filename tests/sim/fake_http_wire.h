/* fake_http_wire.h - what the files of the simulated HTTP share: one exchange of a request and its answer.
 *
 * fake_http.c moves it, fake_http_client.c begins it, fake_http_server.c answers it. It lives until the client knows the
 * outcome (or does not wait any more) and the server has answered it (or is gone). Nobody else includes this. */
#ifndef TESTS_SIM_FAKE_HTTP_WIRE_H
#define TESTS_SIM_FAKE_HTTP_WIRE_H

#include "shared/base/blob.h"
#include "shared/base/list.h"
#include "shared/net/http_attempt.h"
#include "tests/sim/fake_http.h"

struct http_server;

struct exchange {
    struct list link;
    struct loop_timer packet; /* on its way, to the server or back */
    struct loop_timer limit;  /* of the client: for connecting, or for everything */
    struct loop *client;      /* NULL: nobody waits any more */
    uint64_t client_id;
    void (*ended)(struct exchange *); /* rc, err and reply are set */
    void *arg;                        /* of the client */
    struct addr server;
    /* request; owned */
    char *method;
    char *target;
    char *body; /* NULL: none */
    size_t body_length;
    char *headers[16];
    size_t header_count;
    size_t max_reply_bytes;
    const char *kept_header; /* borrowed, static; NULL: none */
    struct http_req *req;    /* while it is with a server */
    /* answer on its way, then the outcome */
    bool is_reset;
    struct blob *reply_body;
    int rc;
    struct xp_err err;
    struct http_reply reply;
};

/* Copies the call and sends it; 'ended' runs once unless http_exchange_leave comes first. */
struct exchange *http_exchange_begin(struct loop *client, const struct http_call *,
                                     int64_t timeout_ms, void (*ended)(struct exchange *));
/* The client does not wait any more; the request goes on. */
void http_exchange_leave(struct exchange *);

/* The server's side. 'x->reply' and 'x->reply_body' are set, or is_reset. */
void http_exchange_answer(struct exchange *, const struct loop *server);

/* fake_http_server.c */
struct http_server *fake_server_at(const struct addr *); /* NULL: nobody listens */
struct loop *fake_server_loop(const struct http_server *);
void fake_server_receive(struct http_server *, struct exchange *);
bool fake_servers_are_gone(void);

#endif
