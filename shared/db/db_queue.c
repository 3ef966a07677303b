/* db_queue.c - see db_queue.h. */
#include "shared/db/db_queue.h"

#include "shared/base/banned.h"

void db_queue_init(struct db_queue *q) XP_ALONE
{
    mutex_init(&q->lock);
    list_init(&q->waiting);
    q->is_led = false;
}

void db_queue_done(struct db_queue *q) XP_ALONE
{
    xp_check(list_is_empty(&q->waiting) && !q->is_led);
    mutex_done(&q->lock);
}

bool db_queue_enter(struct db_queue *q, struct db_ticket *ticket)
{
    *ticket = (struct db_ticket){ .news = PTHREAD_COND_INITIALIZER };
    mutex_lock(&q->lock);
    list_push_back(&q->waiting, &ticket->link);
    if (!q->is_led) {
        q->is_led = true;
        ticket->is_leader = true;
    }
    while (!ticket->is_leader && !ticket->is_served) {
        xp_check(pthread_cond_wait(&ticket->news, &q->lock.raw) == 0);
    }
    mutex_unlock(&q->lock);
    (void)pthread_cond_destroy(&ticket->news);
    return ticket->is_leader;
}

struct db_ticket *db_queue_next(struct db_queue *q)
{
    mutex_lock(&q->lock);
    struct list *link = list_pop_front(&q->waiting);
    mutex_unlock(&q->lock);
    return link ? LIST_ENTRY(link, struct db_ticket, link) : NULL;
}

/* The next leader first: the disk should not wait for those who only have to answer. */
static void hand_over(struct db_queue *q) XP_REQUIRES(q->lock)
{
    q->is_led = !list_is_empty(&q->waiting);
    if (q->is_led) {
        struct db_ticket *next = LIST_ENTRY(q->waiting.next, struct db_ticket, link);
        next->is_leader = true;
        (void)pthread_cond_signal(&next->news);
    }
}

void db_queue_leave(struct db_queue *q, struct list *served)
{
    struct list *link;
    mutex_lock(&q->lock);
    hand_over(q);
    while ((link = list_pop_front(served)) != NULL) {
        struct db_ticket *ticket = LIST_ENTRY(link, struct db_ticket, link);
        if (!ticket->is_leader) { /* not the leader's own: it is no longer waited for */
            ticket->is_served = true;
            (void)pthread_cond_signal(&ticket->news);
        }
    }
    mutex_unlock(&q->lock);
}

int db_queue_waiting(struct db_queue *q)
{
    int count = 0;
    mutex_lock(&q->lock);
    list_for_each (link, &q->waiting) {
        count++;
    }
    mutex_unlock(&q->lock);
    return count;
}
