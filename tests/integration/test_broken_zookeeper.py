"""Foreign clients that write where only metaservers should, and metaservers that should not be there.

Two members share the slots of one namespace. After every attack: each slot is held by exactly one of them and its record says so;
and at no moment was one held by both.
"""
import json
import random
import re
import time

import pytest
import requests
from kazoo.exceptions import NoNodeError, NotEmptyError

from harness.daemons import ApiError, Meta
from harness.hostile import Trial
from harness.hostile_site import FAST
from harness.processes import HOST, Workspace, stays, wait_until
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
            whole.is_single()


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
