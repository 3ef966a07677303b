"""The judges of tests/soak judged: each finds what it is there for, and nothing in a healthy run."""
import json
import os
import socket
import sqlite3
import sys
import threading
import traceback
from collections import Counter, deque
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/soak"), str(ROOT / "bench")]

import checks  # noqa: E402
import faults  # noqa: E402
import resources  # noqa: E402
from harness.relay import Relay  # noqa: E402


def life(memory=20.0, memory_step=0.0, fds=10, fd_step=0.0, threads=None, calls=56, call_step=0.0, samples=20, work=None):
    g = resources.Generation(SimpleNamespace(name="meta", pid=1))
    g.quiet = [(i, memory + i * memory_step, fds + i * fd_step, (threads or {}).get(i, 8), calls + i * call_step, (work or {}).get(i, 100))
               for i in range(samples)]
    g.kinds = [Counter({"log": int(q[2])}) for q in g.quiet]
    return g


def test_flat_is_no_problem():
    assert life().problems() == []
    assert life(memory_step=0.01).problems() == []
    assert life(calls=20, call_step=0.5).problems() == []


@pytest.mark.parametrize("grown, word", [
    (life(memory_step=0.5), "memory grew"), (life(fd_step=1), "descriptors grew"), (life(threads={15: 9}), "threads grew"),
    (life(calls=57), "descriptors of calls"), (life(calls=0, call_step=2.5), "descriptors of calls grew"), (life(fd_step=1), "log +17")])
def test_growth_is_a_problem(grown, word):
    found = grown.problems()
    assert len(found) == 1 and word in found[0]


def test_memory_is_judged_from_the_last_rise_of_work():
    rises = {i: 100 if i < 8 else 500 for i in range(20)}
    assert life(work=rises).problems() == []
    step = life(work=rises)
    step.quiet = [(q[0], 20 if i < 8 else 30, *q[2:]) for i, q in enumerate(step.quiet)]
    assert step.problems() == []
    assert "memory grew" in life(memory_step=0.6, work=rises).problems()[0]
    assert life(memory_step=5, work={i: 100 * 2 ** i for i in range(20)}).problems() == []


def test_kinds_of_descriptors():
    assert [resources.kind_of(t) for t in ("/tmp/a/console.db-wal", "socket:[123]", "anon_inode:[eventpoll]", "pipe:[7]")] == \
        ["console.db-wal", "socket", "anon_inode", "pipe"]


def test_every_socket_has_its_place(tmp_path):
    """One that it serves, one of a call, one whose other side has reset it (no table has it), a file. In a process of its own: threads of
    other tests that end here would open and close theirs meanwhile."""
    pid = os.fork()
    if pid == 0:
        try:
            count_sockets(tmp_path)
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


def count_sockets(tmp_path):
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    call = socket.create_connection(("127.0.0.1", port))
    served, _ = listener.accept()
    dead = socket.create_connection(("127.0.0.1", port))
    reset, _ = listener.accept()
    reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    me = resources.Generation(SimpleNamespace(name="me", pid=os.getpid()))
    me.sample_quiet(port, set(), resources.sockets())
    reset.close()
    with open(tmp_path / "file", "w"):
        me.sample_quiet(port, set(), resources.sockets())
    dead.close()
    me.sample_quiet(port, set(), resources.sockets())
    assert [q[4] - me.quiet[0][4] for q in me.quiet] == [0, 0, -1]
    assert [q[2] - me.quiet[0][2] for q in me.quiet] == [0, 1, 0]
    for s in (call, served, listener):
        s.close()


def test_a_short_life_is_not_judged():
    assert life(memory_step=5, samples=resources.WARM_UP + resources.JUDGED_FROM - 1).problems() == []


def test_slope_is_per_minute():
    assert life(memory_step=0.5).slope(1) == pytest.approx(0.5)


def history(*records):
    h = checks.SlotHistory("xpipe", [7])
    h.records[7] = deque((at, 1, version, owner) for at, version, owner in records)
    return h


def test_owner_at_a_moment():
    h = history((1000, 0, 1), (5000, 1, 2), (9000, 2, 3))
    assert h.owners(7, 2000, 3000) == {1}
    assert h.owners(7, 4900, 5100) == {1, 2}
    assert h.owners(7, 20000, 20001) == {3}


def test_owner_is_unknown_when_a_record_was_missed_or_is_too_old():
    assert history((1000, 0, 1), (5000, 3, 2)).owners(7, 2000, 3000) is None
    assert history((1000, 0, 1)).owners(7, 500, 600) is None


def audit(owner):
    """The judge of a world of two DCs with one shard whose slot is owned so since ever."""
    redises = {"jq": SimpleNamespace(name="redis-jq", address="127.0.0.1:1"), "fra": SimpleNamespace(name="redis-fra", address="127.0.0.1:2")}
    dcs = {dc: SimpleNamespace(gid=gid, redises={"s1": [redises[dc]]}) for gid, dc in enumerate(("jq", "fra"), start=1)}
    world = SimpleNamespace(dcs=dcs, other=lambda dc: "fra" if dc == "jq" else "jq", routes_seen={("jq", "fra"): {("PROXYTCP://p", "PROXYTLS://q")}})
    soak = SimpleNamespace(
        world=world, place_of=lambda server: (server.name[6:], "s1"), is_just_restarted=lambda *_: False, was_frozen=lambda *_: False,
        is_foreign_hand_near=lambda *_: False, slots={"s1": 7}, watch=SimpleNamespace(histories={"jq": history((0, 0, owner))}))
    return checks.PeerofAudit(soak), redises["jq"]


GOOD = ["PEEROF", "2", "127.0.0.1", "2", "proxy-type", "XPIPE-PROXY", "proxy-servers", "PROXYTCP://p", "proxy-params", "PROXYTLS://q"]


def problem(words=None, who="xpipe-meta-jq-1", owner=1):
    judge, server = audit(owner)
    return judge._problem(server, 1000000, who, words or GOOD)


def test_a_good_command_passes():
    assert problem() is None
    assert problem(who=faults.HAND, words=["PEEROF", "2", "no", "one"]) is None


@pytest.mark.parametrize("change, text", [
    ({"owner": 2}, "owned by {2}"), ({"who": "xpipe-meta-fra-1"}, "not a metaserver of this DC"), ({"who": ""}, "not a metaserver"),
    ({"words": ["PEEROF", "1", *GOOD[2:]]}, "gid"), ({"words": ["PEEROF", "16", *GOOD[2:]]}, "gid"),
    ({"words": ["PEEROF", "2", "no", "one"]}, "no Redis of this shard"), ({"words": GOOD[:4]}, "direct"),
    ({"words": [*GOOD[:-1], "PROXYTLS://other"]}, "a route that never was")])
def test_a_bad_command_is_found(change, text):
    assert text in problem(**change)


def chain(path, rows):
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE change_log (idx, epoch, wall_ms, actor, request_id, op, body, prev_hash, hash)")
        previous = "0" * 64
        for i in range(1, rows + 1):
            row = (previous, i, 1, 1000 + i, "a", "", "op", "{}")
            previous = sha256(b"".join(b"%d:%s," % (len(str(v)), str(v).encode()) for v in row)).hexdigest()
            db.execute("INSERT INTO change_log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row[1:], row[0], previous))


@pytest.mark.parametrize("damage, word", [
    ("DELETE FROM change_log WHERE idx = 3", "predecessor"), ("UPDATE change_log SET body = '{\"a\":1}' WHERE idx = 3", "changed"), (None, None)])
def test_the_chain(tmp_path, damage, word):
    path = tmp_path / "console.db"
    chain(path, 5)
    if damage:
        with sqlite3.connect(path) as db:
            db.execute(damage)
    _, found = checks.chain_problems(path)
    assert found == [] if word is None else word in found[0]


def test_a_seed_gives_the_same_faults():
    def names(seed, cycle):
        return [(p.at, p.fault.name, p.seconds, p.seed) for p in faults.plan(seed, cycle, 40, 2)]
    assert names(7, 3) == names(7, 3) != names(8, 3)
    assert names(7, 3) != names(7, 4)


# the relay


class Echo:
    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(c,), daemon=True).start()

    def _echo(self, c):
        try:
            with c:
                while data := c.recv(4096):
                    c.sendall(data)
        except ConnectionError:
            pass  # the relay was told to reset it


@pytest.fixture
def relay():
    echo = Echo()
    r = Relay([1, echo.port])  # nobody listens on the first
    yield r
    r.close()
    echo.socket.close()


def client(relay):
    c = socket.create_connection(("127.0.0.1", relay.port), timeout=5)
    c.settimeout(5)
    return c


def answer(c, text=b"hello"):
    c.sendall(text)
    return c.recv(4096)


def test_relay_passes_and_takes_the_next_backend(relay):
    for _ in range(4):
        with client(relay) as c:
            assert answer(c) == b"hello"


@pytest.mark.parametrize("mode", ["silent", "deaf"])
def test_relay_holds_back_and_gives_out(relay, mode):
    with client(relay) as c:
        assert answer(c) == b"hello"
        relay.set(mode)
        c.settimeout(0.3)
        with pytest.raises(TimeoutError):
            answer(c, b"held")
        relay.set("open")
        c.settimeout(5)
        assert c.recv(4096) == b"held"


def is_refused(c):
    try:
        return answer(c) == b""
    except ConnectionError:
        return True


def new_one_is_refused(relay):
    try:
        c = client(relay)
    except ConnectionError:  # the reset may overtake the return of connect()
        return True
    with c:
        return is_refused(c)


def test_relay_refuses(relay):
    with client(relay) as c:
        assert answer(c) == b"hello"
        relay.set("refuse")
        assert is_refused(c)
    assert new_one_is_refused(relay)
    relay.set("open")
    with client(relay) as c:
        assert answer(c) == b"hello"


def test_relay_answers_garbage(relay):
    relay.set("garbage")
    with client(relay) as c:
        got = answer(c)
    assert got and got != b"hello"
    with pytest.raises(ValueError):
        json.loads(got)
