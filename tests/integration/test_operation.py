"""Starting, stopping, reloading and watching the daemons, as an operator and systemd do it."""
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time

import pytest
import requests
from kazoo.exceptions import BadVersionError

from harness.cluster import World
from harness.daemons import ApiError, Console, Meta
from harness.processes import HOST, Workspace, built, stays, wait_until
from harness.relay import Relay
from harness.scripted import ScriptedConsole

DC = "jq"
HAND_OVER_S = 2.0   # SIGTERM of an owner until the others have its slots
LOADED = 3.0        # this machine may run the compiler beside the tests
CLUSTERS = range(0x180, 0x280)  # ids: one in each of the 256 slots
FAST = {"zk.session.timeout.milli": 2000, "leader.check.milli": 1000, "meta.poll.milli": 500, "meta.poll.fast.milli": 250}


# any order of start


def test_start_order_does_not_matter():
    """Metaservers, then ZooKeeper, then the console, then Redis and proxies: each waits and says for what."""
    with World(dcs=["jq", "fra"], replicas=1, proxied=[("jq", "fra")]) as world:
        shared = world.dcs["jq"].zookeeper
        world.workspace.forget(world.dcs["fra"].zookeeper)
        world.dcs["fra"].zookeeper = shared
        for dc in world.dcs.values():
            dc.meta.settings.update({"zk.address": shared.address, "zk.namespace": dc.name})
        world.start_metas()
        for meta in world.metas():
            wait_until(lambda: meta.log_path.read_text().count("document.fetch_failed"), 10, "the first try of the console")
            answer = meta.request("GET", "/ready")
            reasons = answer.json()["reasons"]
            assert answer.status_code == 503 and len(reasons) == 2, reasons
            assert "ZooKeeper" in reasons[0] and world.console.url in reasons[1] and "connect" in reasons[1].lower(), reasons
            wait_until(lambda: "daemon.status status=\"not ready: no valid ZooKeeper lease" in meta.log_path.read_text(), 5, "the status")
        shared.start()
        for meta in world.metas():
            wait_until(lambda: len(meta.readiness()[1]) == 1, 15, "ZooKeeper to be no reason any more")
            assert world.console.url in meta.readiness()[1][0]
        world.start_console()
        world.prepare_console()
        world.create_cluster()
        for meta in world.metas():
            wait_until(lambda: meta.readiness() == (True, []), 15, f"{meta.name} to be ready")
        world.start_proxies()
        world.start_redises()
        world.wait_linked()


# stopping


@pytest.fixture(scope="module")
def script():
    with ScriptedConsole(DC) as console:
        console.serve_clusters(CLUSTERS)
        yield console


class Members:
    """Metaservers of one DC that share ZooKeeper and the scripted console."""

    def __init__(self, workspace, zookeeper, script, namespace):
        self.workspace = workspace
        self.zookeeper = zookeeper
        self.script = script
        self.namespace = namespace
        self.all = []

    def add(self, server_id, **settings):
        meta = Meta(self.workspace, f"meta-{len(self.all)}", DC, server_id, self.zookeeper, {**FAST, **settings},
                    self.namespace)
        meta.set_addresses(self.script.url, {DC: meta.url})
        self.all.append(meta)
        return meta

    def start(self, server_id, **settings):
        return self.add(server_id, **settings).start()


@pytest.fixture
def members(request, zookeepers, script):
    name = request.node.name.replace("[", "-").rstrip("]")
    with Workspace(name) as w:
        yield Members(w, zookeepers[1], script, name)


def test_what_changed_before_a_member_joined_is_known_when_it_has(workspace, zookeepers):
    """A push goes to the members that are registered: one that fetched before, and registers after it, must ask once more. Its next
    fetch would be in a minute."""
    with ScriptedConsole(DC) as script:
        script.serve_clusters(CLUSTERS)
        relay = Relay([zookeepers[1].port])
        relay.set("refuse")
        joining = Members(workspace, zookeepers[1], script, "joining").add(1, **{"zk.address": relay.address})
        joining.start(wait=False)
        wait_until(lambda: joining.metrics()["xpipe_meta_clusters"] == len(CLUSTERS), 15, "the first document")
        script.serve_clusters(range(CLUSTERS.start, CLUSTERS.stop + 1))
        stays(lambda: joining.metrics()["xpipe_meta_clusters"] == len(CLUSTERS), 0.5, "nobody tells it")
        relay.set("open")
        wait_until(lambda: joining.metrics()["xpipe_meta_clusters"] == len(CLUSTERS) + 1, 15, "what changed meanwhile")
        relay.close()


def debug(meta):
    return meta.get("/api/metacluster/debug")


def slot_count(meta):
    return debug(meta)["inchargeSlotsSize"]


FROZEN = {"zk.session.timeout.milli": 60000, "http.member.timeout.milli": 60000}  # ends by nothing but the test


def pair(members, **settings):
    """Two members that share the slots; the first one leads."""
    first = members.start(1, **settings)
    wait_until(lambda: debug(first)["leader"], 15, "the first to lead")
    second = members.start(2, **settings)
    wait_until(lambda: slot_count(first) == slot_count(second) == 128, 15, "the slots to be shared")
    wait_until(lambda: first.readiness()[0] and second.readiness()[0], 15, "both to be ready")
    return first, second


class Asking:
    """Asks a member without a break on connections of their own; failed holds every answer that was not given.

    A connection that cannot be made is no failure, nor a clear "shutting down": a load balancer takes the next member then.
    """

    def __init__(self, meta, path):
        self.url = meta.url + path
        self.answered, self.failed = 0, []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.is_set():
            try:
                answer = requests.get(self.url, headers={"Connection": "close"}, timeout=15)
                if answer.status_code == 200 or "shutting down" in answer.text:
                    self.answered += 1
                else:
                    self.failed.append(f"{answer.status_code} {answer.text[:200]}")
            except requests.ConnectionError as e:
                if "Failed to establish a new connection" in str(e):
                    return
                self.failed.append(str(e))

    def end(self):
        self._stop.set()
        self._thread.join(20)
        return self.failed


@pytest.mark.parametrize("leads", [True, False], ids=["leader", "follower"])
def test_sigterm_hands_the_slots_over(members, leads):
    first, second = pair(members)
    leaver, stayer = (first, second) if leads else (second, first)
    assert debug(leaver)["leader"] is leads
    asking = [Asking(leaver, "/api/metacluster/serverid") for _ in range(2)]
    wait_until(lambda: all(a.answered > 5 for a in asking), 10, "answers")
    began = time.monotonic()
    os.kill(leaver.pid, signal.SIGTERM)
    wait_until(lambda: slot_count(stayer) == 256, HAND_OVER_S * LOADED, "all slots on the other member")
    took = time.monotonic() - began
    assert leaver.wait_exit(HAND_OVER_S * LOADED) == 0
    print(f"SIGTERM of the {'leader' if leads else 'follower'}: slots handed over in {took:.2f} s")
    assert [f for a in asking for f in a.end()] == []
    assert len(stayer.get("/api/current/debug")["shards"]) == len(CLUSTERS)
    text = leaver.log_path.read_text()
    assert "sharding.drained why=\"all slots are with others\"" in text and text.rstrip().endswith("daemon.stopped exit=0")


def test_request_under_way_is_answered_after_sigterm(members):
    """One request waits for a frozen member it was forwarded to, one has sent half of its body."""
    first, second = pair(members, **{"http.member.timeout.milli": 30000})
    third = members.start(3)
    wait_until(lambda: slot_count(third) > 60, 15, "a share for the third")
    cluster = debug(second)["inchargeClusters"][0]
    second.pause()
    with socket.create_connection((HOST, first.port), timeout=10) as asking:
        asking.sendall(b"GET /api/meta/getcurrentmaster/c%d/s1 HTTP/1.1\r\nHost: x\r\n\r\n" % cluster)
        for _ in range(2):
            debug(first)  # goes the same way behind it: then it is under way
        os.kill(first.pid, signal.SIGTERM)
        wait_until(lambda: "sharding.drained" in first.log_path.read_text(), HAND_OVER_S * LOADED, "the slots to be handed over")
        assert first.running and not select.select([asking], [], [], 0)[0]
        with socket.create_connection((HOST, first.port), timeout=5) as half:
            half.sendall(b"DELETE /api/meta/clusterchange/none HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
            second.resume()
            answer = asking.recv(4096)
            assert answer.startswith(b"HTTP/1.1 200 "), answer
            half.sendall(b"cd")
            answer = half.recv(4096)
            assert answer.startswith(b"HTTP/1.1 200 ") or b"shutting down" in answer
    assert first.wait_exit(HAND_OVER_S * LOADED) == 0


def test_sigterm_of_the_last_member_is_quick(members):
    only = members.start(1)
    wait_until(lambda: slot_count(only) == 256, 15, "all slots")
    os.kill(only.pid, signal.SIGTERM)
    assert only.wait_exit(HAND_OVER_S) == 0
    with members.zookeeper.client() as zk:
        assert zk.get_children(f"/{members.namespace}/metaserver/servers") == []
        assert zk.get_children(f"/{members.namespace}/metaserver/leader") == []


def test_second_sigterm_stops_at_once(members):
    """The one that would take the slots is frozen, so the first SIGTERM waits for it."""
    first, second = pair(members, **FROZEN)
    second.pause()
    os.kill(first.pid, signal.SIGTERM)
    wait_until(lambda: "daemon.draining" in first.log_path.read_text(), 5, "the drain")
    assert first.request("GET", "/ready").status_code == 503
    assert first.request("GET", "/health").status_code == 200
    assert "shutting down" in first.readiness()[1]
    assert first.running
    os.kill(first.pid, signal.SIGTERM)
    assert first.wait_exit(3.0) == 0  # the drain would wait ten times as long
    assert "daemon.stop_now" in first.log_path.read_text()


def test_drain_limit_ends_the_wait(members):
    first, second = members.start(1, **{"drain.limit.ms": 700}), members.start(2, **FROZEN)
    wait_until(lambda: slot_count(first) == slot_count(second) == 128, 15, "the slots to be shared")
    second.pause()
    began = time.monotonic()
    os.kill(first.pid, signal.SIGTERM)
    assert first.wait_exit(HAND_OVER_S * LOADED) == 0
    assert 0.6 <= time.monotonic() - began


def test_member_that_is_back_claims_its_slots_before_it_works(members):
    """Found by the soak. A leader that saw it gone writes with the versions of before: that must fail once the member works again."""
    only = members.start(1)
    wait_until(lambda: slot_count(only) == 256, 15, "all slots")
    path = f"/{members.namespace}/metaserver/slots/%d"
    with members.zookeeper.client() as zk:
        before = {n: zk.get(path % n) for n in range(256)}
        only.kill()
        only.start()
        wait_until(lambda: slot_count(only) == 256, 15, "all slots again")
        for n, (data, stat) in before.items():
            now, claimed = zk.get(path % n)
            assert now == data and claimed.version > stat.version, n
            with pytest.raises(BadVersionError):
                zk.set(path % n, data.replace(b'"serverId":1', b'"serverId":2'), version=stat.version)
    assert slot_count(only) == 256


def test_two_metaservers_with_one_id(members):
    """The second waits three session time-outs for the node to go, disturbs nobody, and ends with a clear error."""
    first = members.start(1, **FROZEN)
    wait_until(lambda: slot_count(first) == 256, 15, "all slots")
    twin = members.add(1, **{"zk.session.timeout.milli": 1000}).start()
    wait_until(lambda: "registry.waiting" in twin.log_path.read_text(), 10, "the twin to wait")

    def has_nothing():
        try:
            return slot_count(twin) == 0 and not twin.readiness()[0]
        except (ApiError, requests.RequestException):
            return True  # it is ending
    stays(lambda: slot_count(first) == 256 and first.readiness()[0] and has_nothing(), 2.0, "the first member works alone")
    assert twin.wait_exit(10) == 1
    assert re.search(rf"daemon\.failed why=\"server id 1 is taken by {re.escape(first.url[7:])}; give every metaserver",
                     twin.log_path.read_text())
    assert slot_count(first) == 256 and first.readiness()[0]
    assert "registry.failed" not in first.log_path.read_text()


# the configuration


@pytest.fixture(scope="module", params=["meta", "console"])
def daemon(request, zookeepers, script):
    """One running daemon of each kind."""
    with Workspace(request.param) as w:
        if request.param == "console":
            yield Console(w, settings={"log.level": "info"}).start()
        else:
            meta = Members(w, zookeepers[1], script, "configuration").start(1)
            wait_until(lambda: meta.readiness()[0], 15, "the metaserver to be ready")
            yield meta


RELOADABLE = {"meta": ("meta.link.alert.milli", 60000, 5000), "console": ("console.notify.timeout.ms", 5000, 4000)}
FIXED = {"meta": ("http.workers", 4, 5), "console": ("console.workers", 8, 9)}


def value(daemon, key):
    return daemon.get("/config")[key]["value"]


def log_since(daemon, mark):
    return daemon.log_path.read_text()[mark:]


def reload_and_wait(daemon, event):
    mark = len(daemon.log_path.read_text())
    os.kill(daemon.pid, signal.SIGHUP)
    wait_until(lambda: event in log_since(daemon, mark), 5, f"{event} in the log of {daemon.name}")
    return log_since(daemon, mark)


def test_sighup_applies_what_can_be_applied(daemon):
    key, before, after = RELOADABLE[daemon.section]
    fixed, fixed_before, fixed_after = FIXED[daemon.section]
    assert (value(daemon, key), value(daemon, fixed)) == (str(before), str(fixed_before))
    daemon.more_settings.update({key: after, fixed: fixed_after})
    daemon.write_ini()
    text = reload_and_wait(daemon, "config.reloaded")
    assert (value(daemon, key), value(daemon, fixed)) == (str(after), str(fixed_before))
    assert f"config.changed key={key} applied=yes" in text
    assert f'config.changed key={fixed} applied="no, needs a restart"' in text
    del daemon.more_settings[key], daemon.more_settings[fixed]
    daemon.write_ini()
    reload_and_wait(daemon, "config.reloaded")
    assert value(daemon, key) == str(before)


@pytest.mark.parametrize("line", ["no.such.key = 1", "log.level = loud", "no equals sign", "[nowhere]"])
def test_sighup_refuses_a_broken_file_and_runs_on(daemon, line):
    key, before, after = RELOADABLE[daemon.section]
    good = daemon.ini_path.read_text()
    daemon.ini_path.write_text(f"[{daemon.section}]\n{key} = {after}\n[common]\n{line}\n")
    text = reload_and_wait(daemon, "config.reload_failed")
    assert f"{daemon.ini_path}:4:" in text
    assert value(daemon, key) == str(before) and daemon.request("GET", "/health").status_code == 200
    daemon.ini_path.write_text(good)
    reload_and_wait(daemon, "config.reloaded")


def run(daemon, *arguments):
    return subprocess.run([built(daemon.program), *map(str, arguments)], capture_output=True, text=True, timeout=20)


BAD_FILES = {
    "unknown": ("[{section}]\nno.such.key = 1\n", 2, "no.such.key"),
    "out-of-range": ("[common]\n\ndrain.limit.ms = 600001\n", 3, "drain.limit.ms"),
    "not-a-number": ("[common]\ndrain.limit.ms = 10s\n", 2, "drain.limit.ms"),
    "bad-word": ("[common]\nlog.level = loud\n", 2, "log.level"),
    "duplicate": ("[common]\nlog.level = info\ndrain.limit.ms = 5\nlog.level = warn\n", 4, "log.level"),
    "other-section's": ("[{section}]\nlog.level = info\n", 2, "log.level"),
}


@pytest.mark.parametrize("bad", BAD_FILES)
def test_bad_configuration_ends_the_start_with_file_line_and_key(daemon, tmp_path, bad):
    text, line, key = BAD_FILES[bad]
    path = tmp_path / "bad.ini"
    path.write_text(text.format(section=daemon.section))
    for arguments in ((), ("--check-config",)):
        ended = run(daemon, "--config", path, *arguments)
        assert ended.returncode == 2
        assert f"{path}:{line}: key '{key}': " in ended.stderr, ended.stderr


def test_bad_values_of_the_section_name_the_key(daemon, tmp_path):
    path = tmp_path / "bad.ini"
    json_key = {"meta": "dcinfos", "console": "metaservers"}[daemon.section]
    for wrong in ("{", "[]", '{"jq":7}'):
        path.write_text(f"[{daemon.section}]\n{json_key} = {wrong}\n")
        ended = run(daemon, "--config", path)
        assert ended.returncode == 2 and f"{path}:2: key '{json_key}': " in ended.stderr, ended.stderr
    ended = run(daemon, "--config", tmp_path / "nothing.ini")
    assert ended.returncode == 2 and "nothing.ini" in ended.stderr
    ended = run(daemon, "--config", daemon.ini_path, "--set", "drain.limit.ms=-1")
    assert ended.returncode == 2 and "drain.limit.ms" in ended.stderr


def test_printed_configuration_is_accepted_again(daemon, tmp_path):
    printed = run(daemon, "--print-config")
    assert printed.returncode == 0
    path = tmp_path / "printed.ini"
    path.write_text(printed.stdout)
    more = ["--set", "dc=jq"] if daemon.section == "meta" else []
    checked = run(daemon, "--config", path, *more, "--check-config")
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stderr
    checked = run(daemon, "--config", daemon.ini_path, "--check-config")
    assert checked.returncode == 0 and "configuration is good" in checked.stdout
    if daemon.section == "meta":
        assert "key 'dc' is required" in run(daemon, "--config", path, "--check-config").stderr


def test_every_key_is_shown_and_secrets_are_not(members):
    meta = members.start(1, **{"meta.redis.password": "hunter2", "log.level": "info"})
    shown = meta.get("/config")
    keys = re.findall(r"^([a-z][a-z.]*) =", run(meta, "--print-config").stdout, re.M)
    assert sorted(shown) == sorted(keys)
    assert shown["meta.redis.password"]["value"] == "***"
    assert "hunter2" not in meta.request("GET", "/config").text + meta.log_path.read_text()


# watching


def test_metrics_pass_promtool(daemon):
    text = daemon.request("GET", "/metrics").text
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warn|error) [\w-]+ [a-z_]+\.[a-z_]+"
                      r"( [a-z_]+=([^\s\"=]+|\"([^\"\\\x00-\x1f]|\\.)*\")(\.\.\.)?)*")


def test_log_lines_have_the_documented_form(daemon):
    lines = daemon.log_path.read_text().rpartition("\n")[0].splitlines()  # whole ones: it goes on
    assert len(lines) > 5
    assert [line for line in lines if not LOG_LINE.fullmatch(line)] == []


class NotifySocket:
    """The socket of systemd for sd_notify."""

    def __init__(self, path):
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self._got = []

    def messages(self):
        while True:
            try:
                self._got.append(self._socket.recv(65536).decode())
            except BlockingIOError:
                return self._got

    def has(self, word):
        return any(word in m.split("\n") for m in self.messages())

    def count(self, word):
        return sum(word in m.split("\n") for m in self.messages())

    def close(self):
        self._socket.close()


@pytest.mark.parametrize("program", ["meta", "console"])
def test_systemd_is_told(members, program):
    if program == "meta":
        d = members.add(1)
    else:
        d = Console(members.workspace)
    notify = NotifySocket(d.dir / "notify")
    d.env = {"NOTIFY_SOCKET": str(notify.path), "WATCHDOG_USEC": "600000"}
    try:
        d.start()
        wait_until(lambda: notify.has("READY=1"), 10, "READY=1")
        wait_until(lambda: notify.count("WATCHDOG=1") >= 3, 5, "a living watchdog")
        wait_until(lambda: notify.has("STATUS=ready"), 15, "the status")
        os.kill(d.pid, signal.SIGHUP)
        wait_until(lambda: notify.has("RELOADING=1") and notify.count("READY=1") == 2, 5, "the reload")
        os.kill(d.pid, signal.SIGTERM)
        assert d.wait_exit(5) == 0
        assert notify.has("STOPPING=1")
    finally:
        notify.close()


def test_watchdog_is_not_fed_while_the_loop_stands_still(members):
    """SIGSTOP stands for a loop that hangs: nothing may feed the watchdog from another thread."""
    d = members.add(1)
    notify = NotifySocket(d.dir / "notify")
    d.env = {"NOTIFY_SOCKET": str(notify.path), "WATCHDOG_USEC": "300000"}
    try:
        d.start()
        wait_until(lambda: notify.count("WATCHDOG=1") >= 2, 5, "a living watchdog")
        d.pause()
        fed = notify.count("WATCHDOG=1")
        stays(lambda: notify.count("WATCHDOG=1") <= fed + 1, 0.5, "silence")
        d.resume()
        wait_until(lambda: notify.count("WATCHDOG=1") > fed + 1, 5, "a living watchdog again")
    finally:
        notify.close()
