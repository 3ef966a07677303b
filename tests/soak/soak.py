#!/usr/bin/env python3
"""make soak MINUTES=n [SEED=n]: random faults under load; nothing may be lost, sent wrongly, or grow.

The run is cycles: faults of a seeded plan (faults.py) for a while, several at once, then everything is healed and must become right
within SETTLE_LIMIT_S (checks.py: problems_now), while writers, readers and a REST client (load.py) work on. What must hold at every
moment is watched all the time (checks.py: Watch, PeerofAudit). Memory, descriptors and threads are judged at the quiet moments
(resources.py). The same SEED gives the same faults at the same times; real time makes what they meet a little different.

Ends with a table, build/bench/soak.json and build/bench/soak-faults.log; exit code 1 after any violation, with all logs kept.
"""
import argparse
import collections
import json
import os
import random
import shutil
import statistics
import sys
import threading
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tests")]

import redis as redis_py  # noqa: E402
from report import Report  # noqa: E402
from harness.processes import HOST, Timeout, build_dir, wait_until  # noqa: E402

import checks  # noqa: E402
import faults  # noqa: E402
from installation import DCS, Installation, get, metrics_of  # noqa: E402
from load import Reader, RestClient, Writer  # noqa: E402
from resources import Resources  # noqa: E402

CYCLE_S = 40.0
MEAN_GAP_S = 2.0
AT_ONCE = 5
SETTLE_LIMIT_S = 150.0     # on a machine shared with compilers; the mean is a figure
HEAL_LIMIT_S = 120.0
SILENCE_S = 3.0            # when everything is right no command is sent
FOREIGN_HAND_S = 6.0       # so long after foreign hands in ZooKeeper two members may believe to own a slot
LOADING_S = 15.0           # lazy-ms of the stand-in is 11 s
LINES_PER_MINUTE_MAX = 3000
VIOLATIONS_MAX = 50
KEPT = ROOT / "build/bench"


class Soak:
    def __init__(self, args):
        self.args = args
        self.world = Installation(args.shards, args.metas, args.bulk, args.churn, args.seed)
        self.began = time.monotonic()
        self.violations, self.settled_s, self.corrections = [], [], collections.Counter()
        self.counts = collections.Counter()     # faults by name
        self.skipped = self.cycles = self.checks = 0
        self.healing = threading.Event()
        self.is_over = False                    # processes end because we end them
        self._lock = threading.RLock()
        self._busy, self._down, self._frozen = set(), set(), set()
        self._restarts = collections.defaultdict(list)  # name -> begins, wall clock
        self._freezes = collections.defaultdict(list)   # name -> [begin, end] of each, wall clock
        self._foreign = {dc: [] for dc in DCS}  # when foreign hands were in its ZooKeeper, wall clock
        self._lossy, self._exits_seen = set(), set()
        KEPT.mkdir(parents=True, exist_ok=True)
        self.log_file = open(KEPT / f"{args.name}-faults.log", "w", buffering=1)  # noqa: SIM115 - lives as long as the run
        self.audit = checks.PeerofAudit(self)
        self.resources = Resources(self.world.daemons(), self._redis_ports())
        self._sampler = threading.Thread(target=self._sample, name="sampler", daemon=True)
        self._end = threading.Event()

    # records

    def log(self, what, **fields):
        self.log_file.write(json.dumps({"t": round(time.monotonic() - self.began, 2), "what": what, **fields}) + "\n")

    def say(self, text):
        print(f"{time.monotonic() - self.began:7.1f} s  {text}", flush=True)

    def violation(self, kind, text):
        with self._lock:
            if len(self.violations) < VIOLATIONS_MAX and not self.is_over:
                self.violations.append((kind, text))
                self.say(f"VIOLATION {kind}: {text}")
                self.log("violation", kind=kind, text=text)

    # targets

    def take(self, hands, rng, candidates, key=None):
        key = key or (lambda target: target.name)
        with self._lock:
            free = [c for c in candidates if key(c) not in self._busy]
            if not free:
                raise faults.NoTarget
            chosen = rng.choice(free)
            self._busy.add(key(chosen))
            hands.add(key(chosen))
        return chosen

    def release(self, hands):
        with self._lock:
            self._busy -= hands

    def spare_metas(self):
        """Those without which their DC still has a healthy member."""
        def others(meta):
            return [m for m in self.world.dcs[meta.dc].metas if m is not meta and self.is_well(m) and m.name not in self._busy]
        return [m for m in self.world.metas() if others(m)]

    def mortal_metas(self):
        """The first of each DC is never ended: its memory is watched over the whole run."""
        return [m for m in self.spare_metas() if m.server_id != 1]

    @property
    def console_is_mortal(self):
        """In the first half of the run only, for the same reason."""
        return time.monotonic() - self.began < self.args.minutes * 30

    # breaking processes: who is down or frozen on purpose is known, everything else that ends is a violation

    def kill(self, process):
        if process in self.world.redises():
            self.audit.collect(process)
        with self._lock:
            self._down.add(process.name)
        process.kill()
        if process in self.world.redises():
            # What it once got from a master. The stand-in does not take back what is newer than a file it starts from, and the
            # links to it stay down until its clock has passed that.
            (process.dir / "dump.rdb").unlink(missing_ok=True)

    def end(self, daemon):
        """SIGTERM: it drains and exits with 0."""
        with self._lock:
            self._down.add(daemon.name)
        daemon.stop()
        if daemon.exit_code != 0:
            self.violation("exit", f"{daemon.name} ended with {daemon.exit_code} after SIGTERM\n{daemon.log_tail(10)}")

    def revive(self, process):
        self._restarts[process.name].append(time.time())
        process.start()
        with self._lock:
            self._down.discard(process.name)

    def freeze(self, process):
        with self._lock:
            self._frozen.add(process.name)
            self._freezes[process.name].append([time.time(), float("inf")])
        process.pause()

    def thaw(self, process):
        process.resume()
        with self._lock:
            self._frozen.discard(process.name)
            self._freezes[process.name][-1][1] = time.time()

    def is_well(self, process):
        return process.running and process.name not in self._down and process.name not in self._frozen

    def was_frozen(self, process, at_wall_s):
        return any(begin - 1 <= at_wall_s <= end + 2 for begin, end in list(self._freezes[process.name]))

    def is_just_restarted(self, process, at_wall_s):
        return any(0 <= at_wall_s - began <= LOADING_S for began in list(self._restarts[process.name]))

    def look_for_dead(self):
        for process in self.world.workspace.processes:
            # asked in this order: a fault says first what it will do
            ended = process.pid is not None and not process.running
            if ended and process.name not in self._down and process.pid not in self._exits_seen:
                self._exits_seen.add(process.pid)
                self.violation("exit", f"{process.name} ended by itself with {process.exit_code}\n{process.log_tail(30)}")

    def note_foreign_hand(self, dc):
        self._foreign[dc].append(time.time())

    def is_foreign_hand_near(self, dc, at_wall_s=None):
        at = at_wall_s or time.time()
        return any(-1 <= at - began <= FOREIGN_HAND_S for began in self._foreign[dc])

    def mark_lossy(self, dc, shard):
        """What its Redis acknowledged and did not pass on is lost with it: no writes until it is healed, no promise kept."""
        with self._lock:
            self._lossy.add((dc, shard))

    def is_lossy_now(self, dc, shard):
        return (dc, shard) in self._lossy and f"redis-{shard}" in self._busy

    def by_hand(self, server):
        return _Hand(server)

    def edit_route(self, pair, near, far):
        try:
            self.world.use_route(*pair, near, far)
        except (OSError, AssertionError, StopIteration, ValueError) as e:  # requests' errors are OSErrors
            self.log("route.unacknowledged", pair=pair, why=str(e)[:200])

    def place_of(self, server):
        return next((dc, shard) for dc in DCS for shard in self.world.shard_names if server in self.world.dcs[dc].redises[shard])

    # the run

    def start(self):
        self.say(f"starting: seed {self.args.seed}, {self.args.minutes:g} minutes, build {build_dir().name}")
        world = self.world.start()
        ids = {c["id"]: c["dbId"] for c in get(f"{world.console.url}/api/dc/{DCS[0]}", timeout=30)["clusters"].values()}
        self.slots = {shard: checks.slot_of(ids[world.cluster_of(shard)]) for shard in world.shard_names}
        self.old_push = {dc: get(f"{world.console.url}/api/dc/{dc}/cluster/data-s1") for dc in DCS}
        self.fixed_shards = {(c, f"s{n}") for c, numbers in world.bulk_clusters().items() for n in numbers}
        self.fixed_shards |= {(world.cluster_of(s), s) for s in world.shard_names}
        self.rest = RestClient(self, self.args.seed)
        self.writers = [Writer(self, dc) for dc in DCS]
        self.readers = [Reader(self, i) for i in range(self.args.readers)]
        self.loads = [self.rest, *self.writers, *self.readers]
        self.watch = checks.Watch(self, {dc: sorted(set(self.slots.values())) for dc in DCS})
        self.wait_right("the first time")
        self.say(f"up: {len(world.metas())} metaservers, {len(world.redises())} Redis, {2 * self.args.bulk} of the farms, all right")
        for thread in (*self.loads, self.watch, self._sampler):
            thread.start()

    def wanted_shards(self):
        return self.fixed_shards | self.rest.shards()

    def _redis_ports(self):
        return {r.port for r in self.world.redises()} | {f.port for f in self.world.farms.values()}

    def _sample(self):
        collected = 0.0
        while not self._end.wait(1.0):
            try:
                with self._lock:
                    self.resources.sample()
                if time.monotonic() - collected > 3:
                    self._collect()
                    collected = time.monotonic()
            except Exception as e:  # noqa: BLE001
                self.violation("soak", f"sampler: {type(e).__name__}: {e}")

    def _collect(self):
        for server in self.world.redises():
            if self.is_well(server):
                self.audit.collect(server)

    def run(self):
        deadline = time.monotonic() + self.args.minutes * 60
        length = min(CYCLE_S, max(10.0, self.args.minutes * 60 / 3))
        while time.monotonic() < deadline and len(self.violations) < VIOLATIONS_MAX:
            self.healing.clear()
            self.run_faults(faults.plan(self.args.seed, self.cycles, length, MEAN_GAP_S))
            self.cycles += 1
            self.quiet()

    def run_faults(self, planned):
        began, running = time.monotonic(), []
        for number, p in enumerate(planned):
            while (left := began + p.at - time.monotonic()) > 0 or len(running) >= AT_ONCE:
                time.sleep(min(max(left, 0.02), 0.2))
                running = [t for t in running if t.is_alive()]
            running.append(threading.Thread(target=self._one_fault, args=(number, p), daemon=True))
            running[-1].start()
        left = began + CYCLE_S - time.monotonic()
        time.sleep(max(0, min(left, 5)))
        self.healing.set()
        for thread in running:
            thread.join(HEAL_LIMIT_S)
            if thread.is_alive():
                self.violation("soak", "a fault does not heal")

    def _one_fault(self, number, planned):
        hands = set()
        name = planned.fault.name
        try:
            generator = planned.fault.begin(_View(self, hands), random.Random(planned.seed))
            target = next(generator)
            self.counts[name] += 1
            self.log("begin", cycle=self.cycles, number=number, fault=name, target=target, seconds=round(planned.seconds, 1))
            self.healing.wait(planned.seconds)
            next(generator, None)
            self.log("end", cycle=self.cycles, number=number, fault=name)
        except faults.NoTarget:
            self.skipped += 1
        except Exception as e:  # noqa: BLE001 - a fault that fails half way must be known, or the run proves less than it says
            self.violation("soak", f"fault {name}: {type(e).__name__}: {e}\n{traceback.format_exc(limit=-3)}")
        finally:
            self.release(hands)

    def quiet(self):
        """Everything is healed: it must become right, be silent, and not be larger than before."""
        for load in self.loads:
            load.pause()
        for pair in self.world.wan:
            self._settle_route(pair)
        with self._lock:
            lossy, self._lossy = self._lossy, set()
        for dc, shard in lossy:
            next(w for w in self.writers if w.dc == dc).forget(shard)
        took = self.wait_right(f"cycle {self.cycles}")
        if took is not None:
            self._stay_silent()
        self._collect()
        self.audit.judge()
        with self._lock:
            self.resources.quiet()
        for load in self.loads:
            load.go_on()
        self.say(f"cycle {self.cycles}: {sum(self.counts.values())} faults so far, right after {took if took is None else round(took, 1)} s, "
                 f"{self.audit.judged} PEEROF judged, {len(self.violations)} violations")

    def _settle_route(self, pair):
        def acknowledged():
            self.world.put_route(*pair)
            return True
        try:
            wait_until(acknowledged, 60, f"the route {pair}")
        except Timeout as e:
            self.violation("rest", str(e))

    def wait_right(self, when):
        """Seconds until nothing is wrong any more; None when that did not come."""
        began = time.monotonic()
        while True:
            problems = checks.problems_now(self)
            self.checks += 1
            took = time.monotonic() - began
            if not problems:
                self.settled_s.append(took)
                self.log("right", after=round(took, 1))
                return took
            if took > SETTLE_LIMIT_S:
                self.violation("settle", f"{when}: still wrong {took:.0f} s after healing:\n  " + "\n  ".join(problems[:15]))
                return None
            self.log("not yet", after=round(took, 1), problems=problems[:8])
            time.sleep(0.5)

    def _corrections(self):
        return {m.name: sum(v for k, v in metrics_of(m).items() if k.startswith("xpipe_meta_corrections_total"))
                for m in self.world.metas()}

    def _stay_silent(self):
        before = self._corrections()
        time.sleep(SILENCE_S)
        after = self._corrections()
        sent = {name: after[name] - before[name] for name in after if after[name] != before[name]}
        if sent:
            self.violation("silence", f"corrections although everything is right: {sent}")

    # the end

    def finish(self):
        self._end.set()
        for thread in (*getattr(self, "loads", ()), *([self.watch] if hasattr(self, "watch") else ())):
            thread.stop() if thread.is_alive() else None
        self._count_corrections()
        for daemon in sorted(self.world.daemons(), key=lambda d: d is self.world.console):
            if self.is_well(daemon):
                self.end(daemon)
        self.changes, broken = checks.chain_problems(self.world.console.db_path)
        for text in broken:
            self.violation("chain", text)
        for daemon in self.world.daemons():
            for text in checks.log_problems(daemon):
                self.violation("crash", text)
        for text in self.resources.problems(judge_memory="asan" not in build_dir().name):
            self.violation("resources", text)
        for life in self.resources.all():
            self.log("life", name=life.name, minutes=round(life.minutes, 1), quiet=[[round(x, 2) for x in q] for q in life.quiet],
                     kinds=[dict(k) for k in life.kinds])
        for name, lines in self.resources.lines_per_minute.items():
            if lines > LINES_PER_MINUTE_MAX:
                self.violation("log", f"{name}: {lines:.0f} lines a minute")

    def _count_corrections(self):
        """From the logs: the counters of a process end with it."""
        for meta in self.world.metas():
            with open(meta.log_path, errors="replace") as f:
                for line in f:
                    for event in ("done", "failed", "not_taken", "dropped", "held"):
                        self.corrections[event] += f" correction.{event} " in line

    def report(self, name):
        report = Report(name)
        figure = report.figure
        kinds = collections.Counter(kind for kind, _ in self.violations)
        figure("violations", len(self.violations), "count", 0)
        for kind in sorted(kinds):
            figure(f"violations: {kind}", kinds[kind], "count", 0)
        figure("minutes", (time.monotonic() - self.began) / 60, "min")
        figure("faults", sum(self.counts.values()), "count")
        for fault in faults.FAULTS:
            figure(f"fault {fault.name}", self.counts[fault.name], "count")
        figure("planned faults without a free target", self.skipped, "count")
        figure("quiet moments, everything right", len(self.settled_s), "count")
        if self.settled_s:
            figure("healed to right, median", statistics.median(self.settled_s), "s")
            figure("healed to right, slowest", max(self.settled_s), "s", SETTLE_LIMIT_S)
        figure("complete checks", self.checks, "count")
        figure("looks at slots and versions", self.watch.checks, "count")
        self._report_farms(figure)
        for event, count in sorted(self.corrections.items()):
            figure(f"log lines correction.{event}", count, "count")  # the log of a call site is limited to a line a second
        figure("PEEROF judged at real Redis", self.audit.judged, "count")
        figure("of these without a known owner", self.audit.unjudged, "count")
        figure("Redis writes acknowledged", sum(w.writes for w in self.writers), "count")
        figure("documents read", sum(r.reads for r in self.readers), "count")
        figure("REST changes acknowledged", self.rest.acknowledged, "count")
        figure("REST changes without an answer", self.rest.unanswered, "count")
        figure("rows of the change log, chain valid", self.changes, "count")
        self._report_resources(figure)
        report.facts = {"seed": self.args.seed, "minutes": self.args.minutes, "bulk": self.args.bulk, "cycles": self.cycles}
        return report.finish()

    def _report_farms(self, figure):
        reports = [farm.report() for farm in self.world.farms.values()]
        bulk = [farm.report() for (kind, _), farm in self.world.farms.items() if kind == "bulk"]
        figure("polls answered by the farms", sum(r["commands"]["crdt_info"] for r in reports), "count")
        figure("PEEROF at the farms", sum(r["commands"]["peerof"] for r in reports), "count")
        figure("peers of the farms broken, or wanted elsewhere for a while", sum(r["broken"] for r in bulk), "count")
        figure("peers of the farms corrected", sum(r["corrected"] for r in bulk), "count")
        figure("broken to corrected, faults beside, median", max(r["p50_ms"] for r in bulk) / 1000, "s")

    def _report_resources(self, figure):
        for d in self.world.daemons():
            lives = self.resources.generations[d.name]
            life = max(lives, key=lambda g: g.minutes if g is lives[-1] else len(g.quiet), default=None)
            if not life or not life.samples:
                continue
            figure(f"{d.name}: lives", len(lives), "count")
            figure(f"{d.name}: memory, largest", max(g.rss_max for g in lives), "MB")
            figure(f"{d.name}: memory, mean", sum(g.rss_sum for g in lives) / sum(g.samples for g in lives), "MB")
            figure(f"{d.name}: descriptors, most", max(g.fd_max for g in lives), "count")
            figure(f"{d.name}: threads, most", max(g.thread_max for g in lives), "count")
            figure(f"{d.name}: log lines a minute, most", self.resources.lines_per_minute[d.name], "count", LINES_PER_MINUTE_MAX)
            longest = max(lives, key=lambda g: len(g.judged))
            if longest.judged:
                figure(f"{d.name}: memory, slope of {len(longest.judged)} quiet samples", longest.slope(1), "MB/min")
                figure(f"{d.name}: memory, first and last third", longest.thirds(1)[1] - longest.thirds(1)[0], "MB")
                figure(f"{d.name}: descriptors of calls, most", max(q[4] for q in longest.quiet), "count")
                figure(f"{d.name}: other descriptors, first and last third", longest.thirds(2)[1] - longest.thirds(2)[0], "count")


class _View:
    """The Soak as one fault sees it: what it takes is released when it is over."""

    def __init__(self, soak, hands):
        self._soak, self._hands = soak, hands

    def __getattr__(self, name):
        return getattr(self._soak, name)

    def take(self, rng, candidates, key=None):
        return self._soak.take(self._hands, rng, candidates, key)


class _Hand:
    """A connection of somebody who is not a metaserver, known by its name in the log of Redis."""

    def __init__(self, server):
        self.client = redis_py.Redis(host=HOST, port=server.port, client_name=faults.HAND, socket_timeout=5, decode_responses=True)

    def __enter__(self):
        return self.client

    def __exit__(self, *exc):
        self.client.close()


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("MINUTES") or 2))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or random.randrange(1, 100000)))
    parser.add_argument("--shards", type=int, default=4, help="clusters of real Redis (stand-ins), a shard each")
    parser.add_argument("--metas", type=int, default=3, help="metaservers in each DC")
    parser.add_argument("--bulk", type=int, default=1500, help="masters of the farm in each DC")
    parser.add_argument("--churn", type=int, default=60, help="further ones for the clusters that come and go")
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--name", default="soak", help="results are build/bench/NAME.json, NAME-faults.log, NAME-logs")
    return parser.parse_args()


def keep_logs(soak):
    """Logs, configuration and database of every process, beside the result."""
    target = KEPT / f"{soak.args.name}-logs"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(soak.world.workspace.dir, target, ignore=shutil.ignore_patterns("data", "version-2"), dirs_exist_ok=True)
    print(f"logs are kept in {target}, faults in {soak.log_file.name}; the same faults again: SEED={soak.args.seed}", flush=True)


def main():
    soak = Soak(options())
    try:
        with soak.world:
            try:
                soak.start()
                soak.run()
                soak.finish()
                return soak.report(soak.args.name)
            finally:
                soak.is_over = True
                if soak.violations or sys.exc_info()[0] not in (None, KeyboardInterrupt, SystemExit):
                    keep_logs(soak)
    except KeyboardInterrupt:
        print(f"\nstopped after {(time.monotonic() - soak.began) / 60:.1f} minutes; nothing is left running", flush=True)
        return 1 if soak.violations else 130


if __name__ == "__main__":
    sys.exit(main())
