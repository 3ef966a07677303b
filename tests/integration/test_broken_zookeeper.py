"""Foreign clients that write where only metaservers should, metaservers that should not be there, and a ZooKeeper that is
away, empty, or none at all.

Two members share the slots of one namespace. After every attack: each slot is held by exactly one of them and its record says so;
and at no moment was one held by both.
"""
import fcntl
import json
import os
import random
import re
import shutil
import socket
import sys
import termios
import time

import pytest
import requests
from kazoo.exceptions import NoNodeError, NotEmptyError
from kazoo.security import make_acl

from harness.daemons import ApiError, Meta
from harness.hostile import RawServer, Trial, assert_clean, flood, is_sanitized, reset, wait_closed
from harness.hostile_site import FAST
from harness.processes import HOST, Workspace, free_port, stays, wait_until
from harness.scripted import ScriptedConsole
from harness.zookeeper import ZooKeeper

DC, OTHER_DC = "jq", "fra"
HEAL_S = 40
SETTINGS = {**FAST, "meta.refresh.milli": 1000, "zk.session.timeout.milli": 4000, "slot.refresh.milli": 1000,
            "cluster.servers.check.milli": 1000}


@pytest.fixture(scope="module")
def script():
    with ScriptedConsole(DC) as console:
        console.serve_clusters(range(1, 31))
        yield console


class Members:
    """Two metaservers of DC in one namespace."""

    def __init__(self, workspace, script, zookeeper, namespace):
        self.workspace, self.script, self.zookeeper, self.namespace = workspace, script, zookeeper, namespace
        self.base = f"/{namespace}/metaserver"
        self.metas = [self.make(i, DC) for i in (1, 2)]

    def make(self, server_id, dc, name=None, **settings):
        meta = Meta(self.workspace, name or f"meta-{server_id}", dc, server_id, self.zookeeper, {**SETTINGS, **settings},
                    self.namespace)
        meta.set_addresses(self.script.url, {dc: meta.url})
        return meta

    def start(self):
        for meta in self.metas:
            meta.start()
        self.wait_whole()
        return self

    def leader(self):
        return next(m for m in self.metas if m.get("/api/metacluster/debug")["leader"])

    def client(self):
        return self.zookeeper.client()

    def is_single(self):
        """No slot is held by one member before and after a moment at which the other holds it too."""
        first, second = self.metas
        before, middle, after = slots_of(first), slots_of(second), slots_of(first)
        assert not before & middle & after, sorted(before & middle & after)
        return True

    def is_whole(self):
        first, second = map(slots_of, self.metas)
        assert len(first | second) == 256 and not first & second, f"{len(first)} + {len(second)}"
        assert min(len(first), len(second)) > 60
        assert all(m.readiness()[0] for m in self.metas)
        with self.client() as zk:
            for slot in range(256):
                record = json.loads(zk.get(f"{self.base}/slots/{slot}")[0])
                owner = 1 if slot in first else 2
                assert record == {"serverId": owner, "slotState": "NORMAL", "toServerId": 0}, (slot, record)
            for m in self.metas:
                shown = json.loads(zk.get(f"{self.base}/servers/{m.server_id}")[0])
                assert (shown["ip"], shown["port"]) == (HOST, m.port)
        return True

    def wait_whole(self):
        """Every slot has exactly one owner; on the way no slot ever had two."""
        def whole():
            self.is_single()
            return self.is_whole()
        wait_until(whole, HEAL_S, "every slot to be held by exactly one member")
        assert sorted(c for m in self.metas for c in m.get("/api/metacluster/debug")["inchargeClusters"]) == list(range(1, 31))


def slots_of(meta):
    return set(meta.get("/api/metacluster/debug")["inchargeSlots"])


@pytest.fixture(scope="module")
def members(script):
    """With a ZooKeeper of their own: it is stopped and emptied here."""
    with Workspace("broken-zookeeper") as w:
        zookeeper = ZooKeeper(w).start()
        yield Members(w, script, zookeeper, "attacked").start()


@pytest.fixture
def whole(members):
    """Whole before and after; no crash, no leak of memory, no restart."""
    members.wait_whole()
    trials = [Trial(m) for m in members.metas]
    for t in trials:
        t.__enter__()
    yield members
    members.wait_whole()
    for t in trials:
        t.__exit__(None)


# foreign hands


def record(owner, state="NORMAL", to=0, **more):
    return json.dumps({"serverId": owner, "slotState": state, "toServerId": to, **more}).encode()


SLOT_DATA = {
    "empty": b"", "null": b"null", "cut-off": b'{"serverId":1,"slotSt', "binary": bytes(range(256)), "list": b"[1]",
    "deep": b"[" * 3000, "text-id": b'{"serverId":"1"}', "id-0": record(0), "id-minus-1": record(-1), "id-2-40": record(2 ** 40),
    "id-1e400": b'{"serverId":1e400}', "unknown-server": record(77), "state-odd": record(1, "SIDEWAYS"), "twice": b'{"serverId":1,"serverId":2}',
    "moving-to-nobody": record(1, "MOVING", 0), "moving-to-unknown": record(2, "MOVING", 99), "moving-for-ever": record(88, "MOVING", 99),
    "moving-to-itself": record(1, "MOVING", 1), "swapped-1": record(1), "swapped-2": record(2), "one-mb": b"x" * 1_000_000,
}


def test_slot_records_rewritten_by_a_foreign_client(whole):
    """Every kind of nonsense at once, in slots of both members, again and again while it is being healed."""
    rng = random.Random(7)
    with whole.client() as zk:
        for _ in range(3):
            for data in SLOT_DATA.values():
                for slot in rng.sample(range(256), 2):
                    zk.retry(zk.set, f"{whole.base}/slots/{slot}", data)
            whole.is_single()
    whole.wait_whole()


def test_slot_records_deleted_and_strange_children(whole):
    with whole.client() as zk:
        for slot in range(0, 256, 3):
            try:
                zk.delete(f"{whole.base}/slots/{slot}")
            except NoNodeError:
                pass
        for name in ("odd", "-1", "256", "007", "99999999999999999999", "1x", "ü"):
            zk.create(f"{whole.base}/slots/{name}", b"x")
            zk.create(f"{whole.base}/servers/{name}s", b"x")
        zk.create(f"{whole.base}/slots/9/child", b"x")
        zk.create(f"{whole.base}/slots/9/child/grandchild", b"x")
        whole.wait_whole()
        zk.delete(f"{whole.base}/slots/9/child", recursive=True)
        for name in ("odd", "-1", "256", "007", "99999999999999999999", "1x", "ü"):
            zk.delete(f"{whole.base}/slots/{name}")
            zk.delete(f"{whole.base}/servers/{name}s")


REGISTRATIONS = {"empty": b"", "garbage": b"\xff{", "port-0": b'{"ip":"127.0.0.1","port":0}', "port-5e9": b'{"ip":"127.0.0.1","port":5000000000}',
                 "ip-64k": b'{"ip":"' + b"1" * 65536 + b'","port":1}', "ip-crlf": b'{"ip":"1.2.3.4\\r\\nX","port":1}',
                 "another": b'{"ip":"127.0.0.1","port":1}', "one-mb": b"x" * 1_000_000}


@pytest.mark.parametrize("kind", REGISTRATIONS)
def test_rewritten_registration_is_written_again(whole, kind):
    """The node is still ours, its data is not: others could not reach us."""
    with whole.client() as zk:
        for m in whole.metas:
            zk.set(f"{whole.base}/servers/{m.server_id}", REGISTRATIONS[kind])

        def restored():
            for m in whole.metas:
                shown = json.loads(zk.get(f"{whole.base}/servers/{m.server_id}")[0])
                assert shown["port"] == m.port
            for m in whole.metas:
                known = m.get("/api/metacluster/debug")["clusterServerInfos"]
                assert {i: s["port"] for i, s in known.items()} == {str(o.server_id): o.port for o in whole.metas}
            return True
        wait_until(restored, 10, "the registrations")


def test_registrations_and_candidates_deleted_in_turn(whole):
    with whole.client() as zk:
        for _ in range(5):
            for parent in ("servers", "leader"):
                for name in zk.get_children(f"{whole.base}/{parent}"):
                    try:
                        zk.delete(f"{whole.base}/{parent}/{name}")
                    except NoNodeError:
                        pass
            # The leader takes who is not registered for dead; he holds his slots until he has heard, too.
            wait_until(whole.is_single, 2, "a member without registration to drop its slots")


def test_foreign_candidate_with_a_lower_number_is_no_leader_for_ever(whole):
    """A name that sorts first and belongs to nobody: nobody leads while it is there, members keep what they have; then one leads."""
    with whole.client() as zk:
        name = f"{whole.base}/leader/_c_00000000-0000-4000-8000-000000000000-latch-0000000000"
        zk.create(name, b"garbage \xff")
        for odd in ("odd", "latch-", "_c_-latch-", "x" * 200):
            zk.create(f"{whole.base}/leader/{odd}", b"")
        held = [slots_of(m) for m in whole.metas]
        stays(lambda: [slots_of(m) for m in whole.metas] == held, 1.5, "the slots")
        for node in zk.get_children(f"{whole.base}/leader"):
            if not re.match(r"_c_[0-9a-f-]{36}-latch-\d{10}$", node) or node.endswith("0000000000"):
                zk.delete(f"{whole.base}/leader/{node}")
    wait_until(whole.leader, 15, "one leader")


def delete_all(zk, path):
    """Recursively, though others create below it meanwhile. True when it was gone once."""
    for _ in range(20):
        try:
            zk.delete(path, recursive=True)
            return True
        except (NotEmptyError, NoNodeError):
            continue
    return False


def test_whole_namespace_deleted(whole):
    with whole.client() as zk:
        delete_all(zk, f"/{whole.namespace}")
        whole.wait_whole()
        delete_all(zk, f"{whole.base}/slots")
        delete_all(zk, f"{whole.base}/leader")
        delete_all(zk, f"{whole.base}/servers")


# who should not be there


def test_metaserver_of_another_dc_in_the_namespace_is_refused(whole):
    """Two DCs by mistake in one namespace: the second says whose it is, takes part in nothing, and ends."""
    stranger = whole.make(3, OTHER_DC, "stranger").start()
    try:
        wait_until(lambda: not stranger.running or re.search("namespace", " ".join(stranger.readiness()[1])), 15, "the refusal")
        deadline = time.monotonic() + 15
        while stranger.running and time.monotonic() < deadline:
            try:
                assert not slots_of(stranger)
            except (ApiError, requests.RequestException):
                pass  # it is ending
            whole.is_single()
            time.sleep(0.05)
        text = stranger.log_path.read_text()
        assert stranger.wait_exit(15) == 1
        assert re.search(r"daemon\.failed why=\"ZooKeeper namespace 'attacked' is used by DC 'jq' \(server [12] at 127\.0\.0\.1:\d+\)", text), text[-3000:]
        with whole.client() as zk:
            assert "3" not in zk.get_children(f"{whole.base}/servers")
    finally:
        whole.workspace.forget(stranger)
    assert all("3" not in m.get("/api/metacluster/debug")["clusterServerInfos"] for m in whole.metas)


def test_restart_inside_the_session_time_out(members):
    """Killed and started at once, three times: its old node stands in the way, and is its own."""
    members.wait_whole()
    meta = members.metas[1]
    for _ in range(3):
        meta.kill()
        meta.start()
        wait_until(lambda: meta.readiness()[0], 20, "the member to be back")
        members.is_single()
    members.wait_whole()


def test_same_id_on_another_port_disturbs_nobody(whole):
    twin = whole.make(1, DC, "twin", **{"zk.session.timeout.milli": 1000}).start()
    try:
        wait_until(lambda: not twin.running or "registry.waiting" in twin.log_path.read_text(), 15, "the twin to wait")
        assert twin.wait_exit(20) == 1
        assert f"server id 1 is taken by {whole.metas[0].url[7:]}" in twin.log_path.read_text()
    finally:
        whole.workspace.forget(twin)


# rights and sessions


def frame(body, length=None):
    return (len(body) if length is None else length).to_bytes(4, "big", signed=True) + body


def test_nodes_made_read_only_for_us(members):
    """What cannot be written is told with its slot, nobody spins, and each member keeps what it has."""
    members.wait_whole()
    read_only, everything = [make_acl("world", "anyone", read=True, admin=True)], [make_acl("world", "anyone", all=True)]
    leader = members.leader()
    other = next(m for m in members.metas if m is not leader)
    nodes = [f"{members.base}/slots/{slot}" for slot in range(256)]

    def set_acls(zk, acls):
        for done in [zk.set_acls_async(node, acls) for node in nodes]:
            done.get(timeout=10)
    try:
        with members.client() as zk, Trial(leader) as trial:
            set_acls(zk, read_only)
            held = slots_of(leader)
            other.kill()  # its slots cannot be given to anybody
            wait_until(lambda: re.search(r"slots\.step_failed slot=\d+ .*why=FORBIDDEN", trial.log()), 20, "a line with the slot")
            lines = trial.log().count("\n")
            stays(lambda: slots_of(leader) == held, 2, "the slots of the leader")
            assert trial.log().count("\n") - lines < 300, "the log is flooded"
            assert leader.readiness()[0]
            set_acls(zk, everything)
            wait_until(lambda: len(slots_of(leader)) == 256, HEAL_S, "all slots on the one that is left")
    finally:
        other.start()
    members.wait_whole()


def session_password(session):
    """What ZooKeeper gives with this session: java.util.Random, seeded by the id and a constant of SessionTrackerImpl."""
    mask = (1 << 48) - 1
    seed = (session ^ 0xB3415C00 ^ 0x5DEECE66D) & mask
    password = b""
    while len(password) < 16:
        seed = (seed * 0x5DEECE66D + 0xB) & mask
        password += (seed >> 16).to_bytes(4, "little")
    return password


def end_session(zookeeper, session):
    """Takes it over and ends it, in one write: otherwise its owner takes it back first. On a busy machine it does so all the same, now and then."""
    password = session_password(session)
    request = (b"\0" * 12 + (4000).to_bytes(4, "big") + session.to_bytes(8, "big") + len(password).to_bytes(4, "big") + password + b"\0")
    with socket.create_connection((HOST, zookeeper.port), timeout=5) as connection:
        connection.sendall(frame(request) + frame((1).to_bytes(4, "big") + (-11).to_bytes(4, "big", signed=True)))
        while connection.recv(4096):
            pass


def test_session_ended_by_a_foreign_client(whole):
    """Whoever reaches ZooKeeper can end any session. Nothing is held twice, a new session follows."""
    for meta in whole.metas:
        node = f"{whole.base}/servers/{meta.server_id}"
        with whole.client() as zk:
            gone = zk.exists(node).ephemeralOwner

            def ended():
                end_session(whole.zookeeper, gone)
                whole.is_single()
                stat = zk.exists(node)
                return not stat or stat.ephemeralOwner != gone

            def renewed():
                whole.is_single()
                stat = zk.exists(node)
                return stat and stat.ephemeralOwner != gone
            wait_until(ended, 15, "the session to be ended")
            wait_until(renewed, 15, "a new session")
        whole.wait_whole()


# ZooKeeper itself


@pytest.mark.parametrize("how", ["killed", "frozen", "emptied"])
def test_zookeeper_away_for_longer_than_a_session(whole, how):
    """No lease, no slots; afterwards everything as before, from nothing if need be."""
    zookeeper = whole.zookeeper
    if how == "frozen":
        zookeeper.pause()
    else:
        zookeeper.kill()
    for m in whole.metas:
        wait_until(lambda m=m: not m.readiness()[0] and not slots_of(m), 10, f"{m.name} to give up its slots")
        assert any("lease" in reason for reason in m.readiness()[1]), m.readiness()
    if how == "frozen":
        zookeeper.resume()
        return
    if how == "emptied":
        shutil.rmtree(zookeeper.dir / "data")
    zookeeper.start()


def test_dead_servers_in_the_address_list(members):
    meta = members.metas[0]
    dead = ",".join(f"{HOST}:{free_port()}" for _ in range(3))
    for address in (f"{dead},{members.zookeeper.address},{HOST}:1", members.zookeeper.address):
        meta.settings["zk.address"] = address
        meta.restart()
        members.wait_whole()


# a server that is no ZooKeeper


def session_given(timeout_ms=4000, session=0x1234, password=b"\0" * 16):
    return frame((0).to_bytes(4, "big") + timeout_ms.to_bytes(4, "big", signed=True) + session.to_bytes(8, "big") +
                 len(password).to_bytes(4, "big") + password + b"\0")


def reply(xid, zxid=1, err=0, body=b""):
    return frame(xid.to_bytes(4, "big", signed=True) + zxid.to_bytes(8, "big", signed=True) + err.to_bytes(4, "big", signed=True) + body)


def unread_by_the_kernel(connection):
    """Bytes sent that the other side's kernel has not confirmed."""
    return int.from_bytes(fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


ASKED = object()  # libzookeeper ends the process when it is answered what it has not asked (docs/internals/zk.md): its next request is waited for


def then(*pieces):
    def serve(connection):
        connection.recv(4096)
        for piece in pieces:
            if piece is ASKED:
                connection.settimeout(5)
                connection.recv(4096)
                continue
            connection.sendall(piece)
            wait_until(lambda: unread_by_the_kernel(connection) == 0, 5, "a piece to arrive before the next is sent")
        wait_closed(connection)
    return serve


RANDOM = random.Random(3)
NOT_ZOOKEEPER = {
    "closes": lambda c: None, "resets": reset, "silent": wait_closed, "http": then(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
    "random": then(*(RANDOM.randbytes(500) for _ in range(5))), "length-minus-1": then(b"\xff\xff\xff\xff"), "length-0": then(b"\0\0\0\0" * 100),
    "length-2-gb": then(b"\x7f\xff\xff\xff"), "floods": lambda c: flood(c, b"\xff" * 65536), "redis": then(b"-ERR unknown command\r\n"),
    "session-refused": then(session_given(0, 0)), "time-out-24-days": then(session_given(2 ** 31 - 1)), "time-out-negative": then(session_given(-1)),
    "time-out-1-ms": then(session_given(1)), "session-cut-off": then(session_given()[:20]),
    "password-1-gb": then(frame(b"\0\0\0\0" + (4000).to_bytes(4, "big") + b"\0" * 8 + b"\x3f\xff\xff\xff", 37), b"x" * 100),
    "then-garbage": then(session_given(), ASKED, RANDOM.randbytes(400)),
    "then-length-2-gb": then(session_given(), ASKED, b"\x7f\xff\xff\xff", b"x" * 1000),
    "then-length-negative": then(session_given(), ASKED, b"\x80\0\0\0"),
    "then-short-frame": then(session_given(), ASKED, frame(b"\0")),
    "then-empty-frame": then(session_given(), ASKED, frame(b"")),
    "then-wrong-xid": then(session_given(), ASKED, reply(77), reply(-77)),
    "then-pings": then(session_given(), ASKED, *(reply(-2) for _ in range(50))),
    # Not here, libzookeeper 3.8 does not survive them (docs/internals/zk.md): a watch event that is cut off, a refused authentication that nobody asked for.
    "then-odd-watches": then(session_given(), ASKED, *(reply(-1, body=kind.to_bytes(4, "big", signed=True) + b"\0\0\0\3\0\0\0\2/x")
                                                for kind in (1, 2, 3, 4, -2, 77, 2 ** 31 - 1))),
    "then-answers-cut-off": then(session_given(), ASKED, *(reply(i, body=b"\x7f\xff\xff\xff") for i in range(1, 50))),
}


class NotZooKeeper(RawServer):
    """Its connections are answered by the kind that is set."""

    def serve(self, connection):
        NOT_ZOOKEEPER[self.kind](connection)


@pytest.fixture(scope="module")
def imposter():
    with NotZooKeeper() as server:
        yield server


@pytest.fixture(scope="module")
def lonely(members, imposter):
    """One metaserver in a namespace of its own whose ZooKeeper is the imposter."""
    imposter.kind = "closes"
    meta = members.make(9, DC, "lonely", **{"zk.session.timeout.milli": 1000})
    meta.settings.update({"zk.namespace": "lonely", "zk.address": imposter.address})
    # libzookeeper asks for as much memory as the server says, and is told that there is none. That is warned of: in its log, it is no report.
    for name, more in (("ASAN", ":allocator_may_return_null=1:max_allocation_size_mb=256"), ("LSAN", ""), ("UBSAN", "")):
        meta.env[f"{name}_OPTIONS"] = os.environ.get(f"{name}_OPTIONS", "") + more + ":log_path=stderr"
    yield meta.start()
    assert_clean(meta)


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.parametrize("kind", NOT_ZOOKEEPER)
def test_server_that_is_no_zookeeper(lonely, imposter, kind):
    """No crash, no spinning, no slots, and /ready says so."""
    imposter.kind = kind
    met = imposter.connections
    imposter.cut()
    with Trial(lonely):
        wait_until(lambda: imposter.connections > met, 20, "a connection")
        used, began = cpu_s(lonely.pid), time.monotonic()
        stays(lambda: lonely.running, 0.5, "the metaserver")  # measured meanwhile; nobody asks it anything
        spent = (cpu_s(lonely.pid) - used) / (time.monotonic() - began)
        assert not slots_of(lonely)
        assert spent < 0.6 or is_sanitized(), f"it spins: {spent:.0%} of a core"
        ready, reasons = lonely.readiness()
        assert not ready and any("ZooKeeper lease" in r for r in reasons), reasons


def test_recovers_from_a_server_that_is_no_zookeeper(lonely, members):
    """The right address is all it takes."""
    lonely.settings["zk.address"] = members.zookeeper.address
    lonely.restart()
    wait_until(lambda: lonely.readiness()[0] and len(slots_of(lonely)) == 256, HEAL_S, "all slots")
