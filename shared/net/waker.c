/* waker.c - see waker.h. A waker outlives waker_close() while its message is under way. */
#include "shared/net/waker.h"

#include <stdbool.h>

#include "shared/base/list.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

struct waker {
    struct loop_msg msg;
    struct loop *loop;
    waker_fn *fn; /* owner: loop; NULL once it is closed */
    void *arg;
    int is_posted; /* atomic: the message is under way */
    int refs;      /* atomic: the owner, the message under way */
};

static void waker_unref(struct waker *w)
{
    if (__atomic_sub_fetch(&w->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        free(w);
    }
}

static void wake_delivered(struct loop_msg *msg)
{
    struct waker *w = CONTAINER_OF(msg, struct waker, msg);
    __atomic_store_n(&w->is_posted, 0, __ATOMIC_RELEASE); /* from here on it may be posted again */
    if (w->fn) {
        w->fn(w->arg);
    }
    waker_unref(w);
}

static void wake_dropped(struct loop_msg *msg)
{
    waker_unref(CONTAINER_OF(msg, struct waker, msg));
}

struct waker *waker_new(struct loop *loop, waker_fn *fn, void *arg)
{
    struct waker *w = xcalloc(1, sizeof(*w));
    w->msg = (struct loop_msg){ .deliver = wake_delivered, .drop = wake_dropped };
    w->loop = loop;
    w->fn = fn;
    w->arg = arg;
    w->refs = 1;
    return w;
}

void waker_wake(struct waker *w)
{
    if (__atomic_exchange_n(&w->is_posted, 1, __ATOMIC_ACQ_REL) == 0) {
        (void)__atomic_add_fetch(&w->refs, 1, __ATOMIC_RELAXED);
        loop_post_reserved(w->loop, &w->msg); /* at most one at a time */
    }
}

void waker_close(struct waker *w)
{
    if (w) {
        w->fn = NULL;
        waker_unref(w);
    }
}
