#!/usr/bin/env python3
"""make bench-poll: one metaserver polls 10,000 CRDT masters once a second, beside a bare hiredis loop doing the same; then one-way shards.

What is real and what is not: bench/scene.py.
The bare loop runs before and after the metaserver, so that a machine that grows slower or faster moves both sides of
the ratio. CPU is utime + stime of the process in /proc over polls the farm answered, for both alike.
One-way shards are those of a backup DC with two keepers each: three connections a shard. As many as the limit of open files
allows; compared is what a shard costs. Bars: design.md 7, and issue 4 (1.5 x of bi-direction). Writes build/bench/poll.json.
"""
import argparse
import resource
import sys
import time
from pathlib import Path

from report import Report, cpu_s, rss_mb
from scene import (KEEPERS, OTHER_DCS, OWN_DC, OWN_NET, REDISES, Farm, OneWayFarm, OtherSide, boot_us, document,
                   one_way_document)
from harness.daemons import Meta
from harness.processes import Process, Timeout, Workspace, built, wait_until
from harness.zookeeper import ZooKeeper

PERIOD_MS = 1000
BROKEN_PER_S = 0.01  # of all peers, of all instances of one-way shards
BREAKS_PER_S = 10  # in so many portions
MUTE = 0.05
KILLED = 0.05  # active keepers, at once
KEEPER_BAR_S = 4  # three polls and a step
ROUTES_PER_S = 50  # made known to keepers: a tenth of meta.correct.rate
ONE_WAY_BAR = 1.5  # x bi-direction, a shard
REST_S = 5.5  # FARM_REST_MS: the farm leaves a shard alone that was just mended
SPARE_FILES = 500


# ---- processes ----

class Bare(Process):
    ready_timeout_s = 60.0

    def __init__(self, workspace, farm, name):
        super().__init__(workspace, name)
        self.farm = farm

    def command(self):
        return [built("bare_poll"), OWN_NET, self.farm.port, self.farm.count, PERIOD_MS]

    def is_ready(self):
        return "ready" in self.log_path.read_text()


class Window:
    """What a process did between two moments: polls/s, cores, CPU per poll."""

    def __init__(self, pid, farm):
        self.pid, self.farm = pid, farm
        self.at, self.cpu, self.polls = time.monotonic(), cpu_s(pid), farm.polls()

    def close(self):
        seconds = time.monotonic() - self.at
        self.cpu_used, self.polls_done = cpu_s(self.pid) - self.cpu, self.farm.polls() - self.polls
        self.polls_per_s = self.polls_done / seconds
        self.cores = self.cpu_used / seconds
        self.us_per_poll = 1e6 * self.cpu_used / max(1, self.polls_done)
        return self


def measure(pid, farm, seconds, each=None):
    """A window of that length; each(farm) is called BREAKS_PER_S times a second."""
    window = Window(pid, farm)
    step, done = 1 / BREAKS_PER_S, 0
    while (left := window.at + seconds - time.monotonic()) > 0:
        if each:
            each(farm)
            done += 1
            left = min(left, window.at + done * step - time.monotonic())
        time.sleep(max(0, left))
    return window.close()


# ---- the runs ----

class Part:
    """One metaserver over one farm."""

    label = ""  # in front of every figure
    cpu_bar = memory_bar = None

    def __init__(self, workspace, report, zookeeper, farm, other, seconds):
        self.workspace, self.zookeeper, self.farm, self.other, self.seconds = workspace, zookeeper, farm, other, seconds
        self.report = report
        self.meta = Meta(workspace, f"meta-{farm.name}", OWN_DC, 1, zookeeper,
                         {"log.level": "info", "meta.poll.milli": PERIOD_MS})
        self.meta.set_addresses(other.url, {dc: f"{other.url}/{dc}" for dc in (OWN_DC, *OTHER_DCS)})

    def figure(self, name, *args, **kwargs):
        self.report.figure(self.label + name, *args, **kwargs)

    def observe(self):
        """Starts it; the steady state, and what breaks is corrected, also while some are mute."""
        self.start_meta()
        self.quiet = measure(self.meta.pid, self.farm, self.seconds)
        self.quiet_rss = rss_mb(self.meta.pid)
        self.report_quiet()
        self.corrections("")
        self.farm.say(f"fault mute {int(self.farm.count * self.farm.instances * MUTE)}")
        self.corrections(", 5 % mute")
        self.farm.say("fault none all")

    def finish(self):
        self.figure("memory of the metaserver at the end", rss_mb(self.meta.pid), "MB", self.memory_bar)
        self.check_healthy()
        self.meta.stop()

    def start_meta(self):
        """From the exec to the first answer of every instance, and to every one judged right. Its CPU time tells whether
        the machine was busy with something else: the bar is for an idle one."""
        self.farm.say("reset")
        started_us = boot_us()
        self.meta.start(wait=False)
        polled = wait_until(lambda: self.farm.report()["all_polled_at_us"], 120, "the first complete round")
        cpu = cpu_s(self.meta.pid)
        wait_until(self.is_judged_right, self.settle_s, "everything to be judged right")
        judged_us = boot_us()
        self.figure("start to first complete round", (polled - started_us) / 1e6, "s", 3)
        self.figure("CPU time of the metaserver until then", cpu, "s")
        self.figure(f"start to every {self.what} judged right", (judged_us - started_us) / 1e6, "s")
        report = self.farm.report()
        wrong = sum(report[x] for x in ("needless", "harmful", "foreign"))
        self.figure("commands sent to right instances", wrong, "count", 0)

    def is_judged_right(self):
        verdicts = {name: n for name, n in self.meta.metrics().items() if name.startswith(self.metric)}
        assert verdicts[f'{self.metric}{{verdict="OK"}}'] == self.judged, verdicts
        return True

    def report_quiet(self):
        rounds = self.farm.count * self.farm.instances
        self.figure("polls per second", self.quiet.polls_per_s, "1/s",
                    ok=self.polls_bar is None or self.quiet.polls_per_s >= self.polls_bar * rounds)
        self.figure("CPU of the metaserver", self.quiet.cores, "cores", self.cpu_bar)
        self.figure("CPU a shard", 1e6 * self.quiet.cores / self.farm.count, "us/s")
        self.figure("memory of the metaserver", self.quiet_rss, "MB", self.memory_bar)

    def corrections(self, label):
        """1 % is broken each second, for the whole window; then everything must become right."""
        portion = max(1, round(self.breakable * BROKEN_PER_S / BREAKS_PER_S))
        self.farm.say("reset")
        window = measure(self.meta.pid, self.farm, self.seconds, lambda farm: farm.say(self.break_line.format(portion)))
        self.wait_right()
        self.figure(f"polls per second, 1 % broken/s{label}", window.polls_per_s, "1/s")
        self.figure(f"CPU, 1 % broken/s{label}", window.cores, "cores", self.cpu_bar)
        self.report_times(label)

    def wait_right(self):
        try:
            wait_until(lambda: self.farm.report()["wrong_now"] == 0, 30, f"every broken {self.what} to be corrected")
        except Timeout:
            print("\n".join(self.log_lines(*self.troubles)[-20:]))
            print(self.farm.report())
            raise

    def report_times(self, label, bar_s=2):
        report = self.farm.report()
        self.figure(f"{self.what}s corrected{label}", report["corrected"], "count",
                    ok=report["corrected"] == report["broken"] > 0)
        self.figure(f"commands that were not needed{label}", report["needless"], "count", 0)
        self.figure(f"harmful commands{label}", report["harmful"], "count", 0)
        self.figure(f"broken to corrected, p50{label}", report["p50_ms"] / 1000, "s")
        self.figure(f"broken to corrected, p99{label}", report["p99_ms"] / 1000, "s", bar_s)
        self.figure(f"broken to corrected, slowest{label}", report["max_ms"] / 1000, "s")

    def check_healthy(self):
        if not self.meta.running:
            raise RuntimeError(f"the metaserver ended: {self.meta.log_tail()}")
        slow = self.log_lines(" loop.slow ")
        failed = self.log_lines(" error ", *self.troubles)
        self.figure("turns of the loop over 100 ms", len(slow), "count")
        self.figure("errors in the log", len(failed), "count", 0)
        for line in failed[:5]:
            print(line)

    def log_lines(self, *words):
        text = self.meta.log_path.read_text(errors="replace")
        return [line for line in text.splitlines() if any(word in line for word in words)]


class BiDirection(Part):
    what, metric, troubles = "peer", "xpipe_meta_peers", ("correction.failed", "correction.not_taken")
    break_line = "break any {}"
    cpu_bar, memory_bar, polls_bar = 0.35, 150, 0.98

    def __init__(self, workspace, report, zookeeper, count, seconds):
        farm = Farm(workspace, count)
        other = OtherSide().serve(document(count, farm.port))
        super().__init__(workspace, report, zookeeper, farm, other, seconds)
        self.judged = self.breakable = count * len(OTHER_DCS)
        self.settle_s = 120

    def run(self):
        self.farm.start()
        self.reply_bytes = len(self.farm.say("show 0")) + self.farm.say("show 0").count("|")
        before = self.run_bare("bare_before")
        self.zookeeper.wait_ready()
        self.observe()
        self.finish()
        after = self.run_bare("bare_after")
        self.report_ratio(before, after)
        self.farm.stop()

    def run_bare(self, name):
        bare = Bare(self.workspace, self.farm, name).start()
        window = measure(bare.pid, self.farm, self.seconds / 2)
        window.rss = rss_mb(bare.pid)
        bare.kill()
        wait_until(lambda: self.farm.report()["connected"] == 0, 10, "the bare loop to be gone")
        return window

    def report_ratio(self, before, after):
        bare_us = 1e6 * (before.cpu_used + after.cpu_used) / (before.polls_done + after.polls_done)
        self.figure("CPU per poll, metaserver", self.quiet.us_per_poll, "us")
        self.figure("CPU per poll, bare loop before", before.us_per_poll, "us")
        self.figure("CPU per poll, bare loop after", after.us_per_poll, "us")
        self.figure("CPU per poll, metaserver / bare loop", self.quiet.us_per_poll / bare_us, "ratio", 2)
        self.figure("polls per second, bare loop", before.polls_per_s, "1/s")
        self.figure("memory of the bare loop", before.rss, "MB")


class OneWay(Part):
    label, what, metric, troubles = "one-way: ", "instance", "xpipe_meta_tree_nodes", ("tree.failed", "tree.not_taken")
    break_line = "spoil any {} 0"  # Redis
    polls_bar = None  # how often who is polled is the duty's own affair, as long as what breaks is mended in time

    def __init__(self, workspace, report, zookeeper, count, seconds):
        farm = OneWayFarm(workspace, count)
        other = OtherSide(farm)
        other.serve(one_way_document(count, farm.port, other.port))
        super().__init__(workspace, report, zookeeper, farm, other, seconds)
        self.judged = count * farm.instances
        self.breakable = count
        self.settle_s = 120 + count / ROUTES_PER_S

    def run(self):
        self.farm.start()
        self.zookeeper.wait_ready()
        self.figure("keepers registered in ZooKeeper by the farm", self.farm.register(self.zookeeper) / 1000, "s")
        self.figure("shards", self.farm.count, "count")
        self.observe()
        self.spoil_keepers()
        self.kill_keepers()
        self.finish()
        self.farm.stop()

    def spoil_keepers(self):
        """They are asked less often than Redis: who dies is known from ZooKeeper."""
        self.rest()
        for index in range(REDISES, REDISES + KEEPERS):
            self.farm.say(f"spoil any {max(1, int(self.farm.count * KILLED))} {index}")
        self.wait_right()
        self.report_times(", keeper spoilt", KEEPER_BAR_S)

    def rest(self):
        """Everything is right, and long enough for the farm to break it again."""
        wait_until(super().is_judged_right, 120, "everything to be judged right again")
        time.sleep(REST_S)
        self.farm.say("reset")

    def is_judged_right(self):
        """Routes cannot be read from a keeper: each active one is told its route once."""
        return super().is_judged_right() and self.farm.report()["refreshed"] >= self.farm.count

    def kill_keepers(self):
        """Active keepers leave ZooKeeper: the others take over, and the dead ones are started on their container."""
        self.rest()
        killed = int(self.farm.say(f"kill {int(self.farm.count * KILLED)}").split()[1])
        self.wait_right()
        self.figure("active keepers killed at once", killed, "count", ok=killed > 0)
        self.report_times(", keeper killed")
        wait_until(lambda: self.farm.ask("latches")["registered"] == KEEPERS * self.farm.count, 60, "keepers to be started")
        self.wait_right()
        self.figure("calls to containers for it", self.other.calls.get("container", 0), "count")


def compare(report, both, one_way):
    """What a shard costs: the steady state of both."""
    def ratio(a, b):
        return (a / one_way.farm.count) / (b / both.farm.count)
    report.figure("one-way / bi-direction: CPU a shard", ratio(one_way.quiet.cores, both.quiet.cores), "ratio", ONE_WAY_BAR)
    report.figure("one-way / bi-direction: memory a shard", ratio(one_way.quiet_rss, both.quiet_rss), "ratio", ONE_WAY_BAR)


def shards_that_fit(count):
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    fit = min(count, (files - SPARE_FILES) // OneWayFarm.instances)
    if fit < count:
        print(f"{count} one-way shards need {count * OneWayFarm.instances + SPARE_FILES} open files, {files} are allowed: "
              f"{fit} shards are measured")
    return fit


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10000, help="masters, and one-way shards")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each measured window")
    parser.add_argument("--only", choices=("bi-direction", "one-way"), help="one part, nothing is compared")
    parser.add_argument("--out", type=Path, help="the JSON; default: build/bench/poll.json")
    args = parser.parse_args()
    report = Report("poll", args.out)
    report.facts = {"masters": args.count, "seconds": args.seconds}
    with Workspace("bench-poll") as workspace:
        zookeeper = ZooKeeper(workspace).start(wait=False)
        parts = []
        if args.only != "one-way":
            parts.append(BiDirection(workspace, report, zookeeper, args.count, args.seconds))
        if args.only != "bi-direction":
            parts.append(OneWay(workspace, report, zookeeper, shards_that_fit(args.count), args.seconds))
        for part in parts:
            part.run()
        if not args.only:
            report.facts["reply_bytes"] = parts[0].reply_bytes
            compare(report, *parts)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
