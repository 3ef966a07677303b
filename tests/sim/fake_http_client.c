/* fake_http_client.c - the client's ends of an exchange: a worker that waits (http_attempt.h), and calls from outside. Defines
 * every function of http_attempt.c, so that neither it nor libcurl is linked. */
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/thread.h"
#include "tests/sim/fake_http_wire.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_worker.h"

#include "shared/base/banned.h"

/* ---- http_attempt.h ---- */

struct attempt {
    struct fake_wait wait;
    int rc;
    struct http_reply *reply;
    struct xp_err *err;
};

static void attempt_ended(struct exchange *x)
{
    struct attempt *a = x->arg;
    a->rc = x->rc;
    if (x->rc == 0) {
        *a->reply = x->reply;
        x->reply = (struct http_reply){ 0 };
    } else if (a->err) {
        *a->err = x->err;
    }
    http_exchange_leave(x);
    fake_worker_wake(&a->wait);
}

void http_attempt_init(void)
{
}

int http_attempt(const struct http_call *call, int64_t timeout_ms, struct http_reply *ret_reply,
                 struct xp_err *err)
{
    struct attempt a = { .reply = ret_reply, .err = err };
    struct exchange *x = http_exchange_begin(fake_loop_current(), call, timeout_ms, attempt_ended);
    x->arg = &a;
    if (fake_worker_wait(&a.wait)) {
        return a.rc;
    }
    http_exchange_leave(x);
    return xp_fail(err, XP_TIMEOUT, "%s %s: the daemon stopped before the answer", call->method,
                   call->url);
}

struct nap {
    struct loop_timer timer;
    struct fake_wait wait;
};

static void nap_over(struct loop_timer *t)
{
    fake_worker_wake(&CONTAINER_OF(t, struct nap, timer)->wait);
}

void http_pause(int64_t ms)
{
    struct nap nap = { 0 };
    loop_timer_init(&nap.timer, fake_loop_current(), nap_over);
    loop_timer_start(&nap.timer, ms);
    if (!fake_worker_wait(&nap.wait)) {
        loop_timer_stop(&nap.timer);
    }
}

/* ---- fake_http.h ---- */

struct outside_call {
    fake_http_done_fn *done;
    void *arg;
};

static void outside_ended(struct exchange *x)
{
    AUTO_FREE struct outside_call *call = x->arg;
    if (call->done) {
        call->done(x->rc, x->rc == 0 ? x->reply.status : 0, x->rc == 0 ? x->reply.body : "",
                   call->arg);
    }
    http_exchange_leave(x);
}

void fake_http_request(struct loop *loop, const char *method, const char *url, const char *body,
                       int64_t timeout_ms, fake_http_done_fn *done, void *arg)
{
    struct http_call call = { .method = method,
                              .url = url,
                              .body = body,
                              .body_length = body ? strlen(body) : 0,
                              .connect_timeout_ms = timeout_ms,
                              .timeout_ms = timeout_ms,
                              .max_reply_bytes = SIZE_MAX };
    struct outside_call *outside = xcalloc(1, sizeof(*outside));
    *outside = (struct outside_call){ done, arg };
    http_exchange_begin(loop, &call, timeout_ms, outside_ended)->arg = outside;
}
