/* db_queue.h - who writes next: writers wait in one line, and the first of them serves those behind it too.
 *
 * Why: a commit costs a wait for the disk. While one goes on, others gather; the one that comes next commits for all of
 * them with one wait. Not here: transactions (db_pool.c). Knows no SQLite.
 * A ticket lives on the stack of its caller, which does nothing else until it is served. Bounded by the threads that call.
 * Thread: any. */
#ifndef SHARED_DB_DB_QUEUE_H
#define SHARED_DB_DB_QUEUE_H

#include <stdbool.h>

#include "shared/base/list.h"
#include "shared/base/thread.h"

struct db_ticket { /* all private; under the lock of the queue */
    struct list link;
    pthread_cond_t news; /* it became the leader, or was served */
    bool is_leader;
    bool is_served;
};

struct db_queue {
    struct mutex lock;
    struct list waiting XP_GUARDED_BY_MEMBER(lock); /* the first one is the leader's, or will be */
    bool is_led XP_GUARDED_BY_MEMBER(lock);
};

void db_queue_init(struct db_queue *);
void db_queue_done(struct db_queue *); /* nobody may wait */

/* Goes to the end of the line. False: another one served this ticket. True: the caller leads; it takes tickets with
 * db_queue_next (its own comes first) and ends with db_queue_leave. There is one leader at a time. */
bool db_queue_enter(struct db_queue *, struct db_ticket *);
/* The next one in line, now the leader's to serve; NULL when nobody waits. */
struct db_ticket *db_queue_next(struct db_queue *);
/* Lets go of all that the leader took ('served': list of their links), and of the lead: those who came meanwhile go on. */
void db_queue_leave(struct db_queue *, struct list *served);
/* How many stand in the line, without those that the leader took. */
int db_queue_waiting(struct db_queue *);

#endif
