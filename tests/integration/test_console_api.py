"""The console as DBA tools and metaservers see it: the flows of console-api.md 5 against the real binary."""
import json
import os
import re
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from harness.processes import HOST, Process, built, free_port, wait_until

OK = {"state": 0, "message": "success"}
MAIL = "dba@example.com"


class Console(Process):
    def __init__(self, workspace, name="console", port=None, **settings):
        super().__init__(workspace, name)
        self.port = port or free_port()
        self.config = self.dir / "xpipe.ini"
        self.settings = {"console.port": self.port, "console.bind.ip": HOST, "console.db.path": self.dir / "console.db",
                         "console.notify.retry.min.ms": 50, "console.notify.retry.max.ms": 200,
                         "credis.service.idc.mapping.rule": json.dumps({"FRA": "FRA-AWS"}), **settings}
        self.write_config()

    def write_config(self, common=""):
        lines = [f"[common]\n{common}\n[console]"] + [f"{k} = {v}" for k, v in self.settings.items()]
        self.config.write_text("\n".join(lines) + "\n")

    def command(self):
        return [built("xpipe-console"), "--config", self.config]

    def url(self, path):
        return f"http://{HOST}:{self.port}{path}"

    def is_ready(self):
        return requests.get(self.url("/ready"), timeout=2).json()["ready"]

    def call(self, method, path, body=None, status=200, **headers):
        r = requests.request(method, self.url(path), data=None if body is None else json.dumps(body), timeout=10,
                             headers={"Content-Type": "application/json", **headers})
        assert r.status_code == status, f"{method} {path}: {r.status_code} {r.text}"
        return r.json() if r.content and "json" in r.headers.get("Content-Type", "") else r.text

    def ok(self, method, path, body=None, message="success"):
        assert self.call(method, path, body) == {"state": 0, "message": message}

    def log(self):
        return self.log_path.read_text()

    def signal(self, signo):
        os.kill(self.pid, signo)


class Metaserver:
    """Remembers what the console tells it."""

    def __init__(self):
        told = self.told = []
        owner = self
        self.status = 200

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                text = self.rfile.read(length).decode()
                told.append((self.command, self.path, json.loads(text) if text else None))
                self.send_response(owner.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_PUT = do_POST = do_DELETE = answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        self.url = f"http://{HOST}:{self.server.server_address[1]}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def metaservers():
    made = []

    def make(*dcs):
        for _ in dcs:
            made.append(Metaserver())
        return dict(zip(dcs, made[-len(dcs):]))
    yield make
    for m in made:
        m.close()


@pytest.fixture
def console(workspace):
    return Console(workspace).start()


def told_deletion(metaserver, cluster):
    """With the version of the deletion, so that a metaserver can order it among other pushes."""
    return any(m == "DELETE" and re.fullmatch(f"/api/meta/clusterchange/{cluster}\\?version=[1-9][0-9]*", p)
               for m, p, _ in metaserver.told)


def install(console, dcs=("jq", "oy", "rb")):
    """5.0, without keeper containers and sentinels."""
    console.ok("POST", "/api/zone", {"name": "SHA"})
    zone = console.call("GET", "/api/zone/all")[0]
    assert zone["zoneName"] == "SHA" and zone["deleted"] is False
    for dc in dcs:
        console.ok("POST", "/api/dc", {"zone_id": zone["id"], "dc_name": dc, "description": "d"})
    console.ok("POST", "/api/organizations", {"orgId": 8, "orgName": "cache"})
    assert [o["orgId"] for o in console.call("GET", "/api/organizations/all")] == [8]


def one_way_cluster(console, name="demo", dcs=("jq", "oy")):
    console.ok("POST", "/api/clusters", {"clusterName": name, "clusterType": "ONE_WAY", "dcs": list(dcs), "desc": "demo",
                                         "organizationId": 8, "clusterAdminEmails": MAIL})


def demo_with_shards(console):
    one_way_cluster(console)
    for n in (1, 2):
        console.ok("POST", f"/api/shards/demo/s{n}", [
            {"dcId": "jq", "redises": f"10.{n}.1.1:6379,10.{n}.1.2:6379"},
            {"dcId": "oy", "redises": f"10.{n}.2.1:6379,10.{n}.2.2:6379"}], message="Successfully created shard")


def test_installation(console):
    install(console)
    answer = console.call("GET", "/api/dc")
    assert (answer["state"], answer["message"]) == (0, None)
    assert [d["dc_name"] for d in answer["payload"]] == ["jq", "oy", "rb"]
    assert console.call("GET", "/api/dcids") == ["jq", "oy", "rb"]
    assert console.call("POST", "/api/dc", {"zone_id": 1, "dc_name": "JQ", "description": "d"})["state"] == -1


def test_bi_direction_behind_proxies(workspace, metaservers):
    """5.2 step by step."""
    meta = metaservers("A", "FRA")
    console = Console(workspace, metaservers=json.dumps({dc: m.url for dc, m in meta.items()})).start()
    install(console, ("A", "FRA"))
    for host, dc in (("2.2.2.2", "A"), ("4.4.4.4", "FRA")):
        console.ok("POST", "/api/proxy", {"uri": f"PROXYTCP://{host}:80", "dcName": dc, "active": True, "monitorActive": True})
        console.ok("POST", "/api/proxy", {"uri": f"PROXYTLS://{host}:443", "dcName": dc, "active": True})
    proxies = console.call("GET", "/api/proxies/active")
    assert [(p["id"], p["uri"], p["dcName"], p["hostPort"]) for p in proxies] == [
        (1, "PROXYTCP://2.2.2.2:80", "A", None), (2, "PROXYTLS://2.2.2.2:443", "A", None),
        (3, "PROXYTCP://4.4.4.4:80", "FRA", None), (4, "PROXYTLS://4.4.4.4:443", "FRA", None)]
    route = {"optionProxyIds": "", "tag": "meta", "orgId": 0, "clusterType": "", "active": True, "public": True,
             "description": ""}
    there = {**route, "srcDcName": "A", "dstDcName": "FRA", "srcProxyIds": "1", "dstProxyIds": "4"}
    back = {**route, "srcDcName": "FRA", "dstDcName": "A", "srcProxyIds": "3", "dstProxyIds": "2"}
    assert console.call("POST", "/api/route", there)["state"] == 0
    assert console.call("POST", "/api/route", back)["state"] == 0
    console.ok("POST", "/api/clusters", {"clusterName": "bi_cluster1", "clusterType": "BI_DIRECTION", "dcs": ["A", "FRA-AWS"],
                                         "desc": "d", "organizationId": 8, "clusterAdminEmails": MAIL})
    console.ok("POST", "/api/shards/bi_cluster1/s1", [{"dcId": "A", "redises": "1.1.1.1:6379"},
                                                      {"dcId": "FRA-AWS", "redises": "3.3.3.3:6379"}],
               message="Successfully created shard")
    assert console.call("GET", "/api/cluster/bi_cluster1")["dcs"] == ["A", "FRA-AWS"]
    assert console.call("GET", "/api/redises/FRA-AWS/bi_cluster1/s1") == ["3.3.3.3:6379"]
    for dc, host in (("A", "1.1.1.1"), ("FRA", "3.3.3.3")):  # told in both DCs, each with its own Redis
        def told():
            return [b for m, p, b in meta[dc].told if (m, p) == ("PUT", "/api/meta/clusterchange/bi_cluster1")
                    and b["shards"].get("s1", {}).get("redises")]
        body = wait_until(told, what=f"push to {dc}")[-1]
        assert (body["dcs"], body["activeDc"], body["backupDcs"]) == ("A,FRA", None, None)
        assert body["shards"]["s1"]["redises"][0]["ip"] == host
        assert body["version"] > 0
    wait_until(lambda: any(p == "/api/meta/v2/refresh" for _, p, _ in meta["A"].told), what="refresh for the routes")
    document = console.call("GET", "/api/dc/a?types=bi_direction")
    assert document["id"] == "A"
    assert [(r["srcDc"], r["dstDc"], r["routeInfo"], r["isPublic"]) for r in document["routes"]] == [
        ("A", "FRA", "PROXYTCP://2.2.2.2:80 PROXYTLS://4.4.4.4:443", True)]
    links = console.call("GET", "/api/clusters/bi_cluster1/peers?dc=A")
    assert [(x["peerDc"], x["proxyServers"], x["proxyParams"]) for x in links] == [
        ("FRA", "PROXYTCP://2.2.2.2:80", "PROXYTLS://4.4.4.4:443")]
    choice = console.call("GET", "/api/clusters/bi_cluster1/routes?src=A")
    assert [(c["dstDc"], c["kind"], c["routeId"]) for c in choice] == [("FRA", "CHOSEN", 1)]
    # A client that edits what it read does not lose the public flag.
    read = next(r for r in console.call("GET", "/api/routes/all") if r["id"] == 1)
    read["description"] = "edited"
    assert console.call("PUT", "/api/route", read)["state"] == 0
    again = next(r for r in console.call("GET", "/api/routes/all") if r["id"] == 1)
    assert (again["isPublic"], again["description"]) == (True, "edited")


def test_add_and_remove_a_dc(workspace, metaservers):
    """5.3 and 5.4 for a one-way cluster."""
    meta = metaservers("jq", "oy", "rb")
    console = Console(workspace, metaservers=json.dumps({dc: m.url for dc, m in meta.items()})).start()
    install(console)
    demo_with_shards(console)
    console.ok("POST", "/api/clusters/demo/dcs/rb")
    assert console.call("GET", "/api/cluster/demo")["dcs"] == ["jq", "oy", "rb"]
    console.ok("POST", "/api/redises/rb/demo/s1", ["10.0.3.1:6379", "10.0.3.2:6379"])
    assert console.call("GET", "/api/redises/rb/demo/s1") == ["10.0.3.1:6379", "10.0.3.2:6379"]
    wait_until(lambda: any(b and b["shards"]["s1"]["redises"] for _, _, b in meta["rb"].told if b and "shards" in b),
               what="push to rb")
    assert console.call("GET", "/api/redis/info/10.0.3.1/6379") == {"dcId": "rb", "clusterId": "demo", "shardId": "s1"}
    assert console.call("DELETE", "/api/clusters/demo/dcs/rb") == {"state": -1, "message": "cluster not empty in dc rb"}
    console.ok("DELETE", "/api/redises/rb/demo/s1", ["10.0.3.1:6379", "10.0.3.2:6379", "10.9.9.9:1"])
    console.ok("DELETE", "/api/clusters/demo/dcs/rb")
    wait_until(lambda: told_deletion(meta["rb"], "demo"), what="DELETE in rb")
    assert console.call("DELETE", "/api/clusters/demo/dcs/jq")["message"].startswith("cluster not empty in dc jq")
    assert console.call("DELETE", "/api/shards/demo/s2") == {"state": 0, "message": "Successfully deleted shard"}
    assert console.call("DELETE", "/api/shards/demo/s2") == {"state": 0, "message": "Shard already not exist"}
    assert console.call("DELETE", "/api/cluster/demo") == {"state": -1, "message": "cluster not empty"}
    console.ok("DELETE", "/api/cluster/demo?checkEmpty=false")
    for dc in ("jq", "oy"):
        wait_until(lambda: told_deletion(meta[dc], "demo"), what=f"DELETE in {dc}")
    assert console.call("GET", "/api/cluster/demo", status=404) == {"message": "cluster demo not found",
                                                                   "exception": "NOT_FOUND"}
    console.call("GET", "/api/keepers/jq/demo/s1", status=404)


def test_document_etag(console):
    install(console)
    demo_with_shards(console)
    first = requests.get(console.url("/api/dc/jq"), timeout=5)
    assert first.status_code == 200 and list(first.json()["clusters"]) == ["demo"]
    etag = first.headers["ETag"]
    assert re.fullmatch(r'"jq-\d+-[0-9a-f]+"', etag)
    same = requests.get(console.url("/api/dc/jq"), headers={"If-None-Match": etag}, timeout=5)
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", etag)
    console.ok("POST", "/api/redises/oy/demo/s1", ["10.7.7.7:6379"])  # another DC's Redis: this document is the same
    same = requests.get(console.url("/api/dc/jq"), headers={"If-None-Match": etag}, timeout=5)
    assert same.status_code == 304
    console.ok("POST", "/api/redises/jq/demo/s1", ["10.7.7.8:6379"])
    changed = requests.get(console.url("/api/dc/jq"), headers={"If-None-Match": etag}, timeout=5)
    assert changed.status_code == 200 and changed.headers["ETag"] != etag
    assert changed.json()["version"] > first.json()["version"]
    assert console.call("GET", "/api/dc/nowhere", status=404)["exception"] == "NOT_FOUND"
    single = console.call("GET", "/api/dc/jq/cluster/demo")
    assert single == changed.json()["clusters"]["demo"]  # pushed and polled form agree


def test_restart_keeps_everything_and_what_was_not_told(workspace, metaservers):
    meta = metaservers("jq")["jq"]
    meta.status = 503
    console = Console(workspace, metaservers=json.dumps({"jq": meta.url})).start()
    install(console)
    demo_with_shards(console)
    wait_until(lambda: meta.told, what="a first try")
    before = requests.get(console.url("/api/dc/jq"), timeout=5)
    console.kill()
    meta.told.clear()
    meta.status = 200
    console.start()
    after = requests.get(console.url("/api/dc/jq"), timeout=5)
    assert after.json() == before.json()
    assert after.headers["ETag"] == before.headers["ETag"]
    wait_until(lambda: ("PUT", "/api/meta/clusterchange/demo") in [t[:2] for t in meta.told], what="push after the restart")
    wait_until(lambda: re.search(r"^xpipe_notify_queue_rows (\d+)", console.call("GET", "/metrics"), re.M),
               what="metrics of the queue")


def test_sigterm_finishes_what_runs(console):
    install(console)
    stop = threading.Event()
    answers = []

    def write():
        n = 0
        while not stop.is_set():
            n += 1
            try:
                r = requests.put(console.url("/api/dc"), data=json.dumps({"dc_name": "jq", "description": f"d{n}"}), timeout=5)
                answers.append((n, r.status_code))
            except requests.RequestException:
                return
    writer = threading.Thread(target=write)
    writer.start()
    wait_until(lambda: len(answers) > 5, what="some writes")
    console.signal(signal.SIGTERM)
    assert console.wait_exit(10) == 0
    stop.set()
    writer.join()
    assert {status for _, status in answers} <= {200, 503}
    last_ok = max(n for n, status in answers if status == 200)
    console.start()
    stored = console.call("GET", "/api/dc")["payload"][0]["description"]
    assert int(stored[1:]) >= last_ok  # what was answered is there
    assert "daemon.draining" in console.log()


def test_sighup_applies_and_refuses(console):
    console.write_config("log.level = debug")
    console.signal(signal.SIGHUP)
    wait_until(lambda: "config.reloaded" in console.log(), what="the reload")
    wait_until(lambda: console.call("GET", "/config")["log.level"]["value"] == "debug", what="the new level")
    console.settings["console.port"] = free_port()
    console.write_config()
    console.signal(signal.SIGHUP)
    wait_until(lambda: "needs a restart" in console.log(), what="the report")
    console.settings.update({"console.port": console.port, "console.notify.retry.max.ms": 10,
                             "console.notify.poll.ms": 777})  # each is in range, together they are wrong
    console.write_config()
    console.signal(signal.SIGHUP)
    wait_until(lambda: "below console.notify.retry.min.ms" in console.log(), what="the refused pair")
    assert console.call("GET", "/config")["console.notify.poll.ms"]["value"] == "1000"
    console.config.write_text("[console]\nnonsense = 1\n")
    console.signal(signal.SIGHUP)
    wait_until(lambda: "nonsense" in console.log(), what="the refusal")
    console.call("GET", "/healthz")


def run(*args):
    return subprocess.run([str(built("xpipe-console")), *map(str, args)], capture_output=True, text=True, timeout=20)


def test_wrong_configuration_is_named(workspace):
    path = workspace.dir / "bad.ini"
    path.write_text("[console]\nconsole.port = 8080\nconsole.prot = 1\n")
    done = run("--config", path)
    assert done.returncode == 2
    assert f"{path}:3" in done.stderr and "console.prot" in done.stderr
    path.write_text("[console]\nconsole.port = 123456\n")
    done = run("--config", path, "--check-config")
    assert done.returncode == 2 and f"{path}:2" in done.stderr
    assert run("--set", "metaservers={\"jq\":5}", "--check-config").returncode == 2
    assert run("--nonsense").returncode == 2
    assert run("--check-config").returncode == 0


def test_command_line_shows_what_there_is():
    assert "console.db.path" in run("--print-config").stdout
    assert "/api/dc/{dc}" in run("--print-routes").stdout
    assert run("--version").stdout.startswith("xpipe-console ")
    assert "--check-config" in run("--help").stdout


def test_second_console_on_the_same_database_is_refused(workspace, console):
    done = run("--config", console.config, "--set", f"console.port={free_port()}")
    assert done.returncode == 1
    assert "console.db" in done.stderr + done.stdout
    console.call("GET", "/healthz")


def test_port_in_use_is_named(workspace, console):
    done = run("--config", console.config, "--set", f"console.db.path={workspace.dir}/other.db")
    assert done.returncode == 1
    assert str(console.port) in done.stderr + done.stdout


def test_statuses(console):
    """1.2: what scripts rely on, and the strict mode of 7.2."""
    install(console)
    assert console.call("POST", "/api/clusters", {}) == {"state": -1, "message": "clusterName empty"}
    strict = {"X-XPipe-Status": "strict"}
    answer = console.call("POST", "/api/clusters", {}, status=400, **strict)
    assert (answer["state"], answer["code"]) == (-1, "INVALID") and answer["requestId"]
    r = requests.post(console.url("/api/clusters"), data="{", timeout=5)
    assert r.status_code == 500 and set(r.json()) == {"message", "exception"}
    assert requests.post(console.url("/api/clusters"), data="{", headers=strict, timeout=5).status_code == 400
    form = requests.post(console.url("/api/clusters"), data={"clusterName": "x"}, timeout=5)
    assert form.status_code == 400 and set(form.json()) == {"message", "exception"}
    assert "application/json" in form.json()["message"]
    console.call("GET", "/api/no/such/path", status=404)
    assert set(console.call("DELETE", "/api/stats", status=400)) == {"message", "exception"}
    assert requests.delete(console.url("/api/stats"), headers=strict, timeout=5).status_code == 405
    assert console.call("POST", "/api/clusters/x/repl-direction", [], status=501) == {
        "state": -1, "message": "not supported: appliers"}
    health = console.call("GET", "/health")
    assert health["isLeader"] is True and health["crossDcLeader"] is True
    assert requests.get(console.url("/ready"), timeout=5).json() == {"ready": True, "reasons": []}
