#!/usr/bin/python3
"""Does the simulation notice when a guard is gone? `make sim-mutants`.

Each mutant takes one guard out of a copy of the tree, builds system_sim there, and runs seeds until a promise is broken.
A mutant that no seed catches is a hole in the promises or in the scenarios, and a failure of this script; so is one whose
text is not in its file exactly once. The tree as it is must pass the seeds that catch mutants.

Not here, because another guard stands before them and nothing can be seen without both: may_command's questions whether the
daemon drains (sharding_drain gives up every slot first) and whether the slot is ours (a slot that goes ends its duties, the end of
the lease takes all slots; "may-command" takes out all its questions at once), and the loss of all slots when a session is lost (the
lease).

  mutants.py [--only NAME] [--list] [--seeds N]
"""
import argparse
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "mutants"
TREE = WORK / "tree"
BINARY = WORK / "out" / "tests" / "sim" / "system_sim"
BATCHES = (5, 15, 80)  # seeds of the first runs of the program: most mutants fail soon
BATCH = 100            # of the others
BASELINE = 50          # make check has a thousand
PRISTINE = WORK / "system_sim.pristine"


class Mutant:
    """One guard: where it is, what stands there, what stands there without it, which promises should notice.

    With 'fault', runs have that one only: what needs a rare coincidence of it is found in minutes then. With 'test', a simulation that makes
    the coincidence must fail, at the test that 'expected' names.
    """

    def __init__(self, name, file, old, new, expected, fault="", test=""):
        self.name, self.file, self.old, self.new, self.fault, self.test = name, file, old, new, fault, test
        self.expected = expected.split()


MUTANTS = [
    Mutant("lease-check", "meta/slots/slot_keeper.c",
           "k->held[slot] && zk_lease_is_valid(k->options.zk, now);",
           "k->held[slot] && (now || k);", "owner two-owners order"),
    Mutant("lease-remembered", "meta/slots/slot_keeper.c",
           "k->held[slot] && zk_lease_is_valid(k->options.zk, now);",
           "k->held[slot] && zk_state(k->options.zk) == ZK_READY && now;", "owner two-owners order"),
    Mutant("lease-too-long", "shared/net/zk.c",
           "mono_ms end = c->sent_at + zk_lease_ms(zk);",
           "mono_ms end = c->sent_at + zk->timeout_ms * 3 / 2;", "owner two-owners order"),
    Mutant("hold-down", "meta/app.c",
           "if (loop_was_paused(app->loop, app->config.pause_hold_ms)) {",
           "if (loop_was_paused(app->loop, 0)) {", "hold-down"),
    Mutant("document-version", "meta/dcmeta/dc_store.c",
           "after->version > 0 && after->version < store->version",
           "after->version < 0", "versions"),
    Mutant("push-version", "meta/dcmeta/dc_store.c",
           "if (old && version < known_at(store, old)) {",
           "if (old && version < 0) {", "versions"),
    Mutant("brake-removals", "meta/dcmeta/dc_diff.c",
           "verdict.removals_held = diff->removed + diff->shrunk > limits->removals || is_emptied;",
           "verdict.removals_held = is_emptied && false;", "brakes"),
    Mutant("brake-routes", "meta/dcmeta/dc_diff.c",
           "verdict.routes_held = diff->downgraded > limits->downgrades;",
           "verdict.routes_held = false;", "route"),
    Mutant("migration", "meta/shards/duty.c",
           "if (duty->cluster->is_migrating && stance != STANCE_FOLLOW) {",
           "if (!duty->cluster && stance != STANCE_FOLLOW) {", "migration"),
    Mutant("may-command", "meta/shards/duty.c",
           "return env->may_command(duty->cluster, env->arg, err);",
           "return err && env ? 0 : 1;", "owner hold-down draining order"),
    Mutant("budget", "meta/shards/budget.c",
           "if (b->tokens_milli < 1000) {",
           "if (b->tokens_milli < -1000000000) {", "budget"),
    Mutant("budget-of-cuts", "meta/shards/duty.c",
           "if (cuts && !budget_take(&env->cut, now)) {",
           "if (cuts && !env) {", "budget", "route"),
    Mutant("back-off", "meta/peers/shard_duty.c",
           "if (now < duty->backoff_until) {",
           "if (now < 0) {", "insisting", "trick"),
    Mutant("not-taken", "meta/peers/shard_run.c",
           "    back_off(duty, RETRY_FIRST_MS);\n    log_warn(\"correction.not_taken\"",
           "    log_warn(\"correction.not_taken\"", "insisting", "trick"),
    Mutant("role-asked-again", "meta/peers/shard_run.c",
           "    struct xp_err err;\n    run->phase = RUN_ROLE;",
           "    struct xp_err err;\n    if (run) {\n        send_step(duty);\n        return;\n    }\n    run->phase = RUN_ROLE;",
           "asked"),
    Mutant("unusable-is-direct", "meta/peers/peer_decide.c",
           "if (w->choice == ROUTE_UNUSABLE) {",
           "if (w->choice == ROUTE_UNUSABLE && !f) {", "route"),
    Mutant("removal-verdicts", "meta/peers/peer_decide.c",
           "} else if (verdicts < f->removal_verdicts) {",
           "} else if (verdicts < 1) {", "removal"),
    Mutant("removal-switch", "meta/peers/peer_decide.c",
           "if (!f->may_remove) {",
           "if (!f) {", "removal"),
    Mutant("export-not-awaited", "meta/slots/slot_mover.c",
           "        stage_enter(m, h, STAGE_IMPORT);\n",
           "        stage_enter(m, h, STAGE_COMMIT);\n",
           "two-owners owner order"),
    Mutant("commit-of-the-mark", "meta/slots/slot_mover.c",
           "    if (slot_table_get(m->options.table, h->step.slot)->mzxid != h->marked) {",
           "    if (slot_table_get(m->options.table, h->step.slot)->mzxid < h->marked) {",
           "what_was_claimed_since_the_mark_is_not_given_away", test="sharding_sim"),
    Mutant("leader-for-ever", "meta/slots/slot_mover.c",
           "    if (m->is_leader == is_leader) {\n        return;\n    }\n    m->is_leader = is_leader;",
           "    if (m->is_leader == is_leader || m->is_leader) {\n        return;\n    }\n    m->is_leader = is_leader;",
           "leader"),
    Mutant("leader-term", "meta/slots/slot_mover.c",
           "return m->is_leader && token >> TERM_SHIFT == m->term;",
           "return m->term > 0 || token > 0;", "leader"),
    Mutant("unknown-grace", "meta/slots/slot_plan.c",
           "return f->servers_known_since + f->unknown_grace_ms;",
           "return f->servers_known_since;", "common-restart"),
    Mutant("claim", "meta/slots/slot_keeper.c",
           "return e->mzxid > f->registered_zxid ? SLOT_HELD : SLOT_TO_CLAIM;",
           "return e->mzxid > f->registered_zxid || f->self_id ? SLOT_HELD : SLOT_TO_CLAIM;",
           "two-owners owner order"),
    Mutant("tombstone", "meta/dcmeta/dc_store.c",
           "deleted_clusters_add(&store->deleted, name, version);",
           "", "versions"),
    Mutant("undone-change", "meta/dcmeta/dc_store.c",
           "return store->whole_version > own ? store->whole_version : own;",
           "return own < 0 ? store->whole_version : own;", "versions"),
    Mutant("leader-again", "meta/zk/leader_election.c",
           "} else if ((token & 1) && !e->has_left) {",
           "} else if (token & 1) {", "who_gives_up_the_leadership_while_it_looks_does_not_win_it_again", test="sharding_sim"),
    Mutant("lease-from-answer", "shared/net/zk.c",
           "mono_ms end = c->sent_at + zk_lease_ms(zk);",
           "mono_ms end = clock_mono_ms() + zk_lease_ms(zk);", "the_lease_counts_from_the_question", test="sharding_sim"),
    # what is done for a shard between the steps of a switch: meta/primary/keep_decide.h
    Mutant("K15-without-an-end", "meta/primary/keep_decide.c",
           "return f->is_fenced && !f->is_isolation && f->is_ended && f->is_primary && !f->is_migrating;",
           "return f->is_fenced && !f->is_isolation && f->is_primary && !f->is_migrating;",
           "a_fence_nobody_calls_a_migration_stays", test="switch_outlived_sim"),
    Mutant("K15-never", "meta/primary/keep_decide.c",
           "return f->is_fenced && !f->is_isolation && f->is_ended && f->is_primary && !f->is_migrating;",
           "return f->is_fenced && f->is_ended && f->is_busy;",
           "a_fence_that_outlives_its_migration", test="switch_outlived_sim"),
    Mutant("K15-too-soon", "meta/primary/switch_keeping.c",
           "mono_age(loop_now(s->all->opt.loop), s->outlived_at) >= OUTLIVED_MS ||",
           "mono_age(loop_now(s->all->opt.loop), s->outlived_at) >= OUTLIVED_MS / 8 ||",
           "the_fence_of_the_next_migration_stays", test="switch_outlived_sim"),
    Mutant("fence-outlived-old-answer", "meta/primary/switch_keeping.c",
           "dc_store_is_confirmed(s->all->opt.store, cluster->name, s->fenced_at));",
           "dc_store_is_confirmed(s->all->opt.store, cluster->name, 0));",
           "an_answer_of_before_the_next_order_is_not", test="switch_outlived_sim"),
    Mutant("fence-doubted-old-answer", "meta/primary/switch_keeping.c",
           "dc_store_is_confirmed(s->all->opt.store, cluster->name, now - age_ms);",
           "dc_store_is_confirmed(s->all->opt.store, cluster->name, 0);",
           "what_is_known_from_before_the_record_is_no_reason_to_wait", test="switch_outlived_sim"),
    Mutant("isolation-release-failed", "meta/primary/switch_fencing.c",
           "if (s->job->step == SWITCH_RELEASE && s->job->before.is_isolation) {",
           "if (s->job->step == SWITCH_HOLD && s->job->before.is_isolation) {",
           "a_release_of_one_that_hangs_leaves_it", test="switch_isolation_sim"),
    Mutant("isolation-kept-forgotten", "meta/primary/switch_fencing.c",
           "if (r->kept.count > 0) { /* of others that were held: they get it when they follow */",
           "if (r->is_isolation) { /* of others that were held: they get it when they follow */",
           "the_next_master_gets_its_own_settings_back", test="switch_isolation_sim"),
    Mutant("isolation-next-master", "meta/primary/switch_keeping.c",
           "    if (!r->is_isolation || held->state != FENCE_HELD || addr_eq(&held->master, &r->master) ||",
           "    if (r->is_promoting || !r->is_isolation || held->state == FENCE_HELD ||",
           "the_next_master_gets_its_own_settings_back", test="switch_isolation_sim"),
    Mutant("fence-settings-lost", "shared/switch/fence_commands.c",
           "                   fence_has_lost_settings(&w->saved, b->node); /* it was */",
           "                   (false && w->saved.is_known); /* it was */",
           "settings_of_one_that_was_released_around_us", test="fence_sim"),
    Mutant("K17-not-confirmed", "meta/primary/keep_decide.c",
           "return f->is_fenced && f->is_isolation && f->is_confirmed && !f->is_isolated && f->is_primary &&",
           "return f->is_fenced && f->is_isolation && !f->is_isolated && f->is_primary &&",
           "the_console_confirms_and_writes_are_taken_again", test="switch_isolation_sim"),
    Mutant("K17-old-document", "meta/primary/switch_isolation.c",
           "mono_ms since = all->isolated_at > s->known_at ? all->isolated_at : s->known_at;",
           "mono_ms since = s->known_at;",
           "an_old_document_confirms_nothing", test="switch_isolation_sim"),
    Mutant("K17-of-the-owner-before", "meta/primary/switch_isolation.c",
           "mono_ms since = all->isolated_at > s->known_at ? all->isolated_at : s->known_at;",
           "mono_ms since = all->isolated_at;",
           "the_next_owner_asks_the_console_first", test="switch_isolation_sim"),
    Mutant("K20-never", "meta/primary/keep_decide.c",
           "return f->is_fenced && !past(f) && (f->is_primary || !keep_may_correct(f));",
           "return f->is_fenced && f->is_busy && !keep_may_correct(f);",
           "a_fence_is_taken_over_and_asserted", test="switch_takeover_sim"),
    Mutant("K20-for-ever", "meta/primary/keep_decide.c",
           "return f->is_fenced && !past(f) && (f->is_primary || !keep_may_correct(f));",
           "return f->is_fenced;",
           "settings_come_back_with_the_follow", test="switch_strays_sim"),
    Mutant("K25-never", "meta/primary/keep_decide.c",
           "return f->is_isolated && f->is_primary && !f->is_fenced;",
           "return f->is_isolated && f->is_busy && !f->is_fenced;",
           "an_isolated_dc_stops_its_writes", test="switch_isolation_sim"),
    Mutant("K25-in-a-backup-dc", "meta/primary/keep_decide.c",
           "return f->is_isolated && f->is_primary && !f->is_fenced;",
           "return f->is_isolated && !f->is_fenced;",
           "a_backup_dc_has_nothing_to_stop", test="switch_isolation_sim"),
    Mutant("K30", "meta/primary/keep_decide.c",
           "    return !keep_may_correct(f);\n",
           "    return f->is_busy && !keep_may_correct(f);\n",
           "the_stray_of_before_a_migration_is_left_alone", test="switch_strays_sim"),
    # what a returned master has of its own, before it follows: meta/primary/diverge_decide.h
    Mutant("V30-not-held", "meta/primary/diverge_decide.c",
           "return w->f->is_master && !w->f->is_held && has_time(w);",
           "return w->f->is_master && !w->f->is_held && has_time(w) && w->why == DIVERGE_MUTE;",
           "it_is_held_and_written_down_before_it_follows", test="switch_diverge_sim"),
    Mutant("V70-before-it-is-written", "meta/primary/diverge_decide.c",
           "return !w->f->is_written;",
           "return !w->f->is_written && w->why == DIVERGE_MUTE;",
           "without_zookeeper_it_waits", test="switch_diverge_sim"),
    Mutant("V30-counted-before-the-hold", "meta/primary/switch_diverge.c",
           "return discard->own_at >= stray->held_at &&",
           "return discard->own_at > 0 &&",
           "what_is_counted_was_read_behind_the_hold", test="switch_diverge_sim"),
    Mutant("settings-before-the-hold", "meta/primary/switch_keeping.c",
           "    if (!s->record.saved.is_known) {\n        options.goal = FENCE_GOAL_LOOK;",
           "    if (!s) {\n        options.goal = FENCE_GOAL_LOOK;",
           "an_isolated_dc_stops_its_writes", test="switch_isolation_sim"),
    Mutant("isolation-taken-over", "meta/primary/switch_fencing.c",
           "    r->is_isolation = false; /* it is the step's now */\n",
           "",
           "a_hold_takes_it_over", test="switch_isolation_sim"),
    Mutant("a-pause-is-no-silence", "meta/primary/switch_isolation.c",
           "!is_heard(all) && !loop_was_paused(all->opt.loop, all->opt.isolation_ms);",
           "!is_heard(all);",
           "a_pause_is_no_silence", test="switch_isolation_sim"),
    Mutant("a-pause-ends-the-isolation", "meta/primary/switch_isolation.c",
           "    if (all->is_isolated && is_heard(all)) {\n        end_isolation(all, at);",
           "    if (all->is_isolated && !is_silent(all)) {\n        end_isolation(all, at);",
           "a_pause_ends_no_isolation", test="switch_isolation_sim"),
]


def copy_tree():
    """The files of the tree as they are now, tracked or new, without what was built."""
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split()
    for name in names:
        source, target = ROOT / name, TREE / name
        if not source.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != source.read_bytes():
            shutil.copyfile(source, target)  # with a time of now: make must see it
    kept = set(names)
    for path in TREE.rglob("*"):
        if path.is_file() and str(path.relative_to(TREE)) not in kept:
            path.unlink()


def build(binary=BINARY):
    compiler = os.environ.get("CC", "gcc")
    if shutil.which("ccache") and "ccache" not in compiler:
        compiler = "ccache " + compiler
    env = dict(os.environ, CCACHE_NOHASHDIR="1")
    env.pop("MAKEFLAGS", None)
    done = subprocess.run(["make", "-s", "-j2", f"CC={compiler}", f"BUILD={WORK / 'out'}", str(binary)], cwd=TREE,
                          env=env, capture_output=True, text=True)
    return None if done.returncode == 0 else done.stderr[-2000:]


def run(first, count, fault="", binary=BINARY):
    """(seed, promise) of the first failure, or None."""
    env = {**os.environ, "XPIPE_SIM_FAULT": fault} if fault else None
    done = subprocess.run([str(binary), str(first), str(count)], capture_output=True, text=True, errors="replace", env=env)
    found = re.search(r"^# seed (\d+): ([a-z-]+):", done.stdout, re.M)
    if found:
        return int(found.group(1)), found.group(2)
    return (0, f"exit {done.returncode}") if done.returncode != 0 else None


def try_test(mutant):
    """A line of the table, and whether the test of the mutant failed."""
    binary = BINARY.with_name(mutant.test)
    problem = build(binary)
    if problem:
        return "does not build:\n" + problem, False
    done = subprocess.run([str(binary)], capture_output=True, text=True, errors="replace",
                          env={**os.environ, "CMOCKA_MESSAGE_OUTPUT": "TAP"})
    failed = re.findall(r"^not ok \d+ - (\w+)", done.stdout + done.stderr, re.M)
    if not failed:
        return f"SURVIVES {mutant.test}", False
    note = "" if set(failed) & set(mutant.expected) else f"  (expected: {' '.join(mutant.expected)})"
    return f"caught by {mutant.test}: {', '.join(failed)}{note}", True


def batches(seeds):
    """(first, count) of each run."""
    first = 1
    for count in itertools.chain(BATCHES, itertools.repeat(BATCH)):
        if first > seeds:
            return
        yield first, count
        first += count


def try_mutant(mutant, seeds):
    """A line of the table, and whether the mutant was caught."""
    path = TREE / mutant.file
    original = path.read_text()
    times = original.count(mutant.old)
    if times != 1:
        return f"its text is in {mutant.file} {times} times, not once", False
    path.write_text(original.replace(mutant.old, mutant.new))
    began = time.monotonic()
    try:
        if mutant.test:
            return try_test(mutant)
        problem = build()
        if problem:
            return "does not build:\n" + problem, False
        for first, count in batches(seeds):
            found = run(first, count, mutant.fault)
            if found:
                seed, promise = found
                if run(seed, 1, mutant.fault, PRISTINE):
                    sys.exit(f"the tree itself fails with seed {seed} {mutant.fault}: mend that first")
                note = "" if promise in mutant.expected else f"  (expected: {' '.join(mutant.expected)})"
                return f"caught by '{promise}', seed {seed}, {time.monotonic() - began:.0f} s{note}", True
        return f"SURVIVES {seeds} seeds", False
    finally:
        path.write_text(original)


def check(mutants):
    """A guard that was moved or written anew must be found by its mutant: `make check-tree`."""
    lost = [m for m in mutants if (ROOT / m.file).read_text().count(m.old) != 1]
    for m in lost:
        print(f"tests/sim/mutants.py: the text of '{m.name}' is not in {m.file} exactly once")
    return 1 if lost else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--only", action="append", help="this mutant; may be repeated")
    parser.add_argument("--seeds", type=int, default=2000, help="tried for each mutant at most")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--check", action="store_true", help="only whether each guard is still where the table says")
    args = parser.parse_args()
    if args.check:
        return check(MUTANTS)
    chosen = [m for m in MUTANTS if not args.only or m.name in args.only]
    if args.list:
        for m in chosen:
            print(f"{m.name:24} {m.file:32} {' '.join(m.expected)}")
        return 0
    if not chosen:
        sys.exit(f"no mutant is called {args.only}: see --list")
    copy_tree()
    problem = build()
    if problem:
        sys.exit("the tree does not build:\n" + problem)
    shutil.copy2(BINARY, PRISTINE)
    found = run(1, BASELINE)
    if found:
        sys.exit(f"the tree itself fails with seed {found[0]}: {found[1]}; mend that first")
    survivors = 0
    for mutant in chosen:
        text, caught = try_mutant(mutant, args.seeds)
        survivors += not caught
        print(f"{'ok' if caught else 'FAILED':7} {mutant.name:24} {text}", flush=True)
    print(f"mutants: {len(chosen) - survivors} caught, {survivors} not")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
