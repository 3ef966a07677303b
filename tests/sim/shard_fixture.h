/* shard_fixture.h - what the simulations of a bi-direction shard begin and end with (fake_shard_world.h). */
#ifndef TESTS_SIM_SHARD_FIXTURE_H
#define TESTS_SIM_SHARD_FIXTURE_H

#include "shared/base/mem.h"
#include "tests/sim/fake_shard_world.h"
#include "tests/unit/unit.h"

static inline int open_world(void **state)
{
    struct world *w = xcalloc(1, sizeof(*w));
    world_open(w);
    *state = w;
    return 0;
}

static inline int close_world(void **state)
{
    struct world *w = *state;
    assert_int_equal(w->violations, 0);
    world_close(w);
    free(w);
    return 0;
}

/* Connected, masters told, peers set, links up. */
static inline struct fake_crdt *settle(struct world *w)
{
    world_tell_all(w);
    world_pass(w, 5000);
    struct fake_crdt *a = &w->redis[0];
    assert_true(world_has_peer(w, a, 2, "10.0.2.1"));
    assert_true(world_has_peer(w, a, 3, "10.0.3.1"));
    a->peerofs = 0;
    a->rewrites = 0;
    return a;
}

#endif
