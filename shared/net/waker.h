/* waker.h - "look again", said by any thread to one listener on a loop: however often it is said before the loop comes to it, the
 * listener is called once; what was written before waker_wake() is seen by the call. It carries no data.
 *
 * Ownership: of who made it, until waker_close(). Threads: waker_wake() from any, as long as the waker is open; the rest on the
 * loop's thread. Errors: none, at most one message is under way. */
#ifndef SHARED_NET_WAKER_H
#define SHARED_NET_WAKER_H

#include "shared/net/loop.h"

struct waker;
typedef void waker_fn(void *arg);

struct waker *waker_new(struct loop *, waker_fn *, void *arg);
void waker_wake(struct waker *);
void waker_close(struct waker *); /* no call any more, also for what is under way */

#endif
