/* system_faults.c - see system_faults.h. When a fault strikes and heals; what each kind does is in system_faults_*.c. */
#include "tests/sim/system_faults.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/system_checks.h"
#include "tests/sim/system_faults_internal.h"
#include "tests/sim/system_trace.h"

#include "shared/base/banned.h"

#define TROUBLES_MAX 64

const char *const fault_modes[] = { "up",   "refuses",    "unreachable",
                                    "mute", "reply lost", "reply silent" };

struct faults {
    struct system *system;
    uint64_t enabled; /* bit per row of the table */
    int64_t gap_ms;
    int64_t duration_ms;
    mono_ms next_at;
    struct trouble active[TROUBLES_MAX];
    size_t count;
};

static bool step_wall_clock(struct system *s, struct trouble *t)
{
    int64_t ms = dice_between(&s->dice, -3600000, 3600000);
    fake_clock_step_wall(ms);
    say(t, "by %lld s", (long long)ms / 1000);
    return true;
}

static const struct fault faults_of_clocks[] = {
    { "wall-clock", 2, step_wall_clock, NULL },
    { 0 },
};

/* Of the table that all kinds make together; NULL behind the last one. A seed means something as long as their order stays. */
static const struct fault *row(size_t index)
{
    static const struct fault *const kinds[] = { faults_of_processes, faults_of_console,
                                                 faults_of_redis, faults_of_trees,
                                                 faults_of_clocks };
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        for (const struct fault *fault = kinds[k]; fault->name; fault++) {
            if (index-- == 0) {
                return fault;
            }
        }
    }
    return NULL;
}

static void note_change(void)
{
    for (int place = 0; place < SYSTEM_PLACES; place++) {
        checks_changed(place);
    }
}

static const struct fault *draw(struct faults *f)
{
    int total = 0;
    for (size_t i = 0; row(i); i++) {
        total += f->enabled & 1ULL << i ? row(i)->weight : 0;
    }
    int at = (int)dice_roll(&f->system->dice, (uint64_t)total);
    for (size_t i = 0; row(i); i++) {
        at -= f->enabled & 1ULL << i ? row(i)->weight : 0;
        if (at < 0) {
            return row(i);
        }
    }
    return row(0);
}

static void strike(struct faults *f)
{
    struct trouble t = { .fault = draw(f) };
    f->next_at = clock_mono_ms() + dice_between(&f->system->dice, 0, 2 * f->gap_ms);
    if (f->count == TROUBLES_MAX || !t.fault->apply(f->system, &t)) {
        return;
    }
    note_change();
    if (t.fault->heal) {
        trace_fault("%s %s, for %lld ms", t.fault->name, t.what, (long long)t.ms);
        t.until = clock_mono_ms() + t.ms;
        f->active[f->count++] = t;
    } else {
        trace_fault("%s %s", t.fault->name, t.what);
    }
}

static void heal_due(struct faults *f)
{
    for (size_t i = f->count; i-- > 0;) {
        struct trouble t = f->active[i];
        if (t.until <= clock_mono_ms()) {
            memmove(&f->active[i], &f->active[i + 1], (--f->count - i) * sizeof(t));
            t.fault->heal(f->system, &t);
            note_change();
            trace_event("healed: %s %s", t.fault->name, t.what);
        }
    }
}

void faults_run(struct faults *f)
{
    heal_due(f);
    if (f->next_at <= clock_mono_ms()) {
        strike(f);
    }
}

mono_ms faults_next_at(const struct faults *f)
{
    mono_ms next = f->next_at;
    for (size_t i = 0; i < f->count; i++) {
        next = f->active[i].until < next ? f->active[i].until : next;
    }
    return next;
}

void faults_forget(struct faults *f)
{
    f->count = 0;
}

/* A few faults at a time find more than all of them together, which hide one behind the other. */
struct faults *faults_new(struct system *s, const char *only)
{
    static const int percents[] = { 10, 25, 50, 90 };
    struct faults *f = xcalloc(1, sizeof(*f));
    int percent = percents[dice_roll(&s->dice, ARRAY_LEN(percents))];
    f->system = s;
    size_t rows = 0;
    for (; row(rows); rows++) {
        bool is_on = only ? text_eq(only, row(rows)->name) : dice_chance(&s->dice, percent);
        f->enabled |= is_on ? 1ULL << rows : 0;
    }
    if (f->enabled == 0) {
        f->enabled = 1ULL << dice_roll(&s->dice, rows);
    }
    f->gap_ms = dice_between(&s->dice, 150, 3000);
    f->duration_ms = dice_between(&s->dice, 15000, 45000);
    f->next_at = clock_mono_ms();
    return f;
}

void faults_free(struct faults *f)
{
    free(f);
}

int64_t faults_duration_ms(const struct faults *f)
{
    return f->duration_ms;
}

void faults_print_names(void)
{
    for (size_t i = 0; row(i); i++) {
        (void)puts(row(i)->name);
    }
}
