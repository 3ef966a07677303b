#!/usr/bin/env python3
"""make bench-poll: one metaserver polls 10,000 CRDT masters once a second, beside a bare hiredis loop doing the same.

Real: xpipe-meta (as built), ZooKeeper, TCP. Stood in for: the Redis (bench/redis_farm, one process), the console and the
metaservers of two other DCs (a small HTTP server in here that serves one prepared document and answers the batches).
The bare loop runs before and after the metaserver, so that a machine that grows slower or faster moves both sides of
the ratio. CPU is utime + stime of the process in /proc over polls the farm answered, for both alike.
Bars: design.md 7. Writes build/bench/poll.json.
"""
import argparse
import json
import os
import platform
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from harness.daemons import Meta  # noqa: E402
from harness.processes import HOST, Process, Timeout, Workspace, built, free_port, wait_until  # noqa: E402
from harness.zookeeper import ZooKeeper  # noqa: E402

OWN_DC, OWN_NET, OWN_GID = "jq", 1, 1
OTHER_DCS = {"oy": (2, 2), "fra": (3, 3)}  # name -> (gid, second octet of its masters)
PEER_PORT = 16379  # nobody listens there: the links of the farm are simulated
PERIOD_MS = 1000
BROKEN_PER_S = 0.01  # of all peers
BREAKS_PER_S = 10  # in so many portions
MUTE = 0.05
TICKS = os.sysconf("SC_CLK_TCK")


def host_of(net, number):
    """As farm_host() in bench/farm_redis.c."""
    return f"127.{net}.{number // 250}.{1 + number % 250}"


def route_of(gid):
    """Servers and params of the route towards a DC: four near proxies, then two hops of three."""
    near = ",".join(f"PROXYTCP://127.0.{gid}.{i}:21080" for i in range(1, 5))
    hops = [",".join(f"PROXYTLS://127.0.{gid + 10 * hop}.{i}:21443" for i in range(1, 4)) for hop in (1, 2)]
    return near, " ".join(hops)


# ---- the other side of the metaserver: console and other DCs ----

def document(count, port):
    """The DC document of console-api.md 3.9.1: 'count' bi-direction clusters of one shard with one Redis."""
    def cluster(i):
        redis = {"id": "unknown", "ip": host_of(OWN_NET, i), "port": port, "master": "", "gid": OWN_GID}
        shard = {"id": "s1", "dbId": 500000 + i, "sentinelId": 0, "sentinelMonitorName": f"bench-{i:05}+s1+{OWN_DC}",
                 "keepers": [], "redises": [redis], "appliers": []}
        return {"id": f"bench-{i:05}", "dbId": 1 + i, "type": "BI_DIRECTION", "activeDc": None, "backupDcs": None,
                "dcs": ",".join([OWN_DC, *OTHER_DCS]), "status": "Normal", "orgId": 8, "version": 7,
                "clusterDesignatedRouteIds": "", "shards": {"s1": shard}}
    routes = [{"id": gid, "clusterType": "", "orgId": 0, "tag": "meta", "srcDc": OWN_DC, "dstDc": dc, "isPublic": True,
               "routeInfo": " ".join(route_of(gid))} for dc, (gid, _) in OTHER_DCS.items()]
    return {"id": OWN_DC, "version": 7, "dcId": 1, "zone": "bench", "metaServers": [], "keeperContainers": [],
            "applierContainers": [], "sentinels": {}, "azs": [], "routes": routes,
            "clusters": {f"bench-{i:05}": cluster(i) for i in range(count)}}


class OtherSide(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, count, redis_port):
        super().__init__((HOST, 0), Handler)
        self.document = json.dumps(document(count, redis_port)).encode()
        self.etag = '"jq-7-1"'
        self.calls = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://{HOST}:{self.server_address[1]}"

    def masters(self, dc, shards):
        gid, net = OTHER_DCS[dc]
        return {"masters": [[c, s, gid, host_of(net, int(c[6:])), PEER_PORT] for c, s in shards]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", etag=None):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if etag:
            self.send_header("ETag", etag)
        self.end_headers()
        if body:
            self.wfile.write(body)

    def note(self, name):
        self.server.calls[name] = self.server.calls.get(name, 0) + 1

    def do_GET(self):
        self.note("document")
        if self.headers.get("If-None-Match") == self.server.etag:
            self.answer(304, etag=self.server.etag)
        else:
            self.answer(200, self.server.document, self.server.etag)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        dc, _, name = self.path.lstrip("/").partition("/")
        self.note(name.rsplit("/", 1)[-1])
        if name.endswith("/peermasters"):
            self.answer(200, json.dumps(self.server.masters(dc, body["shards"])).encode())
        else:
            self.answer(200, b"{}")


# ---- processes ----

class Farm(Process):
    def __init__(self, workspace, count):
        super().__init__(workspace, "redis_farm")
        self.count = count
        self.port, self.control = free_port(), free_port()
        self.script = self.dir / "farm.script"
        lines = [f"peer {gid} {net} {PEER_PORT} {route_of(gid)[0]} {route_of(gid)[1].replace(' ', '+')}"
                 for gid, net in OTHER_DCS.values()]
        self.script.write_text("\n".join(lines) + "\n")
        self._file = None

    def command(self):
        return [built("redis_farm"), "--port", self.port, "--control", self.control, "--count", self.count,
                "--net", OWN_NET, "--gid", OWN_GID, "--script", self.script]

    def is_ready(self):
        return "ready" in self.log_path.read_text()

    def say(self, line):
        """One line of the script language (bench/farm_control.c); returns the answer."""
        if self._file is None:
            self._file = socket.create_connection((HOST, self.control), timeout=10).makefile("rw")
        self._file.write(line + "\n")
        self._file.flush()
        answer = self._file.readline().strip()
        if not answer or answer.startswith("error"):
            raise RuntimeError(f"farm: {line}: {answer or 'no answer'}")
        return answer

    def report(self):
        return json.loads(self.say("report"))

    def polls(self):
        return self.report()["commands"]["crdt_info"]


class Bare(Process):
    ready_timeout_s = 60.0

    def __init__(self, workspace, farm, name):
        super().__init__(workspace, name)
        self.farm = farm

    def command(self):
        return [built("bare_poll"), OWN_NET, self.farm.port, self.farm.count, PERIOD_MS]

    def is_ready(self):
        return "ready" in self.log_path.read_text()


def cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mb(pid):
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def boot_us():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000  # the clock of the farm


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
    def __init__(self, args, workspace):
        self.args = args
        self.workspace = workspace
        self.farm = Farm(workspace, args.count)
        self.other = OtherSide(args.count, self.farm.port)
        self.zookeeper = ZooKeeper(workspace)
        self.meta = Meta(workspace, "meta", OWN_DC, 1, self.zookeeper,
                         {"log.level": "info", "meta.poll.milli": PERIOD_MS})
        self.meta.set_addresses(self.other.url, {dc: f"{self.other.url}/{dc}" for dc in (OWN_DC, *OTHER_DCS)})
        self.peers = args.count * len(OTHER_DCS)
        self.figures = []

    def figure(self, name, value, unit, bar=None, ok=None):
        """bar: the most that is allowed; ok overrides the comparison."""
        ok = (value <= bar if bar is not None else True) if ok is None else ok
        self.figures.append({"name": name, "value": round(value, 3), "unit": unit, "bar": bar, "ok": bool(ok)})

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


def machine(args, reply_bytes):
    cpu = next((x.split(":", 1)[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines()
                if x.startswith("model name")), platform.machine())
    return {"cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release(), "load": list(os.getloadavg()),
            "build": str(built("xpipe-meta").parent), "masters": args.count, "seconds": args.seconds,
            "reply_bytes": reply_bytes}


def show(figures):
    print(f"{'figure':<52} {'value':>12} {'bar':>8}")
    for f in figures:
        bar = "" if f["bar"] is None else f"<= {f['bar']:g}"
        verdict = "" if f["bar"] is None and f["ok"] else "ok" if f["ok"] else "MISSED"
        print(f"{f['name']:<52} {f['value']:>12,.2f} {bar:>8} {f['unit']:<6} {verdict}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10000, help="masters")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each measured window")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/poll.json")
    args = parser.parse_args()
    with Workspace("bench-poll") as workspace:
        bench = Bench(args, workspace)
        bench.run()
    facts = machine(args, bench.reply_bytes)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"figures": bench.figures, "machine": facts}, indent=1) + "\n")
    print(f"{args.count} masters, answers of {facts['reply_bytes']} bytes, {facts['cores']} cores, load {facts['load'][0]:.1f}")
    show(bench.figures)
    print(f"written to {args.out}")
    return 0 if all(f["ok"] for f in bench.figures) else 1


if __name__ == "__main__":
    sys.exit(main())
