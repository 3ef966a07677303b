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
from scene import OTHER_DCS, OWN_NET, PEER_PORT, Farm, host_of, route_of  # noqa: E402

COUNT = 20
OK = b"+OK\r\n"


def next_turn():
    """The farm tells the turns of its loop apart by their milliseconds."""
    until = time.monotonic() + 0.005
    wait_until(lambda: time.monotonic() > until, 1, "another millisecond")


class Client:
    """A connection to one instance, by hand."""

    def __init__(self, farm, number, name=None):
        self.socket = socket.create_connection((host_of(OWN_NET, number), farm.port), timeout=5)
        self.file = self.socket.makefile("rb")
        self.number = number
        if name:
            assert self.say("CLIENT", "SETNAME", name) == OK
            next_turn()

    def say(self, *words):
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w)
                                                              for w in (str(x).encode() for x in words)))
        line = self.file.readline()
        return line + self.file.read(int(line[1:]) + 2) if line.startswith(b"$") else line

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
    poll_all_but(None)
    assert farm.ask("gaps")["max_ms"] >= 300, "a gap that ended is remembered"
    farm.say("reset")
    assert farm.ask("gaps")["max_ms"] < 300


def test_names_that_would_spoil_the_answers_are_refused(farm):
    client = Client(farm, 0)
    for name in ("", "a b", 'a"b', "a\\b", "x" * 64):
        assert client.say("CLIENT", "SETNAME", name).startswith(b"-ERR")
    assert client.say("CLIENT", "LIST").startswith(b"-ERR")
    assert list(farm.ask("clients")) == [""]


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
