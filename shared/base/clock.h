/* clock.h - two kinds of time that never mix.
 *
 * mono_ms: for deadlines, ages and leases; starts anywhere, never jumps. wall_ms: unix time, for
 * logs, the database and people. Never subtract one from the other. Code that decides takes
 * `mono_ms now` as a parameter and calls nothing of this file; the simulation replaces both
 * functions at link time.
 * Thread: any. */
#ifndef SHARED_BASE_CLOCK_H
#define SHARED_BASE_CLOCK_H

#include <stdint.h>

typedef int64_t mono_ms;
typedef int64_t wall_ms;

#define MONO_NEVER   INT64_MIN /* "has not happened": older than everything */
#define MONO_FOREVER INT64_MAX /* "no deadline" */

mono_ms clock_mono_ms(void);
int64_t clock_mono_us(void); /* for measuring how long something took */
wall_ms clock_wall_ms(void);
/* Blocks this thread; for the last moments of a library, not for waiting on anything. No time passes in the simulation. */
void clock_pause_ms(int64_t ms);

/* Age of a moment; INT64_MAX for MONO_NEVER. */
static inline int64_t mono_age(mono_ms now, mono_ms then)
{
    return then == MONO_NEVER ? INT64_MAX : now - then;
}

#endif
