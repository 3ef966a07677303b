"""bench/redis_farm and bench/report.py as judges of measurements: what it tells about clients must be true, or the bars prove nothing."""
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.processes import HOST, wait_until

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))
import report  # noqa: E402
from scene import (FIRST_SHARD_ID, KEEPERS, OTHER_DCS, OWN_NET, PEER_PORT, PRIMARY_DC, PRIMARY_NET, REDISES, Farm,  # noqa: E402
                   OneWayFarm, host_of, route_of)

COUNT = 20
OK = b"+OK\r\n"


def next_turn():
    """The farm tells the turns of its loop apart by their milliseconds."""
    until = time.monotonic() + 0.005
    wait_until(lambda: time.monotonic() > until, 1, "another millisecond")


class Client:
    """A connection to one instance, by hand."""

    def __init__(self, farm, number, name=None, index=0):
        self.socket = socket.create_connection((host_of(OWN_NET + index, number), farm.port), timeout=5)
        self.file = self.socket.makefile("rb")
        self.number = number
        if name:
            assert self.say("CLIENT", "SETNAME", name) == OK
            next_turn()

    def say(self, *words):
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w)
                                                              for w in (str(x).encode() for x in words)))
        return self.answer()

    def answer(self):
        line = self.file.readline()
        if line.startswith(b"*"):
            return [self.answer() for _ in range(int(line[1:]))]
        return line + self.file.read(int(line[1:]) + 2) if line.startswith(b"$") else line

    def inline(self, line):
        self.socket.sendall(line)
        return self.answer()

    def role(self):
        """As words: of ROLE only the offset varies."""
        words = (x for x in self.say("ROLE") if isinstance(x, bytes))
        return [x.split(b"\r\n")[-2].lstrip(b"+:").decode() for x in words][:4]

    def poll(self):
        assert b"gid:1" in self.say("CRDT.INFO", "replication")

    def set_peers(self):
        """Each peer as it is wanted: mends what is broken, and is needless where nothing is."""
        for gid, net in OTHER_DCS.values():
            servers, params = route_of(gid)
            answer = self.say("PEEROF", gid, host_of(net, self.number), PEER_PORT, "proxy-type", "XPIPE-PROXY",
                              "proxy-servers", servers, "proxy-params", params)
            assert answer.startswith(b"+OK")


@pytest.fixture
def farm(workspace):
    return Farm(workspace, COUNT).start()


def peerofs(farm):
    return [tuple(p[1:4]) + (p[5],) for p in farm.ask("peerofs 0")["peerofs"]]


def test_a_command_of_a_client_that_lost_the_instance_is_foreign(farm):
    old, other = Client(farm, 3, "meta-1"), Client(farm, 4, "meta-1")
    old.poll()
    new = Client(farm, 3, "meta-2")
    old.poll()  # looking is no crime
    assert farm.report()["foreign"] == 0
    old.set_peers()
    other.set_peers()
    assert farm.report()["foreign"] == len(OTHER_DCS)
    assert farm.ask("clients")["meta-1"]["foreign"] == len(OTHER_DCS)
    new.set_peers()
    assert farm.ask("clients")["meta-2"]["foreign"] == 0
    again = Client(farm, 3, "meta-1")  # it owns it again, and only the one that came back does
    again.set_peers()
    assert farm.report()["foreign"] == len(OTHER_DCS)
    new.set_peers()
    assert farm.report()["foreign"] == 2 * len(OTHER_DCS)
    assert {p for p in peerofs(farm) if p[3]} == {(3, "meta-1", "needless", True), (3, "meta-2", "needless", True)}


def test_a_nameless_command_to_an_owned_instance_is_foreign(farm):
    Client(farm, 0).set_peers()
    assert farm.report()["foreign"] == 0, "nobody owns it"
    Client(farm, 0, "meta-1").poll()
    Client(farm, 0).set_peers()
    assert farm.report()["foreign"] == len(OTHER_DCS)
    assert farm.ask("clients")[""]["peerofs"] == 2 * len(OTHER_DCS)


def test_a_second_command_for_the_same_break_is_needless(farm):
    assert farm.say("break remove all") == f"ok {COUNT}"
    client = Client(farm, 7, "meta-1")
    client.set_peers()
    outcomes = [p[2] for p in peerofs(farm)]
    assert "corrected" in outcomes
    before = len(outcomes)
    client.set_peers()
    assert [p[2] for p in peerofs(farm)[before:]] == ["needless"] * len(OTHER_DCS)
    assert farm.report()["corrected"] == 1


def test_lost_counts_until_somebody_else_polls(farm):
    one, two = (Client(farm, n, "meta-1") for n in (1, 2))
    Client(farm, 5, "meta-2").poll()
    one.poll()
    two.poll()
    assert farm.ask("lost meta-1")["lost"] == 2
    one.poll()
    assert farm.ask("lost")["waiting"] == 2, "the one that is lost does not count"
    Client(farm, 1, "meta-2").poll()
    told = farm.ask("lost")
    assert (told["lost"], told["waiting"]) == (2, 1)
    Client(farm, 2, "meta-3").poll()
    assert farm.ask("lost")["waiting"] == 0
    assert {k: v["instances"] for k, v in farm.ask("clients").items()} == {"": 0, "meta-1": 0, "meta-2": 2, "meta-3": 1}
    with pytest.raises(RuntimeError, match="no client gave that name"):
        farm.say("lost meta-9")


def test_the_longest_gap_is_told(farm):
    clients = [Client(farm, n, "meta-1") for n in range(COUNT)]

    def poll_all_but(number):
        for client in clients:
            if client.number != number:
                client.poll()
        return farm.ask("gaps")
    poll_all_but(None)
    farm.say("reset")
    wait_until(lambda: poll_all_but(6)["max_ms"] >= 300, 5, "a gap of 300 ms")
    gaps = farm.ask("gaps")
    assert gaps["longest"] == 6 and gaps["p50_ms"] < gaps["max_ms"]
    began = time.monotonic()
    poll_all_but(None)
    assert farm.ask("gaps")["max_ms"] >= 300, "a gap that ended is remembered"
    farm.say("reset")
    assert farm.ask("gaps")["max_ms"] <= 1000 * (time.monotonic() - began) + 1, "no gap is older than the reset"


def test_names_that_would_spoil_the_answers_are_refused(farm):
    client = Client(farm, 0)
    for name in ("", "a b", 'a"b', "a\\b", "x" * 64):
        assert client.say("CLIENT", "SETNAME", name).startswith(b"-ERR")
    assert client.say("CLIENT", "LIST").startswith(b"-ERR")
    assert list(farm.ask("clients")) == [""]


# ---- one-way shards ----

REDIS, FIRST, SECOND = 0, REDISES, REDISES + 1  # indexes in a shard
SOURCE_ROUTE = " ".join(route_of(OTHER_DCS[PRIMARY_DC][0]))


@pytest.fixture
def shards(workspace):
    return OneWayFarm(workspace, COUNT).start()


def node(farm, number, index, name=None):
    return Client(farm, number, name, index)


def follow(farm, number, index):
    """The words that say: follow that instance of the shard."""
    return host_of(OWN_NET + index, number), str(farm.port)


def set_active(client, number, route=SOURCE_ROUTE):
    words = ["PROXY", "ROUTE", *route.split(), "TCP"] if route else []
    return client.say("keeper", "setstate", "ACTIVE", host_of(PRIMARY_NET, number), PEER_PORT, *words)


def test_a_shard_begins_as_it_should_be(shards):
    redis, first, second = (node(shards, 4, i) for i in (REDIS, FIRST, SECOND))
    assert redis.role() == ["slave", *follow(shards, 4, FIRST), "connected"]
    assert first.role() == ["keeper", host_of(PRIMARY_NET, 4), str(PEER_PORT), "connected"]
    assert second.role() == ["keeper", *follow(shards, 4, FIRST), "connected"]
    assert (first.inline(b"keeper getstate\r\n"), second.inline(b"keeper getstate\r\n")) == (b"+ACTIVE\r\n", b"+BACKUP\r\n")
    info = second.say("INFO", "replication").decode()
    assert "keeperrole:keeper\r\nstate:BACKUP\r\n" in info and f"master_host:{follow(shards, 4, FIRST)[0]}\r\n" in info
    assert "role:slave\r\n" in redis.say("INFO", "replication").decode() and b"run_id:" in first.say("INFO", "server")
    assert shards.report()["polled"] == 3 and shards.polls() == 3


def test_words_that_each_kind_knows(shards):
    redis, keeper = node(shards, 0, REDIS), node(shards, 0, FIRST)
    assert redis.say("XSLAVEOF", "1.1.1.1", 1) == b"-ERR unknown command 'XSLAVEOF', with args beginning with: '1.1.1.1' '1' \r\n"
    assert redis.say("KEEPER", "GETSTATE").startswith(b"-ERR unknown command")
    assert redis.say("SLAVEOF", *follow(shards, 0, FIRST)) == b"+OK Already connected to specified master\r\n"
    assert redis.say("CONFIG", "REWRITE") == OK
    assert keeper.say("CONFIG", "REWRITE") == b"-unsupported command:CONFIG\r\n"
    assert keeper.say("keeper", "setstate", "ACTIVE") == b"-setstate argument error:setstate ACTIVE\r\n"
    for state in ("active", "PRE_ACTIVE", "UNKNOWN"):
        assert keeper.say("keeper", "setstate", state, "1.1.1.1", 1).startswith(b"-")
    assert keeper.say("keeper", "getindex") == b"-unknown command:getindex\r\n"
    assert shards.report()["harmful"] == 0 and shards.report()["wrong_now"] == 0, "what is refused changes nothing"


@pytest.mark.parametrize(("how", "index", "seen"), [
    ("promote", REDIS, ["master"]), ("elsewhere", REDIS, ["slave", "*", "1", "connect"]),
    ("elsewhere", FIRST, ["keeper", "*", "1", "connect"]), ("demote", FIRST, ["keeper"]),
    ("demote", SECOND, ["keeper"]), ("forget", SECOND, ["keeper", "0.0.0.0", "0", "none"])])
def test_what_is_spoilt_is_corrected_by_the_right_command_only(shards, how, index, seen):
    assert shards.say(f"spoil {how} {COUNT} {index}") == f"ok {COUNT}"
    assert shards.say(f"spoil any {COUNT}") == "ok 0", "one instance of a shard at a time"
    client = node(shards, 3, index, "meta-1")
    assert all(word in ("*", is_) for word, is_ in zip(seen, client.role()))
    if index == REDIS:
        assert client.say("SLAVEOF", *follow(shards, 3, SECOND)) == OK  # the backup keeper is not the head
    elif index == FIRST:
        assert set_active(client, 3, route="") == OK  # never direct where there is a route
    else:
        assert client.say("keeper", "setstate", "BACKUP", *follow(shards, 3, REDIS)) == OK
    report = shards.report()
    assert (report["corrected"], report["wrong_now"], report["harmful"]) == (0, COUNT, int(index == FIRST))
    if index == REDIS:
        assert client.say("REPLICAOF", *follow(shards, 3, FIRST)) == OK
    elif index == FIRST:
        assert set_active(client, 3) == OK
    else:
        assert client.say("keeper", "setstate", "BACKUP", *follow(shards, 3, FIRST)) == OK
    report = shards.report()
    assert (report["broken"], report["corrected"], report["wrong_now"], report["needless"]) == (COUNT, 1, COUNT - 1, 0)
    assert [p[:3] for p in peerofs(shards)] == [(3, "meta-1", "not mended"), (3, "meta-1", "corrected")]
    assert client.role()[3] == "connect"
    wait_until(lambda: client.role()[3] == "connected", 5, "the link")
    assert shards.say(f"spoil any {COUNT} {index}") == "ok 0", "what was just mended has a rest"


def test_a_route_that_is_one_word_is_ignored(shards):
    """As a real keeper ignores it, without an error (proxy-and-keeper.md 4.2)."""
    keeper = node(shards, 2, FIRST)
    words = "keeper", "setstate", "ACTIVE", host_of(PRIMARY_NET, 2), PEER_PORT
    assert keeper.say(*words, f"PROXY ROUTE {SOURCE_ROUTE} TCP") == OK
    assert (shards.report()["harmful"], shards.report()["wrong_now"]) == (1, 1)
    assert set_active(keeper, 2) == OK
    assert shards.report()["wrong_now"] == 0


def test_only_a_keeper_is_told_the_same_again_without_blame(shards):
    redis, first, second = (node(shards, 1, i) for i in (REDIS, FIRST, SECOND))
    assert set_active(first, 1) == OK
    assert (shards.report()["refreshed"], shards.report()["needless"]) == (1, 0)
    redis.say("SLAVEOF", *follow(shards, 1, FIRST))
    second.say("keeper", "setstate", "BACKUP", *follow(shards, 1, FIRST))
    assert (shards.report()["refreshed"], shards.report()["needless"]) == (1, 2)
    assert redis.say("SLAVEOF", "no", "one") == OK
    assert (shards.report()["harmful"], shards.report()["wrong_now"]) == (1, 1)


def latches(zookeeper, number):
    """Addresses of the registered keepers of a shard, in the order of the election."""
    path = f"/farm/keepers/repl_{FIRST_SHARD_ID + number}"
    with zookeeper.client() as zk:
        names = sorted(zk.get_children(path), key=lambda name: name.split("latch-")[1])
        data = [zk.get(f"{path}/{name}") for name in names]
    assert all(stat.ephemeralOwner for _, stat in data)
    assert all(len(name) == len("_c_-latch-") + 36 + 10 for name in names)
    return [(told["ip"], told["port"]) for told in (json.loads(text) for text, _ in data)]


def test_keepers_are_in_zookeeper_and_the_next_one_is_wanted_when_the_first_dies(shards, zookeepers):
    zookeeper = zookeepers[0]
    first, second = ((host_of(OWN_NET + i, 7), shards.port) for i in (FIRST, SECOND))
    assert shards.register(zookeeper, "farm") > 0
    assert shards.ask("latches")["registered"] == COUNT * KEEPERS
    assert latches(zookeeper, 7) == [first, second]
    redis, keeper, old = node(shards, 7, REDIS), node(shards, 7, SECOND), node(shards, 7, FIRST)
    assert shards.say("kill all") == f"ok {COUNT}"
    assert old.socket.recv(1) == b"", "killed"
    assert keeper.role()[3] == redis.role()[3] == "connect"
    wait_until(lambda: latches(zookeeper, 7) == [second], 5, "its latch to be gone")
    assert shards.report()["wrong_now"] == 2 * COUNT
    assert set_active(keeper, 7) == OK
    assert redis.say("SLAVEOF", *follow(shards, 7, SECOND)) == OK
    assert shards.report()["wrong_now"] == 2 * (COUNT - 1)
    assert shards.say("kill all") == "ok 0", "no other keeper is left"
    assert [shards.say(f"start {FIRST * COUNT + 7}") for _ in range(2)] == ["ok 1", "ok 0"]
    assert shards.say("revive all") == f"ok {COUNT - 1}"
    wait_until(lambda: latches(zookeeper, 7) == [second, first], 5, "it to be the last one in the election")
    back = node(shards, 7, FIRST)
    assert back.say("keeper", "getstate") == b"+UNKNOWN\r\n" and back.say("INFO", "replication").startswith(b"-Cannot invoke")
    assert back.say("keeper", "setstate", "BACKUP", *follow(shards, 7, SECOND)) == OK
    assert shards.report()["harmful"] == 0 and shards.report()["needless"] == 0


@pytest.mark.parametrize("line", ["spoil promote", "spoil any 1 9", "tree 9", "kill", "latches x"])
def test_wrong_arguments_for_shards_are_refused(shards, line):
    with pytest.raises(RuntimeError, match="usage"):
        shards.say(line)


def test_lines_for_the_other_kind_of_farm_are_unknown(farm, shards):
    with pytest.raises(RuntimeError, match="known: after, tree"):
        shards.say("break any 1")
    with pytest.raises(RuntimeError, match="known: after, peer"):
        farm.say("spoil any 1")


@pytest.mark.parametrize("line", ["peerofs", "peerofs x", "peerofs -1", "lost a b"])
def test_wrong_arguments_are_refused(farm, line):
    with pytest.raises(RuntimeError, match="usage"):
        farm.say(line)


@pytest.mark.parametrize(("figures", "code"), [([("a", 1, "s", 2)], 0), ([("a", 3, "s", 2)], 1), ([], 1),
                                               ([("a", 1, "s", None, False)], 1)])
def test_a_report_that_misses_a_bar_fails(tmp_path, capsys, figures, code):
    told = report.Report("x", tmp_path / "sub" / "x.json")
    for figure in figures:
        told.figure(*figure)
    assert told.finish() == code
    written = json.loads((tmp_path / "sub" / "x.json").read_text())
    assert [set(f) for f in written["figures"]] == [{"name", "value", "unit", "bar", "ok"}] * len(figures)
    assert {"cpu", "cores", "kernel", "load", "build"} <= set(written["machine"])
    assert ("MISSED" in capsys.readouterr().out) == bool(code and figures)


@pytest.mark.slow
def test_the_takeover_bench_in_short(tmp_path):
    """Times are for a quiet machine; that no command is doubled or foreign holds on any."""
    out = tmp_path / "takeover.json"
    done = subprocess.run([sys.executable, BENCH / "takeover.py", "--count", "300", "--runs", "1", "--seconds", "1", "--faults",
                           "leader", "--out", out], env=os.environ, capture_output=True, text=True, timeout=180, check=False)
    assert out.exists(), done.stderr
    figures = {f["name"]: f for f in json.loads(out.read_text())["figures"]}
    assert done.returncode == (0 if all(f["ok"] for f in figures.values()) else 1)
    assert figures["peers broken"]["value"] > 0
    assert all(f["ok"] for f in figures.values() if f["unit"] == "count"), done.stdout
    assert figures["kill -9 of the leader: first slot given away, slowest"]["value"] > 3000
