#!/usr/bin/env python3
"""What the readiness verdicts of many one-way clusters cost the console: `make bench-readiness`.

    bench/readiness.py [--count 10000] [--rate 1000]

A console with --count clusters of one shard in two DCs; both metaservers are a server of this program that says that all is well, so the
figures are the console's alone. First the round that is made at once at the start, as fast as --rate allows; then every cluster NOT_READY.
"""
import argparse
import collections
import sqlite3
import sys
import time

import report as report_module

from harness.daemons import Console
from harness.processes import Workspace, wait_until
from harness.scripted import ScriptedServer

TICKS = report_module.TICKS
REPL = "a" * 40


def redis(addr, master, link=True):
    return {"addr": addr, "alive": True, "master": master, "linkUp": link, "readOnly": True, "replId": REPL, "offset": 1000,
            "priority": 100, "minSlaves": 0, **({} if master else {"follows": "10.0.1.1:6379"})}


class Metaserver(ScriptedServer):
    """Both DCs. Nothing is kept of the requests."""

    is_well = True

    def __init__(self):
        super().__init__()
        self.requests = collections.deque(maxlen=1)

    def answer(self, method, path, body):
        if path.startswith("/home/"):
            redises = [redis("10.0.1.1:6379", True)]
        else:
            redises = [redis("10.0.2.1:6379", not self.is_well), redis("10.0.2.2:6379", False)]
        return 200, {"errorType": "SUCCESS", "errorMessage": None, "success": True, "redis": redises, "epoch": 0, "fence": "none"}


def fill(db_path, count):
    """Rows as the console makes them; by REST it would take a minute."""
    db = sqlite3.connect(db_path)
    with db:
        db.execute("INSERT INTO zone_tbl (zone_name, created_wall_ms, updated_wall_ms) VALUES ('z', 1, 1)")
        for dc in ("jq", "fra"):
            db.execute("INSERT INTO dc_tbl (zone_id, dc_name, created_wall_ms, updated_wall_ms) VALUES (1, ?, 1, 1)", (dc,))
        for i in range(1, count + 1):
            db.execute("INSERT INTO cluster_tbl (cluster_name, cluster_type, activedc_id, version, created_wall_ms, updated_wall_ms) "
                       "VALUES (?, 'ONE_WAY', 1, 1, 1, 1)", (f"cluster-{i:05}",))
            db.execute("INSERT INTO shard_tbl (shard_name, cluster_id, setinel_monitor_name, created_wall_ms, updated_wall_ms) "
                       "VALUES ('s1', ?, ?, 1, 1)", (i, f"m{i}"))
            for dc in (1, 2):
                db.execute("INSERT INTO dc_cluster_tbl (dc_id, cluster_id, created_wall_ms, updated_wall_ms) VALUES (?, ?, 1, 1)", (dc, i))
    db.close()


class Bench:
    def __init__(self, args, report):
        self.args = args
        self.report = report

    def run(self):
        with Workspace("readiness") as workspace, Metaserver() as meta:
            console = Console(workspace, settings={
                "log.level": "info", "console.dr.readiness.milli": 0, "console.dr.readiness.calls.per.second": self.args.rate,
                "console.dr.readiness.age.max.milli": 7200000})
            console.set_metaservers({"jq": f"{meta.url}/home", "fra": f"{meta.url}/away"})
            console.start()
            console.stop()
            fill(console.db_path, self.args.count)
            console.start()
            time.sleep(2)  # what is measured is a console that does nothing: whatever a start leaves to do is done by then
            self.idle = self.rss(console)
            console.more_settings["console.dr.readiness.milli"] = 3600000
            self.window(console, "READY", "all READY")
            meta.is_well = False
            console.more_settings["console.dr.readiness.milli"] = 1000
            self.window(console, "NOT_READY", "all NOT_READY")
            began = time.monotonic()
            page = console.get("/api/v2/dr/readiness?limit=1000&verdict=NOT_READY")
            took_ms = 1000 * (time.monotonic() - began)
            self.report.figure("a page of 1,000 clusters", took_ms, "ms", ok=len(page["items"]) == min(1000, self.args.count))

    def window(self, console, verdict, label):
        before, looks, began = self.cpu(console), self.looks(console), time.monotonic()
        console.reload()
        gauge = f'xpipe_dr_readiness{{verdict="{verdict}"}}'
        wait_until(lambda: console.metrics()[gauge] == self.args.count, 900, f"{self.args.count} clusters {verdict}")
        seconds, cpu = time.monotonic() - began, self.cpu(console) - before
        looks = self.looks(console) - looks
        figure = self.report.figure
        figure(f"{label}: clusters looked at per second", looks / seconds, "1/s")
        figure(f"{label}: calls per second", 2 * looks / seconds, "1/s")
        figure(f"{label}: CPU of the console per cluster", 1e6 * cpu / looks, "us")
        figure(f"{label}: core, {self.args.count} clusters every 5 min", self.args.count / 300 * cpu / looks, "core", 0.1)
        figure(f"{label}: memory for it", self.rss(console) - self.idle, "MiB", 50)

    @staticmethod
    def looks(console):
        return console.metrics()["xpipe_dr_readiness_looks_total"]

    @staticmethod
    def cpu(console):
        with open(f"/proc/{console.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @staticmethod
    def rss(console):
        with open(f"/proc/{console.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * 4096 / 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10000, help="one-way clusters")
    parser.add_argument("--rate", type=int, default=1000, help="console.dr.readiness.calls.per.second")
    args = parser.parse_args()
    report = report_module.Report("readiness")
    Bench(args, report).run()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
