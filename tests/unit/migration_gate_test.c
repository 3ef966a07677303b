/* The window of a gate: against models of what a DC carries, it keeps outages short and the rate near the best. */
#include "tests/unit/unit.h"

#include "console/migration/migration_gate.h"

#include "shared/base/banned.h"

#define MODEL_MAX 512

/* A queue: each cluster takes 'own_ms' by itself, and the DC ends one every 'each_ms' at most. In a model of 1 ms steps. */
struct model {
    struct migration_gate gate;
    int64_t own_ms, each_ms;
    int64_t shards;
    int64_t now;
    int64_t free_at; /* when the DC can take the next one */
    struct {
        int64_t since, ends;
    } in[MODEL_MAX];
    int inside;
    int most_inside;
    int done;
    int64_t longest_ms, sum_ms; /* of the second half */
    int counted;
};

static void leave_those_who_end(struct model *m, int total)
{
    for (int i = 0; i < m->inside; i++) {
        if (m->in[i].ends > m->now) {
            continue;
        }
        int64_t took_ms = m->now - m->in[i].since;
        m->in[i--] = m->in[--m->inside];
        gate_left(&m->gate, m->shards, took_ms, true);
        if (++m->done > total / 2) {
            m->longest_ms = took_ms > m->longest_ms ? took_ms : m->longest_ms;
            m->sum_ms += took_ms;
            m->counted++;
        }
    }
}

static void let_in(struct model *m)
{
    gate_count(&m->gate, m->inside * m->shards);
    while (m->inside < MODEL_MAX && gate_enter(&m->gate, m->shards)) {
        m->free_at = (m->free_at > m->now ? m->free_at : m->now) + m->each_ms;
        int64_t ends = m->free_at > m->now + m->own_ms ? m->free_at : m->now + m->own_ms;
        m->in[m->inside].since = m->now;
        m->in[m->inside++].ends = ends;
    }
    m->most_inside = m->inside > m->most_inside ? m->inside : m->most_inside;
}

/* Returns the time that 'total' clusters take. */
static int64_t run(struct model *m, int total)
{
    gate_init(&m->gate);
    while (m->done < total) {
        let_in(m);
        m->now++;
        leave_those_who_end(m, total);
    }
    return m->now;
}

static void outages_stay_near_the_target(void **state)
{
    (void)state;
    struct model m = { .gate.target_ms = 100, .own_ms = 15, .each_ms = 7, .shards = 1 };
    int64_t took_ms = run(&m, 1000);
    assert_true(m.longest_ms <= 160);
    assert_true(took_ms <= 1000 * 7 * 11 / 10); /* and the DC is never idle */
}

static void a_dc_far_away_is_no_congestion(void **state)
{
    (void)state;
    struct model m = { .gate.target_ms = 100, .own_ms = 900, .each_ms = 10, .shards = 1 };
    int64_t took_ms = run(&m, 1000);
    assert_true(m.most_inside > 60); /* one at a time would take 900 s */
    assert_true(took_ms <= 20000);
    assert_true(m.sum_ms / m.counted <= 2000);
}

static void a_slow_dc_takes_one_at_a_time(void **state)
{
    (void)state;
    struct model m = { .gate.target_ms = 100, .own_ms = 20, .each_ms = 80, .shards = 2 };
    (void)run(&m, 300);
    assert_true(m.sum_ms / m.counted <= 170); /* two are inside at most, as a rule */
}

static void a_cluster_larger_than_the_window_enters_alone(void **state)
{
    (void)state;
    struct migration_gate g = { .target_ms = 100 };
    gate_init(&g);
    assert_true(gate_enter(&g, 1000));
    assert_false(gate_enter(&g, 1));
    gate_count(&g, 0);
    assert_true(gate_enter(&g, 1));
    assert_false(gate_enter(&g, 1000));
}

static void without_a_target_everybody_enters(void **state)
{
    (void)state;
    struct migration_gate g = { .target_ms = 0 };
    gate_init(&g);
    for (int i = 0; i < 1000; i++) {
        assert_true(gate_enter(&g, 8));
        gate_left(&g, 0, 0, true); /* says nothing, and harms nothing */
    }
}

static void who_stays_very_long_is_not_the_gates_business(void **state)
{
    (void)state;
    struct migration_gate g = { .target_ms = 100 };
    gate_init(&g);
    assert_true(gate_stay_ms(&g) >= 1000 && gate_stay_ms(&g) <= 5000);
    gate_left(&g, 1, 6000, true); /* a disaster: all are as long */
    assert_true(gate_stay_ms(&g) > 6000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outages_stay_near_the_target),
        cmocka_unit_test(a_dc_far_away_is_no_congestion),
        cmocka_unit_test(a_slow_dc_takes_one_at_a_time),
        cmocka_unit_test(a_cluster_larger_than_the_window_enters_alone),
        cmocka_unit_test(without_a_target_everybody_enters),
        cmocka_unit_test(who_stays_very_long_is_not_the_gates_business),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
