/* tree_fixture.h - what the simulations of a one-way shard begin and end with (fake_tree_world.h): a backup DC, unless the test
 * changes its place. */
#ifndef TESTS_SIM_TREE_FIXTURE_H
#define TESTS_SIM_TREE_FIXTURE_H

#include "shared/base/mem.h"
#include "tests/sim/fake_tree_world.h"
#include "tests/unit/unit.h"

static inline int init_world(void **state)
{
    struct tree_world *w = xcalloc(1, sizeof(*w));
    tree_world_init(w);
    *state = w;
    return 0;
}

static inline int close_world(void **state)
{
    struct tree_world *w = *state;
    assert_int_equal(w->violations, 0);
    tree_world_close(w);
    free(w);
    return 0;
}

static inline void assert_right(const struct tree_world *w)
{
    const char *missing = tree_world_missing(w);
    if (missing) {
        print_error("%s\n%s\n", missing, tree_world_text(w, "plan"));
    }
    assert_null(missing);
}

/* Owned, told, everything follows, links up. */
static inline void settle(struct tree_world *w)
{
    tree_world_open(w);
    tree_world_tell(w, TREE_FAR_HEAD);
    tree_world_pass(w, 8000);
    assert_right(w);
    for (size_t i = 0; i < TREE_REDISES; i++) {
        w->redis[i].commands = w->redis[i].xslaveofs = 0;
        w->keeper[i].commands = 0;
    }
}

/* Steps of 10 ms until 'r' follows 'addr'; how long that took. */
static inline int64_t until_follows(struct tree_world *w, const struct fake_replica *r,
                                    const struct addr *addr)
{
    mono_ms from = clock_mono_ms();
    while (!addr_eq(&r->master, addr) && clock_mono_ms() < from + 120000) {
        tree_world_pass(w, 10);
    }
    return clock_mono_ms() - from;
}

#endif
