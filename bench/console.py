#!/usr/bin/env python3
"""make bench-console: the console with 10,000 clusters, beside a bare SQLite loop and beside nginx.

Real: xpipe-console and xpipe-meta (as built), SQLite on this disk, ZooKeeper, TCP. Yardsticks of the same run
(bench/yardsticks.py): the same rows with SQLite alone, and nginx serving the very bytes of the console. nginx also stands in
for the metaservers that take the pushes. Load comes from bench/http_load: at full speed for CPU per request, at a fixed
rate for latencies, which count from the moment a request was due. CPU is utime + stime of the process in /proc over the
requests answered, for both sides alike.

"A cached document, >= 15,000 GET per CPU-second" is judged where copying does not drown the work of a server: on the document
of a DC with one cluster, and on the 304 of the whole document of 10,000 clusters. The whole document itself (megabytes)
stands beside nginx as a ratio; the document of one cluster is not cached but read from the database, and has no bar.
A p99 on a busy machine is as bad as the machine: of several windows the one with the most punctual load counts, and the p99
of nginx and the lateness of the load stand beside it.
Bars: design.md 7. Writes build/bench/console.json.
"""
import argparse
import json
import socket
import sys
import threading
import time
from pathlib import Path
from statistics import median

import requests

from report import Report, cpu_s, rss_mb
from scene import OWN_DC, OWN_NET, Farm, host_of
from yardsticks import BareStore, Nginx, Served, load
from harness.daemons import Console, Meta
from harness.processes import HOST, Workspace, accepts, wait_until
from harness.zookeeper import ZooKeeper

DCS = [OWN_DC, "oy"]  # ids 1 and 2: bare_store says so
SMALL_DC = "tiny"  # one cluster: a cached document of the size of most answers
NETS = {OWN_DC: OWN_NET, "oy": 2}  # second octet of the addresses of their Redis
BATCH = 250  # clusters of one batch of the console; as many of bare SQLite before and after it
PARALLEL = 8
RATE = 1000  # requests a second of the constant-rate part
RATE_WINDOWS = 6  # at most; the one in which the load itself was least late counts
QUIET_US = 1000  # a load that is never later than this needs no second window
GET_BAR = 15000  # a CPU-second
P99_BAR_MS = 5
WRITE_BAR = 0.60
MEMORY_BAR_MB = 300
COLD_BAR_S = 3
COLD_STARTS = 3
LIST_READS = 10


def name_of(number):
    return f"bench-{number:05}"


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def cluster_body(name, dcs):
    return {"clusterName": name, "clusterType": "BI_DIRECTION", "desc": "bench", "organizationId": 0,
            "clusterAdminEmails": "dba@example.com", "dcs": dcs}


def create_line(number):
    return f"/api/clusters {compact(cluster_body(name_of(number), DCS))}"


def shard_line(number, port):
    """One shard with one Redis in each DC."""
    parts = [{"dcId": dc, "redises": f"{host_of(NETS[dc], number)}:{port}"} for dc in DCS]
    return f"/api/shards/{name_of(number)}/s1 {compact(parts)}"


def change_line(number):
    return f"/api/cluster {compact({'clusterName': name_of(number), 'desc': f'changed {number}'})}"


class Bench:
    def __init__(self, args, workspace, report):
        self.args = args
        self.workspace = workspace
        self.figure = report.figure
        self.nginx = Nginx(workspace)
        self.farm = Farm(workspace, args.count)
        self.zookeeper = ZooKeeper(workspace)
        self.console = Console(workspace, settings={"log.level": "info"})
        self.console.set_metaservers({dc: self.nginx.url for dc in (*DCS, SMALL_DC)})
        self.whole = f"/api/dc/{OWN_DC}"

    def run(self):
        self.zookeeper.start(wait=False)
        self.nginx.start()
        self.console.start()
        self.prepare(self.console)
        self.create()
        self.fill()
        self.reads()
        self.lists()
        self.while_writing()
        self.slow_readers()
        self.memory()
        self.cold_console()
        self.cold_installation()

    @staticmethod
    def prepare(console):
        console.post("/api/zone", {"name": "bench"})
        zone = console.get("/api/zone/all")[0]["id"]
        for dc in (*DCS, SMALL_DC):
            console.post("/api/dc", {"zone_id": zone, "dc_name": dc, "description": dc})
        console.restart()  # the WAL is in the database: it may be copied

    def console_cpu(self):
        return cpu_s(self.console.pid)

    def change(self, method, lines, connections, console=None):
        path = self.workspace.dir / "requests"
        path.write_text("\n".join(lines) + "\n")
        return load((console or self.console).port, method=method, requests_file=path, connections=connections)

    # ---- writing ----

    def create(self):
        """First the bar's figure proper, durable writes through REST and nothing else: a console without metaservers. Then with
        the pushes that each write causes: the client and the receiver of the pushes share the processors with the console,
        bare SQLite has them for itself."""
        alone = Console(self.workspace, "alone", {"log.level": "info"})
        alone.start()
        self.prepare(alone)
        self.create_parts(alone, ", no metaservers", lambda: None)
        alone.stop()
        self.create_parts(self.console, "", self.wait_told)
        metrics = self.console.metrics()
        told = sum(metrics[f'xpipe_notify_pushes_total{{dc="{dc}",result="told"}}'] for dc in DCS)
        wanted = self.args.count * len(DCS)
        self.figure("pushes taken by metaservers", told, "count", ok=told >= wanted)
        self.figure("transactions that acknowledged them", metrics["xpipe_notify_acknowledgments_total"], "count")

    def create_parts(self, console, label, settle):
        """Half of the clusters by one client, half by several at once."""
        bare = BareStore(self.workspace, console.db_path)
        half = self.args.count // 2
        for numbers, clients in ((range(half), 1), (range(half, self.args.count), PARALLEL)):
            self.create_with(console, bare, numbers, clients, label, settle)
        bare.close()

    def wait_told(self):
        wait_until(lambda: self.console.metrics()["xpipe_notify_queue_rows"] == 0, 120, "every push to be taken")

    def create_with(self, console, bare, numbers, clients, label, settle):
        """Batches of the console between batches of bare SQLite: a slow disk is slow for both. The median batch counts.
        What the console still does after its last answer ('settle') is waited for, and not at the expense of bare SQLite."""
        ours, theirs, ratios = [], [], []
        label = f"{clients} client{'s' if clients > 1 else ''}{label}"
        cpu = cpu_s(console.pid)
        for at in range(numbers.start, numbers.stop, BATCH):
            batch = range(at, min(at + BATCH, numbers.stop))
            before = bare.run(2 * at, len(batch))
            report = self.change("POST", [create_line(i) for i in batch], clients, console)
            settle()
            after = bare.run(2 * at + len(batch), len(batch))
            ours.append(report)
            theirs += [before, after]
            ratios.append((before["seconds"] + after["seconds"]) / 2 / report["seconds"])
        self.report_creation(label, ours, theirs, ratios, WRITE_BAR if clients > 1 else None)
        us = 1e6 * (cpu_s(console.pid) - cpu) / len(numbers)
        self.figure(f"CPU of a creation, {label}", us, "us")

    def report_creation(self, label, ours, theirs, ratios, bar):
        def typical(key, batches, scale):
            return median(b[key] for b in batches) / scale
        self.figure(f"clusters created per second, {label}", median(b["answered"] / b["seconds"] for b in ours), "1/s")
        self.figure(f"bare SQLite around it, {label}", median(b["count"] / b["seconds"] for b in theirs), "1/s")
        self.figure(f"console / bare SQLite, {label}", median(ratios), "ratio", bar, at_least=True)
        self.figure(f"one creation, p50, {label}", typical("p50_us", ours, 1000), "ms")
        self.figure(f"one creation, p99, {label}", typical("p99_us", ours, 1000), "ms")
        self.figure(f"one bare transaction, p50, {label}", typical("p50_us", theirs, 1000), "ms")
        self.figure(f"one bare transaction, p99, {label}", typical("p99_us", theirs, 1000), "ms")

    def fill(self):
        """A shard with one Redis in each DC for every cluster; one more cluster for the small document."""
        report = self.change("POST", [shard_line(i, self.farm.port) for i in range(self.args.count)], PARALLEL)
        self.figure("shards with two Redis added per second", report["per_s"], "1/s")
        self.console.post("/api/clusters", cluster_body("small", [SMALL_DC, DCS[1]]))
        self.console.post("/api/shards/small/s1", [{"dcId": SMALL_DC, "redises": "127.9.0.1:6379"}])
        self.wait_told()

    # ---- reading ----

    def reads(self):
        began = time.monotonic()
        whole = self.console.request("GET", self.whole, timeout=60)
        self.figure("whole document, first GET", time.monotonic() - began, "s")
        good = self.complete_clusters(whole.json())
        self.figure("clusters in the whole document", good, "count", ok=good == self.args.count)
        small = f"/api/dc/{SMALL_DC}"
        self.nginx.put("same", self.console.request("GET", small).content)
        self.side_by_side("document of a small DC", small, GET_BAR)
        self.at_rate("document of a small DC", path=small)
        self.not_modified("304 of the whole document", whole.headers["ETag"])
        self.side_by_side("whole document", self.whole)
        one = f"/api/dc/{OWN_DC}/cluster/{name_of(1)}"
        self.side_by_side("document of one cluster (not cached)", one)

    @staticmethod
    def complete_clusters(document):
        return sum(len(c["shards"]) == 1 and len(c["shards"]["s1"]["redises"]) == 1
                   for c in document["clusters"].values())

    def side_by_side(self, label, path, bar=None):
        """nginx, the console, nginx."""
        data = self.console.request("GET", path).content
        copy = self.nginx.put(f"copy-{abs(hash(path))}", data)
        seconds = self.args.seconds
        before = Served(self.nginx, seconds, path=copy)
        ours = Served(self.console, seconds, path=path)
        after = Served(self.nginx, seconds, path=copy)
        if ours.report["body_bytes"] != ours.report["answered"] * len(data):
            raise RuntimeError(f"{label}: not every answer had {len(data)} bytes")
        self.figure(f"{label}, size", len(data), "bytes")
        self.report_cpu(label, ours, (before.us + after.us) / 2, bar)

    def not_modified(self, label, etag):
        theirs = requests.get(f"{self.nginx.url}/same", timeout=5).headers["ETag"]
        nginx = Served(self.nginx, self.args.seconds, path="/same", expect=304, headers=[f"If-None-Match: {theirs}"])
        what = {"path": self.whole, "expect": 304, "headers": [f"If-None-Match: {etag}"]}
        self.report_cpu(label, Served(self.console, self.args.seconds, **what), nginx.us, GET_BAR)
        self.at_rate(label, **what)

    def report_cpu(self, label, ours, nginx_us, bar):
        self.figure(f"{label}, GET per CPU-second", ours.per_cpu_s, "1/s", bar, at_least=True)
        self.figure(f"{label}, CPU per GET", ours.us, "us")
        self.figure(f"{label}, CPU per GET of nginx", nginx_us, "us")
        self.figure(f"{label}, console / nginx", ours.us / nginx_us, "ratio")

    def at_rate(self, label, **what):
        nginx = self.quiet_window(self.nginx, path="/same")
        ours = self.quiet_window(self.console, **what)
        self.figure(f"{label}, p50 at {RATE}/s", ours["p50_us"] / 1000, "ms")
        self.figure(f"{label}, p99 at {RATE}/s", ours["p99_us"] / 1000, "ms", P99_BAR_MS)
        self.figure(f"{label}, slowest at {RATE}/s", ours["max_us"] / 1000, "ms")
        self.figure(f"{label}, lateness of the load itself", ours["late_us"] / 1000, "ms")
        self.figure(f"{label}, p99 of nginx at {RATE}/s", nginx["p99_us"] / 1000, "ms")

    def quiet_window(self, server, **what):
        """Chosen by how late the load was, not by its result: a machine busy with something else delays both."""
        windows = []
        while len(windows) < RATE_WINDOWS and not any(w["late_us"] < QUIET_US for w in windows):
            windows.append(load(server.port, rate=RATE, seconds=self.args.seconds, **what))
        return min(windows, key=lambda w: w["late_us"])

    def lists(self):
        for label, path in (("list of clusters", "/api/clusters?types=bi_direction"),
                            ("list of names", "/api/clusterids"),
                            ("list of clusters with shards", "/api/clusterWithShards?type=bi_direction")):
            cpu = self.console_cpu()
            report = load(self.console.port, path=path, count=LIST_READS, connections=1)
            self.figure(f"{label}, size", report["body_bytes"] / LIST_READS / 1e6, "MB")
            self.figure(f"{label}, p50", report["p50_us"] / 1000, "ms")
            self.figure(f"{label}, CPU", 1000 * (self.console_cpu() - cpu) / LIST_READS, "ms")

    # ---- reading while writing ----

    def while_writing(self):
        """A reader of the whole document, as fast as it gets it, while one client changes clusters: what a rebuild costs, and
        how old a document can be. An answer has every change acknowledged before its request (document_cache.h), so its
        age is the time of the GET."""
        done = threading.Event()
        reads = []
        reader = threading.Thread(target=self.read_on, args=(done, reads))
        builds, cpu, began = self.builds(), self.console_cpu(), time.monotonic()
        reader.start()
        try:
            report = self.change("PUT", [change_line(i) for i in range(self.args.count // 5)], 1)
        finally:
            done.set()
            reader.join()
        seconds, cpu, builds = time.monotonic() - began, self.console_cpu() - cpu, self.builds() - builds
        self.figure("while a reader takes every version: changes per second", report["per_s"], "1/s")
        self.figure("while a reader takes every version: one change, p99", report["p99_us"] / 1000, "ms")
        self.figure("while a reader takes every version: builds per second", builds / seconds, "1/s")
        self.figure("while a reader takes every version: CPU", cpu / seconds, "cores")
        self.figure("while a reader takes every version: CPU per build with its changes", 1000 * cpu / max(1, builds), "ms")
        self.figure("age of a whole document that changes all the time, p50", 1000 * median(reads), "ms")
        self.figure("age of a whole document that changes all the time, oldest", 1000 * max(reads), "ms")

    def builds(self):
        return self.console.metrics()["xpipe_document_builds_total"]

    def read_on(self, done, reads):
        session = requests.Session()
        while not done.is_set():
            began = time.monotonic()
            with session.get(f"{self.console.url}{self.whole}", timeout=60, stream=True) as answer:
                answer.raw.read(1)
                reads.append(time.monotonic() - began)
                answer.raw.read()

    # ---- slow readers, memory ----

    def slow_readers(self):
        """Clients that ask for the whole document and do not read it, each at another version. Above a limit they are refused."""
        before = rss_mb(self.console.pid)
        sockets, refused = [], 0
        try:
            for i in range(self.args.slow):
                self.console.put("/api/cluster", {"clusterName": name_of(i), "desc": f"slow {i}"})
                refused += self.ask_and_stop(sockets) != 200
            self.figure(f"memory for {self.args.slow} readers that stand still, each at another version",
                        rss_mb(self.console.pid) - before, "MB")
            self.figure("of them refused, as older versions fill console.dcmeta.old.mib", refused, "count")
        finally:
            for s in sockets:
                s.close()
        wait_until(lambda: self.console.request("GET", self.whole, timeout=30).status_code == 200, 30,
                   "the document to be served again")

    def ask_and_stop(self, sockets):
        s = socket.socket()
        sockets.append(s)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(30)
        s.connect((HOST, self.console.port))
        s.sendall(f"GET {self.whole} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        return int(s.recv(100).split()[1])

    def memory(self):
        pid = self.console.pid
        self.figure("memory of the console after all this (RSS)", rss_mb(pid), "MB", MEMORY_BAR_MB)
        self.figure("memory of the console, most ever (VmHWM)", rss_mb(pid, "VmHWM"), "MB", MEMORY_BAR_MB)

    # ---- cold start ----

    def cold_console(self):
        times = []
        for _ in range(COLD_STARTS):
            self.console.stop()
            began = time.monotonic()
            self.console.start(wait=False)
            wait_until(lambda: accepts(self.console.port), 10, "the console to listen")
            answer = self.console.request("GET", self.whole, timeout=30)
            times.append(time.monotonic() - began)
            if self.complete_clusters(answer.json()) != self.args.count:
                raise RuntimeError("the first document after a start is not complete")
        self.figure("cold start of the console to the whole document", median(times), "s", COLD_BAR_S)
        self.figure("memory of the console after it", rss_mb(self.console.pid), "MB", MEMORY_BAR_MB)

    def cold_installation(self):
        """Console and metaserver started at the same time; ends when every Redis of the document was polled."""
        self.farm.start()
        self.zookeeper.wait_ready()
        meta = Meta(self.workspace, "meta", OWN_DC, 1, self.zookeeper, {"log.level": "info", "meta.poll.milli": 1000})
        meta.set_addresses(self.console.url, {OWN_DC: meta.url})
        self.console.stop()
        began = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
        self.console.start(wait=False)
        meta.start(wait=False)
        polled = wait_until(lambda: self.farm.report()["all_polled_at_us"], 60, "every Redis to be polled")
        self.figure("cold start of console and metaserver to every Redis polled", (polled - began) / 1e6, "s", COLD_BAR_S)
        self.figure("CPU of console and metaserver until then", self.console_cpu() + cpu_s(meta.pid), "s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10000, help="clusters")
    parser.add_argument("--seconds", type=int, default=5, help="length of each measured window")
    parser.add_argument("--slow", type=int, default=40, help="readers that stand still")
    parser.add_argument("--out", type=Path, help="default: build/bench/console.json")
    args = parser.parse_args()
    report = Report("console", args.out)
    report.facts = {"clusters": args.count, "seconds": args.seconds}
    with Workspace("bench-console") as workspace:
        try:
            Bench(args, workspace, report).run()
        except BaseException:
            report.show()  # what was measured before it went wrong
            raise
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
