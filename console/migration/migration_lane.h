/* migration_lane.h - who is next for one DC's metaserver: so many requests of migrations at the same time, the pressing ones first.
 *
 * A lane sends nothing and knows no HTTP: it says when. A request enters with its kind; 'go' is called when it is its turn, perhaps at once,
 * inside lane_enter; whoever went leaves when it is answered. So the time-out of a request begins when it is really sent, and the wait for it has
 * a limit of its own: 'expired' is called instead of 'go' then. First in, first out within a kind; a kind may use a part of the lane only, so
 * that however many DCs are slow to follow, or clusters are checked, writes that are refused never wait for them.
 * Owner: loop. */
#ifndef CONSOLE_MIGRATION_MIGRATION_LANE_H
#define CONSOLE_MIGRATION_MIGRATION_LANE_H

#include "shared/base/list.h"
#include "shared/net/loop.h"

enum lane_kind {
    LANE_OUTAGE, /* writes are refused until it is answered; may use the whole lane */
    LANE_FENCE,  /* with it they begin to be */
    LANE_CHECK,
    LANE_FOLLOW,
    LANE_KINDS,
};

struct lane_ticket { /* part of a request; the lane's from lane_enter to 'go' or 'expired' */
    enum lane_kind kind;
    void (*go)(struct lane_ticket *);
    void (*expired)(struct lane_ticket *); /* it is not in the lane any more */
    struct list link;                      /* private, as the rest */
    mono_ms entered_at;
    mono_ms limit;
};

struct lane;

struct lane *lane_new(struct loop *, int places);
/* Nobody goes any more: those that wait are 'expired', and whoever enters from now on. */
void lane_close(struct lane *);
/* Closes it. Of those that went none may leave any more. NULL is fine. */
void lane_free(struct lane *);
/* 'wait_ms': the limit of the wait. */
void lane_enter(struct lane *, struct lane_ticket *, int64_t wait_ms);
/* Of one that went, of that kind: its place is free. */
void lane_leave(struct lane *, enum lane_kind kind);
/* How long it has waited, or did. */
int64_t lane_waited_ms(const struct lane_ticket *);

#endif
