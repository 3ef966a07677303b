/* fake_http.h - the simulated transport of HTTP: daemons that call each other in virtual time.
 *
 * Everything above the transport is the real code: http_server.c, http_admit.c, http_answer.c, http_reply.c (routes, limits,
 * refusals, handlers on the loop or a worker, time-outs, ETags) and http_client.c (retries, queue); see http_impl.h and
 * http_attempt.h. Not here: sockets, parsing of bytes, slow bodies (the integration tests have those).
 * A server answers at its bind_ip:port, "0.0.0.0" at every host that nobody else has; URLs need a numeric host.
 * The request travels to the server and the answer back, each with a latency of its own, so that two calls may overtake
 * each other. What is on the wire arrives even when its sender crashes. A frozen process takes what arrived when it thaws.
 * A server that is gone refuses, one that goes away resets (XP_IO both, after the way back). What a crashed loop
 * (fake_loop_crash) sends never arrives. Thread: one at a time. */
#ifndef TESTS_SIM_FAKE_HTTP_H
#define TESTS_SIM_FAKE_HTTP_H

#include "shared/base/addr.h"
#include "shared/net/http_client.h"
#include "shared/net/http_server.h"

enum fake_http_mode {
    FAKE_HTTP_UP,
    FAKE_HTTP_REFUSES,     /* nobody listens: XP_IO after the way there and back */
    FAKE_HTTP_UNREACHABLE, /* packets towards the server vanish: XP_IO after the connect time-out */
    FAKE_HTTP_REPLY_LOST,  /* packets back vanish: carried out, the caller gets XP_TIMEOUT */
    FAKE_HTTP_CUT,         /* both */
};

#define FAKE_HTTP_LATENCY_MS 1 /* one way, when no function is set */

/* Forgets modes, services, the latency function and what is on the wire. No server and no call that somebody waits for may
 * exist. Before fake_clock_set, which frees the network's loop. */
void fake_http_reset(void);
/* How 'server' behaves towards calls of 'client' (NULL: of every loop without a rule of its own). A server that nobody
 * started refuses anyway. Takes effect for packets that are sent from now on. */
void fake_http_set(const struct loop *client, const struct addr *server, enum fake_http_mode);
/* One way, asked for each packet. NULL: FAKE_HTTP_LATENCY_MS. */
typedef int64_t fake_http_latency_fn(const struct loop *client, const struct addr *server,
                                     void *arg);
void fake_http_set_latency(fake_http_latency_fn *, void *arg);

/* A scripted server, such as a console that is only a model. Runs when the request arrives; fills the reply
 * (status, owned body and etag). NULL removes it. */
typedef void fake_http_service_fn(const char *method, const char *target, const char *body,
                                  size_t length, const char *if_none_match,
                                  struct http_reply *ret_reply, void *arg);
void fake_http_serve(const struct addr *, fake_http_service_fn *, void *arg);
/* Inside a service: who sent the request; perhaps dead: compare it only. */
const struct loop *fake_http_origin(void);

/* A call from outside all daemons (a console that pushes, a test); 'loop' is its sender, for modes, freezing and crashes.
 * 'done' runs there when the answer arrives or the time is over, with the same rc as http_call; may be NULL. No retries. */
typedef void fake_http_done_fn(int rc, int status, const char *body, void *arg);
void fake_http_request(struct loop *, const char *method, const char *url, const char *body,
                       int64_t timeout_ms, fake_http_done_fn *, void *arg);

#endif
