/* fake_http.h - the simulated twins of http_client.h and http_server.h: daemons that call each other in virtual time.
 *
 * Server: http_server_start registers bind_ip:port; a request goes through the real route table (http_route.h), on_request,
 * the daemon's own handler on its loop or its worker pool, on_error and the handler's time-out, as in http_*.c.
 * Client: http_call blocks its worker in virtual time (fake_worker.h), http_send does not; time-outs, retries, ETags and
 * limits are those of http_client.c. Not here: sockets, header parsing, slow bodies (the integration tests have those).
 * A call travels to the server and its answer back, each with a latency of its own, so that two calls may overtake each
 * other. What a crashed loop (fake_loop_crash) sends never arrives; a frozen one does not answer. Thread: one at a time. */
#ifndef TESTS_SIM_FAKE_HTTP_H
#define TESTS_SIM_FAKE_HTTP_H

#include "shared/base/addr.h"
#include "shared/net/http_client.h"
#include "shared/net/http_server.h"

enum fake_http_mode {
    FAKE_HTTP_UP,
    FAKE_HTTP_REFUSES,     /* nobody listens: XP_IO at once */
    FAKE_HTTP_UNREACHABLE, /* packets towards the server vanish: XP_IO after the connect time-out */
    FAKE_HTTP_REPLY_LOST,  /* packets back vanish: carried out, the caller gets XP_TIMEOUT */
};

#define FAKE_HTTP_LATENCY_MS 1 /* one way, when no function is set */

/* Forgets modes, services and the latency function. No server, client or call may exist. */
void fake_http_reset(void);
/* How 'server' behaves towards calls of 'client' (NULL: of every loop without a rule of its own). A server that nobody
 * started refuses anyway. Takes effect for packets that are sent from now on. */
void fake_http_set(const struct loop *client, const struct addr *server, enum fake_http_mode);
/* One way, asked for each packet; 'client' is NULL for calls of a service. NULL: FAKE_HTTP_LATENCY_MS. */
typedef int64_t fake_http_latency_fn(const struct loop *client, const struct addr *server,
                                     void *arg);
void fake_http_set_latency(fake_http_latency_fn *, void *arg);

/* A scripted server, such as a console that is only a model. Runs when the request arrives; fills the reply
 * (status, owned body and etag). NULL removes it. */
typedef void fake_http_service_fn(const char *method, const char *target, const char *body,
                                  size_t length, const char *if_none_match,
                                  struct http_reply *ret_reply, void *arg);
void fake_http_serve(const struct addr *, fake_http_service_fn *, void *arg);

/* A call from outside all daemons (a console that pushes, a test). 'done' runs when the answer arrives or the time is
 * over, with the same rc as http_call; may be NULL. The timers run on 'loop'. */
typedef void fake_http_done_fn(int rc, int status, const char *body, void *arg);
void fake_http_request(struct loop *, const char *method, const char *url, const char *body,
                       int64_t timeout_ms, fake_http_done_fn *, void *arg);

#endif
