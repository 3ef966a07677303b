#!/usr/bin/env python3
"""make bench-console: the console with 10,000 clusters, beside a bare SQLite loop and beside nginx.

Real: xpipe-console (as built), SQLite on this disk, HTTP over TCP. Yardsticks in the same run: bench/bare_store (the same
rows, SQLite alone, in batches that alternate with the console's) and nginx with one worker serving the very bytes that
the console answered. nginx also stands in for the metaservers that take the pushes. Load comes from bench/http_load:
at full speed for CPU per request, at a fixed rate for latencies (counted from the moment a request was due).
CPU is utime + stime of the process in /proc over the requests answered, for both sides alike.

The bar "GET of a cached document >= 15,000 per CPU-second" is judged on documents whose size does not drown the work of a
server in copying: the document of a DC with one cluster, that of one cluster, and the 304 of the whole document of
10,000 clusters. The whole document itself (megabytes) is judged as a ratio to nginx sending the same bytes.
Bars: design.md 7. Writes build/bench/console.json.
"""
import argparse
import json
import math
import os
import platform
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from harness.daemons import Console, Meta  # noqa: E402
from harness.processes import HOST, Process, Workspace, accepts, built, free_port, wait_until  # noqa: E402
from harness.zookeeper import ZooKeeper  # noqa: E402

DCS = ["jq", "oy"]  # ids 1 and 2: bare_store says so
SMALL_DC = "tiny"  # one cluster: a cached document of the size of most answers
NETS = {"jq": 1, "oy": 2}  # second octet of the addresses of their Redis
REDIS_PORT = 16379
BATCH = 250  # clusters of one batch of the console, then as many of bare SQLite
PARALLEL = 8
RATE = 1000  # requests a second of the constant-rate part
CONNECTIONS = 16
GET_BAR = 15000  # a CPU-second
WRITE_BAR = 0.60
MEMORY_BAR_MB = 300
COLD_BAR_S = 3
TICKS = os.sysconf("SC_CLK_TCK")


def name_of(number):
    return f"bench-{number:05}"


def host_of(net, number):
    """As farm_host() in bench/farm_redis.c."""
    return f"127.{net}.{number // 250}.{1 + number % 250}"


def create_line(number):
    body = {"clusterName": name_of(number), "clusterType": "BI_DIRECTION", "desc": "bench", "organizationId": 0,
            "clusterAdminEmails": "dba@example.com", "dcs": DCS}
    return f"/api/clusters {json.dumps(body, separators=(',', ':'))}"


def shard_line(number, port):
    """One shard with one Redis in each DC."""
    parts = [{"dcId": dc, "redises": f"{host_of(NETS[dc], number)}:{port}"} for dc in DCS]
    return f"/api/shards/{name_of(number)}/s1 {json.dumps(parts, separators=(',', ':'))}"


def cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mb(pid, what):
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith(what))
    return int(line.split()[1]) / 1024


# ---- what runs beside the console ----

class Nginx(Process):
    """Serves the files of self.root, and takes whatever is pushed to /api/meta/."""

    def __init__(self, workspace):
        super().__init__(workspace, "nginx")
        self.port = free_port()
        self.root = self.dir / "root"
        self.root.mkdir()
        temps = "\n".join(f"    {kind}_temp_path {self.dir}/{kind};"
                          for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        self.config = self.dir / "nginx.conf"
        self.config.write_text(f"""
daemon off;
master_process off;
worker_processes 1;
pid {self.dir}/nginx.pid;
error_log stderr;
events {{ worker_connections 2048; }}
http {{
{temps}
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    open_file_cache max=100;
    types {{ }}
    default_type "application/json;charset=UTF-8";
    server {{
        listen {HOST}:{self.port};
        location / {{ root {self.root}; etag on; }}
        location /api/meta/ {{ return 200; }}
    }}
}}
""")

    def command(self):
        return [shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") or "nginx", "-c", self.config,
                "-e", "stderr", "-p", self.dir]

    def is_ready(self):
        return accepts(self.port)

    def put(self, name, data):
        (self.root / name).write_bytes(data)
        return f"/{name}"

    @property
    def url(self):
        return f"http://{HOST}:{self.port}"


class BareStore:
    """bench/bare_store over a copy of the console's database."""

    def __init__(self, workspace, database):
        self.path = workspace.dir / "bare.db"
        shutil.copy(database, self.path)
        self.popen = subprocess.Popen([built("bare_store"), self.path], cwd=ROOT, text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, first, count):
        self.popen.stdin.write(f"{first} {count}\n")
        self.popen.stdin.flush()
        line = self.popen.stdout.readline()
        if not line:
            raise RuntimeError("bare_store ended")
        return json.loads(line)

    def close(self):
        self.popen.stdin.close()
        self.popen.wait(30)


def load(port, *options, path=None, requests_file=None, expect=200, connections=CONNECTIONS, headers=(), **numbers):
    """One run of http_load; its report."""
    command = [built("http_load"), "--port", port, "--connections", connections, "--expect", expect, *options]
    command += ["--path", path] if path else ["--requests", requests_file]
    for header in headers:
        command += ["--header", header]
    for key, value in numbers.items():
        command += [f"--{key}", value]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"http_load: {done.stderr} {done.stdout}")
    return json.loads(done.stdout)


class Served:
    """CPU of one server for the same request over and over."""

    def __init__(self, pid, port, seconds, **what):
        before = cpu_s(pid)
        self.report = load(port, seconds=seconds, **what)
        self.cpu = max(cpu_s(pid) - before, 1 / TICKS)
        self.us = 1e6 * self.cpu / max(1, self.report["answered"])
        self.per_cpu_s = self.report["answered"] / self.cpu


# ---- the run ----

class Bench:
    def __init__(self, args, workspace):
        self.args = args
        self.workspace = workspace
        self.figures = []
        self.nginx = Nginx(workspace)
        self.console = Console(workspace, settings={"log.level": "info"})
        self.console.set_metaservers({dc: self.nginx.url for dc in (*DCS, SMALL_DC)})

    def figure(self, name, value, unit, bar=None, at_least=False, ok=None):
        """bar: the most that is allowed, or the least; ok overrides the comparison."""
        if ok is None:
            ok = bar is None or (value >= bar if at_least else value <= bar)
        self.figures.append({"name": name, "value": round(value, 3), "unit": unit, "bar": bar, "at_least": at_least,
                             "ok": bool(ok)})

    def run(self):
        self.nginx.start()
        self.console.start()
        self.prepare()
        self.create()
        self.fill()
        self.reads()
        self.while_writing()
        self.slow_readers()
        self.memory()
        self.cold()

    def prepare(self):
        console = self.console
        console.post("/api/zone", {"name": "bench"})
        zone = console.get("/api/zone/all")[0]["id"]
        for dc in (*DCS, SMALL_DC):
            console.post("/api/dc", {"zone_id": zone, "dc_name": dc, "description": dc})
        console.restart()  # the WAL is in the database: it may be copied

    # ---- writing ----

    def requests_file(self, name, lines):
        path = self.workspace.dir / name
        path.write_text("\n".join(lines) + "\n")
        return path

    def create(self):
        bare = BareStore(self.workspace, self.console.db_path)
        half = self.args.count // 2
        self.create_with(bare, 0, half, 1)
        self.create_with(bare, half, self.args.count, PARALLEL)
        bare.close()
        wait_until(self.all_told, 60, "every push to be taken")
        told = sum(self.console.metrics().get(f'xpipe_notify_pushes_total{{dc="{dc}",result="told"}}', 0) for dc in DCS)
        self.figure("pushes taken by metaservers", told, "count", ok=told > 0)

    def all_told(self):
        return self.console.metrics()["xpipe_notify_queue_rows"] == 0

    def create_with(self, bare, first, last, clients):
        """Batches of the console and of bare SQLite take turns, so that a slow disk is slow for both."""
        ours_s = theirs_s = 0.0
        p50, p99, bare_p50, bare_p99 = [], [], [], []
        cpu = cpu_s(self.console.pid)
        for at in range(first, last, BATCH):
            count = min(BATCH, last - at)
            path = self.requests_file("create", [create_line(at + i) for i in range(count)])
            before = bare.run(2 * at, count)
            report = load(self.console.port, method="POST", requests_file=path, connections=clients)
            after = bare.run(2 * at + count, count)
            ours_s += report["seconds"]
            theirs_s += (before["seconds"] + after["seconds"]) / 2
            p50.append(report["p50_us"])
            p99.append(report["p99_us"])
            bare_p50.append(before["p50_us"])
            bare_p99.append(before["p99_us"])
        label = f"{clients} client{'s' if clients > 1 else ''}"
        done = last - first
        self.figure(f"clusters created per second, {label}", done / ours_s, "1/s")
        self.figure(f"bare SQLite in between, {label}", done / theirs_s, "1/s")
        self.figure(f"console / bare SQLite, {label}", theirs_s / ours_s, "ratio", WRITE_BAR, at_least=True)
        self.figure(f"one creation, p50, {label}", median(p50) / 1000, "ms")
        self.figure(f"one creation, p99, {label}", median(p99) / 1000, "ms")
        self.figure(f"one bare transaction, p50, {label}", median(bare_p50) / 1000, "ms")
        self.figure(f"one bare transaction, p99, {label}", median(bare_p99) / 1000, "ms")
        self.figure(f"CPU per creation and its pushes, {label}", 1e6 * (cpu_s(self.console.pid) - cpu) / done, "us")

    def fill(self):
        """A shard with one Redis in each DC for every cluster; one more cluster for the small document."""
        lines = [shard_line(i, REDIS_PORT) for i in range(self.args.count)]
        report = load(self.console.port, method="POST", requests_file=self.requests_file("fill", lines),
                      connections=PARALLEL)
        self.figure("shards with two Redis added per second", report["per_s"], "1/s")
        console = self.console
        console.post("/api/clusters", {"clusterName": "small", "clusterType": "BI_DIRECTION", "desc": "bench",
                                       "organizationId": 0, "clusterAdminEmails": "dba@example.com",
                                       "dcs": [SMALL_DC, DCS[1]]})
        console.post("/api/shards/small/s1", [{"dcId": SMALL_DC, "redises": f"127.9.0.1:{REDIS_PORT}"}])
        wait_until(self.all_told, 120, "every push to be taken")

    # ---- reading ----

    def reads(self):
        seconds = self.args.seconds
        began = time.monotonic()
        whole = self.console.request("GET", f"/api/dc/{DCS[0]}", timeout=60)
        self.figure("whole document, first GET (built)", time.monotonic() - began, "s")
        self.figure("whole document, size", len(whole.content) / 1e6, "MB")
        self.check_whole(whole.json())
        self.etag = whole.headers["ETag"]
        cases = [("document of a small DC", f"/api/dc/{SMALL_DC}", (), True),
                 ("document of one cluster", f"/api/dc/{DCS[0]}/cluster/{name_of(1)}", (), True)]
        for label, path, headers, is_bar in cases:
            self.side_by_side(label, path, seconds, is_bar)
        self.not_modified(seconds)
        self.side_by_side("whole document", f"/api/dc/{DCS[0]}", seconds, False)
        self.lists()

    def check_whole(self, document):
        clusters = document["clusters"]
        good = [c for c in clusters.values() if len(c["shards"]) == 1 and len(c["shards"]["s1"]["redises"]) == 1]
        self.figure("clusters in the whole document", len(good), "count", ok=len(good) == self.args.count)

    def side_by_side(self, label, path, seconds, is_bar):
        """nginx, the console, nginx."""
        data = self.console.request("GET", path).content
        copy = self.nginx.put(f"copy-{len(self.figures)}", data)
        before = Served(self.nginx.pid, self.nginx.port, seconds, path=copy)
        ours = Served(self.console.pid, self.console.port, seconds, path=path)
        after = Served(self.nginx.pid, self.nginx.port, seconds, path=copy)
        nginx_us = (before.us + after.us) / 2
        if ours.report["body_bytes"] != ours.report["answered"] * len(data):
            raise RuntimeError(f"{label}: not every answer had {len(data)} bytes")
        self.figure(f"{label}, size", len(data), "bytes")
        self.figure(f"{label}, GET per CPU-second", ours.per_cpu_s, "1/s", GET_BAR if is_bar else None, at_least=True)
        self.figure(f"{label}, CPU per GET", ours.us, "us")
        self.figure(f"{label}, CPU per GET of nginx", nginx_us, "us")
        self.figure(f"{label}, console / nginx", ours.us / nginx_us, "ratio")
        if is_bar:
            self.at_rate(label, path=path)

    def at_rate(self, label, **what):
        report = load(self.console.port, rate=RATE, seconds=self.args.seconds, **what)
        self.figure(f"{label}, p50 at {RATE}/s", report["p50_us"] / 1000, "ms")
        self.figure(f"{label}, p99 at {RATE}/s", report["p99_us"] / 1000, "ms", 5)
        self.figure(f"{label}, slowest at {RATE}/s", report["max_us"] / 1000, "ms")
        self.figure(f"{label}, worst delay of the load itself", report["late_us"] / 1000, "ms")

    def not_modified(self, seconds):
        label, path = "304 of the whole document", f"/api/dc/{DCS[0]}"
        etag = requests.get(self.nginx.url + self.nginx.put("same", b"x"), timeout=5).headers["ETag"]
        theirs = Served(self.nginx.pid, self.nginx.port, seconds, path="/same", expect=304,
                        headers=[f"If-None-Match: {etag}"])
        headers = [f"If-None-Match: {self.etag}"]
        ours = Served(self.console.pid, self.console.port, seconds, path=path, expect=304, headers=headers)
        self.figure(f"{label}, GET per CPU-second", ours.per_cpu_s, "1/s", GET_BAR, at_least=True)
        self.figure(f"{label}, CPU per GET", ours.us, "us")
        self.figure(f"{label}, CPU per GET of nginx", theirs.us, "us")
        self.figure(f"{label}, console / nginx", ours.us / theirs.us, "ratio")
        self.at_rate(label, path=path, expect=304, headers=headers)

    def lists(self):
        for label, path in (("list of clusters", "/api/clusters?types=bi_direction"), ("list of names", "/api/clusterids"),
                            ("list of clusters with shards", "/api/clusterWithShards?type=bi_direction")):
            cpu = cpu_s(self.console.pid)
            report = load(self.console.port, path=path, count=10, connections=1)
            self.figure(f"{label}, size", report["body_bytes"] / 10e6, "MB")
            self.figure(f"{label}, p50 of 10", report["p50_us"] / 1000, "ms")
            self.figure(f"{label}, CPU", 100 * (cpu_s(self.console.pid) - cpu), "ms")

    # ---- reading while writing ----

    def while_writing(self):
        """Readers of the whole document, as fast as they get it, while clusters change: what a rebuild costs, how old a
        document can be. 'Age': from the acknowledgment of a change to an answer that has it, asked for after it."""
        done = threading.Event()
        reader = threading.Thread(target=self.read_on, args=(done,))
        lines = [f"/api/cluster {json.dumps({'clusterName': name_of(i), 'desc': f'changed {i}'})}"
                 for i in range(self.args.count // 5)]
        metrics, cpu, began = self.console.metrics(), cpu_s(self.console.pid), time.monotonic()
        self.ages, self.reads_done = [], 0
        reader.start()
        report = load(self.console.port, method="PUT", requests_file=self.requests_file("change", lines),
                      connections=1)
        done.set()
        reader.join()
        seconds = time.monotonic() - began
        after = self.console.metrics()
        builds = after["xpipe_document_builds_total"] - metrics["xpipe_document_builds_total"]
        self.figure("changes per second with a reader of the whole document", report["per_s"], "1/s")
        self.figure("one change with that reader, p99", report["p99_us"] / 1000, "ms")
        self.figure("builds of the whole document meanwhile", builds / seconds, "1/s")
        self.figure("CPU of the console meanwhile", (cpu_s(self.console.pid) - cpu) / seconds, "cores")
        self.figure("CPU per build (with the changes)", 1000 * (cpu_s(self.console.pid) - cpu) / max(1, builds), "ms")
        if self.ages:
            self.figure("GET of a document that just changed, p50", 1000 * median(self.ages), "ms")
            self.figure("GET of a document that just changed, slowest", 1000 * max(self.ages), "ms")

    def read_on(self, done):
        session = requests.Session()
        version = 0
        while not done.is_set():
            began = time.monotonic()
            answer = session.get(f"{self.console.url}/api/dc/{DCS[0]}", timeout=60, stream=True)
            head = answer.raw.read(200)
            took = time.monotonic() - began
            answer.raw.read()
            seen = int(head.split(b'"version":')[1].split(b",")[0])
            if seen > version:
                self.ages.append(took)
            version = seen
            self.reads_done += 1

    # ---- slow readers, memory ----

    def slow_readers(self):
        """Clients that ask for the whole document and do not read it, a new version for each."""
        before = memory_mb(self.console.pid, "VmRSS")
        sockets = []
        for i in range(self.args.slow):
            self.console.put("/api/cluster", {"clusterName": name_of(i), "desc": f"slow {i}"})
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect((HOST, self.console.port))
            s.sendall(f"GET /api/dc/{DCS[0]} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            s.settimeout(30)
            s.recv(100)
            sockets.append(s)
        grown = memory_mb(self.console.pid, "VmRSS") - before
        self.figure(f"memory for {len(sockets)} readers that stand still, each at another version", grown, "MB")
        for s in sockets:
            s.close()

    def memory(self):
        self.figure("memory of the console after all this (RSS)", memory_mb(self.console.pid, "VmRSS"), "MB", MEMORY_BAR_MB)
        self.figure("memory of the console, most ever (VmHWM)", memory_mb(self.console.pid, "VmHWM"), "MB", MEMORY_BAR_MB)

    # ---- cold start ----

    def cold(self):
        times = []
        for _ in range(3):
            self.console.stop()
            began = time.monotonic()
            self.console.start(wait=False)
            wait_until(lambda: accepts(self.console.port), 10, "the console to listen")
            answer = self.console.request("GET", f"/api/dc/{DCS[0]}", timeout=30)
            times.append(time.monotonic() - began)
            if len(answer.json()["clusters"]) != self.args.count:
                raise RuntimeError("the first document after a start is not complete")
        self.figure("cold start of the console to the whole document", median(times), "s", COLD_BAR_S)
        self.figure("memory of the console after a cold start and one document", memory_mb(self.console.pid, "VmRSS"),
                    "MB", MEMORY_BAR_MB)


def median(values):
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2]


def machine(args):
    cpu = next((x.split(":", 1)[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines()
                if x.startswith("model name")), platform.machine())
    return {"cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release(), "load": list(os.getloadavg()),
            "build": str(built("xpipe-console").parent), "clusters": args.count, "seconds": args.seconds}


def show(figures):
    print(f"{'figure':<72} {'value':>12} {'bar':>10}")
    for f in figures:
        bar = "" if f["bar"] is None else f"{'>=' if f['at_least'] else '<='} {f['bar']:g}"
        verdict = "" if f["bar"] is None and f["ok"] else "ok" if f["ok"] else "MISSED"
        print(f"{f['name']:<72} {f['value']:>12,.2f} {bar:>10} {f['unit']:<6} {verdict}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10000, help="clusters")
    parser.add_argument("--seconds", type=int, default=6, help="length of each measured window")
    parser.add_argument("--slow", type=int, default=40, help="readers that stand still")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/console.json")
    args = parser.parse_args()
    with Workspace("bench-console") as workspace:
        bench = Bench(args, workspace)
        try:
            bench.run()
        except BaseException:
            show(bench.figures)
            raise
    facts = machine(args)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"figures": bench.figures, "machine": facts}, indent=1) + "\n")
    print(f"{args.count} clusters, {facts['cores']} cores, load {facts['load'][0]:.1f}")
    show(bench.figures)
    print(f"written to {args.out}")
    return 0 if all(f["ok"] for f in bench.figures) else 1


if __name__ == "__main__":
    sys.exit(main())
