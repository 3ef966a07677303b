/* migration_gate.c - see migration_gate.h: slow start, then one more a window, cut in proportion. */
#include "console/migration/migration_gate.h"

#include "shared/base/banned.h"

#define WINDOW_FIRST  4
#define WINDOW_MAX    4096
#define SHARD_MS      5 /* what each further shard of a cluster may add */
#define SMOOTH        4
#define SHARE_MAX_PCT 1000
#define PROBE_AFTER   48
#define STAY_TIMES    10
#define STAY_MIN_MS   2000
#define NO_SAMPLE_YET INT64_MAX

void gate_init(struct migration_gate *g)
{
    int64_t target_ms = g->target_ms;
    *g = (struct migration_gate){ .target_ms = target_ms,
                                  .window = WINDOW_FIRST,
                                  .until_probe = PROBE_AFTER,
                                  .best_ms = NO_SAMPLE_YET,
                                  .best_before_ms = NO_SAMPLE_YET };
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void gate_count(struct migration_gate *g, int64_t inside)
{
    g->inside = inside;
}

bool gate_enter(struct migration_gate *g, int64_t shards)
{
    int64_t window = g->probe > 0 ? most(1, g->window / 2) : g->window;
    bool has_room = g->target_ms == 0 || g->inside == 0 || g->inside + shards <= window;
    g->inside += has_room ? shards : 0;
    return has_room;
}

/* The shortest since the probe before the last one. A probe lasts until those who entered before it, and as many again, have left. */
static void note_best(struct migration_gate *g, int64_t took_ms)
{
    g->best_ms = least(g->best_ms, took_ms);
    if (g->probe > 0) {
        g->probe--;
    } else if (--g->until_probe <= 0) {
        g->until_probe = PROBE_AFTER;
        g->probe = 2 * g->window;
        g->best_before_ms = g->best_ms;
        g->best_ms = NO_SAMPLE_YET;
    }
}

static int64_t limit_ms(const struct migration_gate *g)
{
    int64_t best_ms = least(g->best_ms, g->best_before_ms);
    return best_ms == NO_SAMPLE_YET ? g->target_ms : most(g->target_ms, 2 * best_ms);
}

int64_t gate_stay_ms(const struct migration_gate *g)
{
    return most(STAY_TIMES * limit_ms(g), STAY_MIN_MS);
}

/* What outages take of what they may, on the average of late: a single one that was unlucky says little. */
static void note_share(struct migration_gate *g, int64_t took_ms, int64_t allowed_ms)
{
    int64_t pct = least(100 * took_ms / allowed_ms, SHARE_MAX_PCT);
    g->share_pct += (pct - g->share_pct) / SMOOTH;
}

static void cut(struct migration_gate *g)
{
    int64_t fitting = g->window * 100 / g->share_pct;
    g->window = most(1, most(fitting, g->window / 2));
    g->was_cut = true;
    g->uncut = 0;
    g->grown = 0;
    g->share_pct = 100;
}

static void grow(struct migration_gate *g, int64_t shards)
{
    g->grown += shards;
    if (!g->was_cut) {
        g->window += shards;
    } else if (g->grown >= g->window) {
        g->grown = 0;
        g->window++;
    }
    g->window = least(g->window, WINDOW_MAX);
}

void gate_left(struct migration_gate *g, int64_t shards, int64_t took_ms, bool is_wanted)
{
    if (g->target_ms == 0) {
        return;
    }
    took_ms = most(took_ms, 1);
    note_best(g, took_ms);
    g->uncut += shards;
    int64_t allowed_ms = limit_ms(g) + SHARD_MS * most(shards - 1, 0);
    note_share(g, took_ms, allowed_ms);
    if (g->share_pct > 100 && (!g->was_cut || g->uncut > g->window)) {
        cut(g);
    } else if (g->share_pct <= 100 && is_wanted && g->probe == 0) {
        grow(g, shards);
    }
}
