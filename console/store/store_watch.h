/* store_watch.h - asks again and again whether the database can be written, so that /ready, /health and the log tell it
 * when nobody writes, and so that they tell the end of it.
 *
 * Looking costs three stat(2) while all is well; after a failure each look also commits something without a meaning.
 * Not here: what counts as a problem (shared/db/db.h).
 * Owner: loop. */
#ifndef CONSOLE_STORE_STORE_WATCH_H
#define CONSOLE_STORE_STORE_WATCH_H

#include "console/store/store.h"
#include "shared/net/loop.h"
#include "shared/net/worker.h"

struct store_watch;

/* Borrows all three until store_watch_free. Looks every 'period_ms'. */
struct store_watch *store_watch_new(struct loop *, struct worker_pool *, struct store *,
                                    int64_t period_ms);
void store_watch_stop(struct store_watch *); /* no further look begins */
void store_watch_free(struct store_watch *); /* after the pool is gone; NULL is fine */

#endif
