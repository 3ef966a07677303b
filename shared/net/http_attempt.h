/* http_attempt.h - one attempt of a call: sent once, answered or not. Over libcurl; its simulated twin is
 * tests/sim/fake_http_client.c. Private to http_client.c. Thread: a worker, blocking. */
#ifndef SHARED_NET_HTTP_ATTEMPT_H
#define SHARED_NET_HTTP_ATTEMPT_H

#include "shared/net/http_client.h"

/* Before other threads start; again is fine. */
void http_attempt_init(void);
/* At most timeout_ms, whatever the call says of its whole time. Errors as http_call. */
int http_attempt(const struct http_call *, int64_t timeout_ms, struct http_reply *ret_reply,
                 struct xp_err *) XP_MUST_CHECK;
void http_pause(int64_t ms); /* before the next attempt */

#endif
