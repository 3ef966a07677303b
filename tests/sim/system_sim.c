/* system_sim.c - the whole system under random trouble, many seeds: real metaservers of two DCs, models of ZooKeeper, Redis,
 * console and network (system.h). In each run: start, trouble (system_faults.c), heal, and everything wanted must be
 * actual within two rounds; the promises of system_checks.h are checked at each step.
 *
 * system_sim [FIRST [COUNT]] runs other seeds, in JOBS processes (2). XPIPE_SIM_LOG=1 shows every event of a run,
 * XPIPE_SIM_FAULT=name uses one fault only. A run depends on nothing but its seed: a sample of them is done twice, once in
 * a process of its own, and must end with the same hash. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/system_checks.h"
#include "tests/sim/system_faults.h"
#include "tests/sim/system_trace.h"

#include "shared/base/banned.h"

#define SEEDS           1000
#define JOBS_MAX        16
#define SLICE_MS        100 /* ends of processes are looked at this often */
#define QUIET_MS        3000
#define HOLDS_MS        3000 /* from the silence that is too long to a master that refuses writes */
#define BACK_MS         4000 /* from the first answer of the console to a master that takes them */
#define RESTART_PERCENT 10   /* of the runs end with one */
#define SAMPLE_EVERY    50
#define FAILURES_SHOWN  3

static uint64_t seed_running;
static const char *only_fault;
static bool is_verbose;

static bool is_broken(void *arg)
{
    (void)arg;
    return trace_failure() != NULL;
}

static void pass_to(struct system *s, mono_ms until)
{
    while (clock_mono_ms() < until && !trace_failure()) {
        mono_ms slice = clock_mono_ms() + SLICE_MS;
        slice = slice < until ? slice : until;
        if (!fake_loop_run_until(is_broken, NULL, slice)) {
            fake_loop_advance_to(slice);
        }
        system_reap(s);
    }
}

/* True when nothing is missing within that time. What a document would take away is accepted once it is held. */
static bool recover(struct system *s, int64_t limit_ms)
{
    mono_ms limit = clock_mono_ms() + limit_ms;
    mono_ms accept_at = clock_mono_ms() + s->config.refresh_ms / 2;
    while (system_missing(s) && clock_mono_ms() < limit && !trace_failure()) {
        pass_to(s, clock_mono_ms() + 2 * SLICE_MS);
        if (clock_mono_ms() >= accept_at) {
            accept_at = clock_mono_ms() + s->config.refresh_ms / 2;
            system_accept_held(s);
        }
    }
    return !trace_failure() && !system_missing(s);
}

static void check_recovery(struct system *s, const char *promise)
{
    mono_ms began = clock_mono_ms();
    if (!recover(s, system_recovery_ms(s)) && !trace_failure()) {
        trace_fail(promise, "after %lld ms %s", (long long)(clock_mono_ms() - began),
                   system_missing(s));
    }
    if (!trace_failure()) {
        trace_event("all is well after %lld ms", (long long)(clock_mono_ms() - began));
        pass_to(s, clock_mono_ms() + QUIET_MS);
    }
    /* A slot may be changing hands just now; or a document that was on its way when all was healed is held until the next. */
    if (!trace_failure() && !recover(s, QUIET_MS + s->config.refresh_ms) && !trace_failure()) {
        trace_fail(promise, "it did not last: %s", system_missing(s));
    }
}

static void make_trouble(struct system *s)
{
    struct faults *f = faults_new(s, only_fault);
    mono_ms end = clock_mono_ms() + faults_duration_ms(f);
    while (clock_mono_ms() < end && !trace_failure()) {
        faults_run(f);
        mono_ms next = faults_next_at(f);
        pass_to(s, next < end ? next : end);
    }
    faults_free(f);
}

/* ---- the console is silent for too long, and comes back ---- */

static bool is_writable(struct system *s, bool is_wanted)
{
    return system_tree_writable(s) == (is_wanted ? system_tree_shards(s) : 0);
}

static bool wait_for_writes(struct system *s, bool is_wanted, int64_t limit_ms)
{
    mono_ms limit = clock_mono_ms() + limit_ms;
    while (!is_writable(s, is_wanted) && clock_mono_ms() < limit && !trace_failure()) {
        pass_to(s, clock_mono_ms() + SLICE_MS);
    }
    return is_writable(s, is_wanted);
}

/* What sentinels do: whoever is master now is not held yet. */
static void fail_over_a_shard(struct system *s)
{
    int place = (int)dice_between(&s->dice, SYSTEM_KEEPER_PLACE, SYSTEM_PLACES - 1);
    struct system_redis *to = &s->redis[place][SYSTEM_PRIMARY][0][dice_roll(&s->dice, 2)];
    if (system_is_listed(s, to)) {
        trace_fault("%s is master now", ADDR_TEXT(&to->crdt.addr));
        system_tree_fail_over(s, to);
    }
}

static void kill_a_member(struct system *s)
{
    struct system_member *m =
        &s->members[SYSTEM_PRIMARY]
                   [dice_roll(&s->dice, (uint64_t)s->config.members[SYSTEM_PRIMARY])];
    m->start_at = clock_mono_ms() + dice_between(&s->dice, 500, 3000);
    system_kill(m);
}

static void isolate(struct system *s)
{
    int64_t limit_ms = s->config.isolation_s * 1000;
    mono_ms silent_at = clock_mono_ms();
    bool is_killed = false;
    trace_fault("the console is silent for longer than %lld s", (long long)s->config.isolation_s);
    system_silence_console(s, true);
    if (!wait_for_writes(s, false, limit_ms + HOLDS_MS) && !trace_failure()) {
        trace_fail("isolation", "%d of %d masters take writes %lld ms after the console was heard",
                   system_tree_writable(s), system_tree_shards(s),
                   (long long)(clock_mono_ms() - silent_at));
    }
    if (dice_chance(&s->dice, 40)) {
        fail_over_a_shard(s);
        pass_to(s, clock_mono_ms() + HOLDS_MS);
    } else if (dice_chance(&s->dice, 50)) {
        kill_a_member(s);
        is_killed = true;
    }
    pass_to(s, clock_mono_ms() + dice_between(&s->dice, 0, 3 * limit_ms));
    if (!trace_failure() && !is_writable(s, false)) {
        trace_fail("isolation", "%d masters take writes again, and the console is silent",
                   system_tree_writable(s));
    }
    trace_fault("the console is heard again");
    system_silence_console(s, false);
    int64_t back_ms = is_killed ? system_recovery_ms(s) : limit_ms / 3 + BACK_MS;
    if (!trace_failure() && !wait_for_writes(s, true, back_ms) && !trace_failure()) {
        trace_fail("isolation", "%d of %d masters take writes %lld ms after the console came back",
                   system_tree_writable(s), system_tree_shards(s), (long long)back_ms);
    }
    check_recovery(s, "recovery");
}

/* The whole DC comes back together: every slot stays where it was, unless there was something to level. */
static void restart_dc(struct system *s)
{
    int dc = (int)dice_roll(&s->dice, SYSTEM_DCS);
    uint64_t before = system_owners_hash(s, dc);
    bool is_balanced = system_is_balanced(s, dc);
    trace_fault("common restart of %s", system_dcs[dc]);
    system_restart_dc(s, dc);
    check_recovery(s, "recovery");
    if (!trace_failure() && is_balanced && system_owners_hash(s, dc) != before) {
        trace_fail("common-restart", "slots of %s moved", system_dcs[dc]);
    }
}

/* Returns the hash of the run; what was broken is in the trace. */
static uint64_t run_seed(uint64_t seed)
{
    seed_running = seed;
    struct system *s = system_open(seed);
    trace_reset(is_verbose);
    checks_reset(s);
    fake_loop_after_step(checks_step, s);
    check_recovery(s, "start");
    if (!trace_failure()) {
        make_trouble(s);
    }
    if (!trace_failure()) {
        trace_event("healed");
        system_heal(s);
        pass_to(s, system_awake_at(s));
        check_recovery(s, "recovery");
    }
    if (!trace_failure() && s->config.isolation_s > 0) {
        isolate(s);
    }
    if (!trace_failure() && dice_chance(&s->dice, RESTART_PERCENT)) {
        restart_dc(s);
    }
    fake_loop_after_step(NULL, NULL);
    system_close(s);
    return trace_hash();
}

/* Of a signal these checks know only that it may come at any time. Both of on_abort come from the one thread itself (abort(), or a bad
 * access in the product), between two calls of the libraries, and there is nothing to go on with. */
// NOLINTBEGIN(bugprone-signal-handler,cert-sig30-c)
static void print_failure(uint64_t seed)
{
    (void)printf("# seed %llu: %s\n", (unsigned long long)seed, trace_failure());
    trace_print();
    (void)printf("  replay: make sim SEED=%llu SEEDS=1\n", (unsigned long long)seed);
    (void)fflush(stdout);
}

/* An assertion of the product is a finding like any other: the seed must not be lost with the process. */
static void on_abort(int signo)
{
    trace_fail("crash", "signal %d", signo);
    print_failure(seed_running);
    (void)signal(signo, SIG_DFL);
    (void)raise(signo);
}
// NOLINTEND(bugprone-signal-handler,cert-sig30-c)

struct slice { /* the part of one process: every JOBS-th seed */
    uint64_t first;
    uint64_t count;
    uint64_t step;
};

/* Of a process that has run nothing before. 0 when it failed. */
static uint64_t hash_of_own_process(uint64_t seed)
{
    int ends[2];
    uint64_t hash = 0;
    xp_check(pipe(ends) == 0);
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        hash = run_seed(seed);
        bool is_told = write(ends[1], &hash, sizeof(hash)) == (ssize_t)sizeof(hash);
        _exit(is_told ? 0 : 1);
    }
    (void)close(ends[1]);
    bool is_read = pid > 0 && read(ends[0], &hash, sizeof(hash)) == (ssize_t)sizeof(hash);
    (void)close(ends[0]);
    (void)waitpid(pid, NULL, 0);
    return is_read ? hash : 0;
}

static int run_slice(const struct slice *slice)
{
    int failed = 0;
    size_t samples = 0;
    uint64_t *expected = xcalloc(slice->count / SAMPLE_EVERY + 1, sizeof(*expected));
    for (uint64_t i = 0; i < slice->count && slice->count > 1; i += SAMPLE_EVERY) {
        expected[samples++] = hash_of_own_process(slice->first + i * slice->step);
    }
    for (uint64_t i = 0; i < slice->count && failed < FAILURES_SHOWN; i++) {
        uint64_t seed = slice->first + i * slice->step;
        uint64_t hash = run_seed(seed);
        bool is_sample = slice->count > 1 && i % SAMPLE_EVERY == 0;
        if (is_sample && hash != expected[i / SAMPLE_EVERY]) {
            trace_fail("replay", "the hash is %llx, in a process of its own %llx",
                       (unsigned long long)hash, (unsigned long long)expected[i / SAMPLE_EVERY]);
        }
        if (trace_failure()) {
            print_failure(seed);
            failed++;
        } else if (slice->count == 1) {
            (void)printf("# seed %llu: all well, hash %llx\n", (unsigned long long)seed,
                         (unsigned long long)hash);
        }
    }
    free(expected);
    return failed;
}

static int jobs_of(uint64_t seeds)
{
    const char *text = getenv("JOBS");
    int64_t jobs = 2;
    if (text && !text_to_i64(text, strlen(text), 1, JOBS_MAX, &jobs)) {
        (void)fprintf(stderr, "JOBS: '%s' is not a number of 1..%d\n", text, JOBS_MAX);
        exit(2);
    }
    return (uint64_t)jobs < seeds ? (int)jobs : (int)seeds;
}

static int run_jobs(uint64_t first, uint64_t count)
{
    int jobs = jobs_of(count);
    int failed = 0;
    for (int i = 0; i < jobs; i++) {
        struct slice slice = { first + (uint64_t)i,
                               (count + (uint64_t)(jobs - 1 - i)) / (uint64_t)jobs,
                               (uint64_t)jobs };
        if (jobs == 1) {
            return run_slice(&slice);
        }
        pid_t pid = fork();
        xp_check(pid >= 0);
        if (pid == 0) {
            exit(run_slice(&slice) > 0);
        }
    }
    int status;
    while (wait(&status) > 0) {
        failed += status != 0;
    }
    return failed;
}

static uint64_t number(const char *text, const char *what)
{
    int64_t value;
    if (!text_to_i64(text, strlen(text), 1, INT64_MAX / 2, &value)) {
        (void)fprintf(stderr, "%s: '%s' is not a number from 1 on\n", what, text);
        exit(2);
    }
    return (uint64_t)value;
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? number(argv[1], "SEED") : 1;
    uint64_t count = argc > 2 ? number(argv[2], "SEEDS") : SEEDS;
    const char *seeds = getenv("SIM_SEEDS");
    count = argc <= 2 && seeds && *seeds ? number(seeds, "SIM_SEEDS") : count;
    is_verbose = getenv("XPIPE_SIM_LOG") != NULL;
    only_fault = getenv("XPIPE_SIM_FAULT");
    log_set_level(is_verbose ? LOG_INFO : LOG_LEVELS);
    (void)signal(SIGABRT, on_abort);
    (void)signal(SIGSEGV, on_abort);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    (void)printf("# seeds %llu to %llu\n", (unsigned long long)first,
                 (unsigned long long)(first + count - 1));
    int failed = run_jobs(first, count);
    (void)printf("%s 1 - the promises hold under trouble, and all is well after it\n1..1\n",
                 failed ? "not ok" : "ok");
    return failed ? 1 : 0;
}
