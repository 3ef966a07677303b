/* migration_gate.h - how many clusters may refuse writes at the same time on their way from one DC to another.
 *
 * Each cluster's outage is as long as its calls take, and those wait for each other where there are more of them than the metaservers, their
 * lanes and the database carry at once: then letting in another cluster makes all outages longer and none of them end sooner. So a cluster enters
 * before its first fence and leaves when it is published, returned or paused, and the window between follows what outages take: it grows while
 * they are short, and shrinks when they take longer, on the average, than the target (more for a large cluster) and twice the shortest one of late. A DC far away, or
 * a slow outer client, makes all outages long, the shortest too, and is no reason to let in fewer; so that the shortest is none that waited for
 * others, now and then only half as many are let in. The unit is the shard; a cluster larger than the
 * window enters alone. Whoever stays very long waits for something else than its turn: it keeps nobody out any more.
 * Pure: no clock, no I/O. Owner: who has it. */
#ifndef CONSOLE_MIGRATION_MIGRATION_GATE_H
#define CONSOLE_MIGRATION_MIGRATION_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct migration_gate {
    int64_t target_ms; /* 0: everybody may enter */
    /* private */
    int64_t window; /* shards */
    int64_t grown;  /* towards the next one more */
    bool was_cut;   /* from then on it grows slowly */
    int64_t uncut;  /* shards that left since: those that were inside at the cut say nothing new */
    int64_t share_pct; /* of the time that an outage may take: the average of late */
    int64_t best_ms, best_before_ms;
    int64_t until_probe; /* clusters that leave until then */
    int64_t probe;       /* clusters that leave until its end; 0: none */
    int64_t inside;      /* shards; counted by the owner anew: gate_count */
};

void gate_init(struct migration_gate *);
/* How many shards are inside, those left out that stay very long. */
void gate_count(struct migration_gate *, int64_t inside);
/* True: 'shards' more are inside now. */
bool gate_enter(struct migration_gate *, int64_t shards);
/* One left after 'took_ms'. 'is_wanted': others wait to enter. */
void gate_left(struct migration_gate *, int64_t shards, int64_t took_ms, bool is_wanted);
/* From then on it is not counted. */
int64_t gate_stay_ms(const struct migration_gate *);

#endif
