#!/usr/bin/env python3
"""make bench-poll: one metaserver polls 10,000 CRDT masters once a second, beside a bare hiredis loop doing the same.

What is real and what is not: bench/scene.py.
The bare loop runs before and after the metaserver, so that a machine that grows slower or faster moves both sides of
the ratio. CPU is utime + stime of the process in /proc over polls the farm answered, for both alike.
Bars: design.md 7. Writes build/bench/poll.json.
"""
import argparse
import sys
import time
from pathlib import Path

from report import Report, cpu_s, rss_mb
from scene import OTHER_DCS, OWN_DC, OWN_NET, Farm, OtherSide, boot_us, document
from harness.daemons import Meta
from harness.processes import Process, Timeout, Workspace, built, wait_until
from harness.zookeeper import ZooKeeper

PERIOD_MS = 1000
BROKEN_PER_S = 0.01  # of all peers
BREAKS_PER_S = 10  # in so many portions
MUTE = 0.05


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


# ---- the run ----

class Bench:
    def __init__(self, args, workspace, report):
        self.args = args
        self.workspace = workspace
        self.farm = Farm(workspace, args.count)
        self.other = OtherSide(document(args.count, self.farm.port))
        self.zookeeper = ZooKeeper(workspace)
        self.meta = Meta(workspace, "meta", OWN_DC, 1, self.zookeeper,
                         {"log.level": "info", "meta.poll.milli": PERIOD_MS})
        self.meta.set_addresses(self.other.url, {dc: f"{self.other.url}/{dc}" for dc in (OWN_DC, *OTHER_DCS)})
        self.peers = args.count * len(OTHER_DCS)
        self.figure = report.figure

    def run(self):
        self.zookeeper.start(wait=False)
        self.farm.start()
        self.reply_bytes = len(self.farm.say("show 0")) + self.farm.say("show 0").count("|")
        before = self.run_bare("bare_before")
        self.zookeeper.wait_ready()
        self.start_meta()
        quiet = measure(self.meta.pid, self.farm, self.args.seconds)
        quiet_rss = rss_mb(self.meta.pid)
        self.report_quiet(quiet, quiet_rss)
        self.corrections("")
        self.farm.say(f"fault mute {int(self.args.count * MUTE)}")
        self.corrections(", 5 % mute")
        self.figure("memory of the metaserver at the end", rss_mb(self.meta.pid), "MB", 150)
        self.check_healthy()
        self.meta.stop()
        self.farm.say("fault none all")
        after = self.run_bare("bare_after")
        self.report_ratio(quiet, before, after)

    def run_bare(self, name):
        bare = Bare(self.workspace, self.farm, name).start()
        window = measure(bare.pid, self.farm, self.args.seconds / 2)
        window.rss = rss_mb(bare.pid)
        bare.kill()
        wait_until(lambda: self.farm.report()["connected"] == 0, 10, "the bare loop to be gone")
        return window

    def start_meta(self):
        """From the exec to the first answer of every instance, and to every peer judged right. Its CPU time tells whether
        the machine was busy with something else: the bar is for an idle one."""
        self.farm.say("reset")
        started_us = boot_us()
        self.meta.start(wait=False)
        polled = wait_until(lambda: self.farm.report()["all_polled_at_us"], 60, "the first complete round")
        cpu = cpu_s(self.meta.pid)
        wait_until(lambda: self.judged_ok() == self.peers, 30, "every peer to be judged OK")
        judged_us = boot_us()
        self.figure("start to first complete round", (polled - started_us) / 1e6, "s", 3)
        self.figure("CPU time of the metaserver until then", cpu, "s")
        self.figure("start to every peer judged right", (judged_us - started_us) / 1e6, "s")
        report = self.farm.report()
        self.figure("commands sent to right instances", report["commands"]["peerof"], "count", 0)

    def judged_ok(self):
        return self.meta.metrics().get('xpipe_meta_peers{verdict="OK"}', 0)

    def report_quiet(self, window, rss):
        self.figure("polls per second", window.polls_per_s, "1/s", ok=window.polls_per_s >= 0.98 * self.args.count)
        self.figure("CPU of the metaserver", window.cores, "cores", 0.35)
        self.figure("memory of the metaserver", rss, "MB", 150)

    def corrections(self, label):
        """1 % of the peers is broken each second, for the whole window; then everything must become right."""
        portion = max(1, round(self.peers * BROKEN_PER_S / BREAKS_PER_S))
        self.farm.say("reset")
        window = measure(self.meta.pid, self.farm, self.args.seconds, lambda farm: farm.say(f"break any {portion}"))
        try:
            wait_until(lambda: self.farm.report()["wrong_now"] == 0, 30, "every broken peer to be corrected")
        except Timeout:
            print("\n".join(self.log_lines("correction.not_taken", "correction.failed", "correction.held")[-20:]))
            raise
        report = self.farm.report()
        self.figure(f"polls per second, 1 % broken/s{label}", window.polls_per_s, "1/s")
        self.figure(f"CPU, 1 % broken/s{label}", window.cores, "cores", 0.35)
        self.figure(f"peers corrected{label}", report["corrected"], "count",
                    ok=report["corrected"] == report["broken"] > 0)
        self.figure(f"commands that were not needed{label}", report["needless"], "count", 0)
        self.figure(f"broken to corrected, p50{label}", report["p50_ms"] / 1000, "s")
        self.figure(f"broken to corrected, p99{label}", report["p99_ms"] / 1000, "s", 2)
        self.figure(f"broken to corrected, slowest{label}", report["max_ms"] / 1000, "s")

    def check_healthy(self):
        if not self.meta.running:
            raise RuntimeError(f"the metaserver ended: {self.meta.log_tail()}")
        slow = self.log_lines(" loop.slow ")
        failed = self.log_lines(" error ", "correction.failed", "correction.not_taken")
        self.figure("turns of the loop over 100 ms", len(slow), "count")
        self.figure("errors in the log", len(failed), "count", 0)
        for line in failed[:5]:
            print(line)

    def log_lines(self, *words):
        text = self.meta.log_path.read_text(errors="replace")
        return [line for line in text.splitlines() if any(word in line for word in words)]

    def report_ratio(self, quiet, before, after):
        bare_us = 1e6 * (before.cpu_used + after.cpu_used) / (before.polls_done + after.polls_done)
        self.figure("CPU per poll, metaserver", quiet.us_per_poll, "us")
        self.figure("CPU per poll, bare loop before", before.us_per_poll, "us")
        self.figure("CPU per poll, bare loop after", after.us_per_poll, "us")
        self.figure("CPU per poll, metaserver / bare loop", quiet.us_per_poll / bare_us, "ratio", 2)
        self.figure("polls per second, bare loop", before.polls_per_s, "1/s")
        self.figure("memory of the bare loop", before.rss, "MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10000, help="masters")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each measured window")
    parser.add_argument("--out", type=Path, help="the JSON; default: build/bench/poll.json")
    args = parser.parse_args()
    report = Report("poll", args.out)
    with Workspace("bench-poll") as workspace:
        bench = Bench(args, workspace, report)
        bench.run()
    report.facts = {"masters": args.count, "seconds": args.seconds, "reply_bytes": bench.reply_bytes}
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
