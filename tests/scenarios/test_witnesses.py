"""The witnesses themselves: a prober that misses two masters, or a writer that misses a lost write, would prove nothing."""
import time

import pytest

from harness.processes import Lateness, Workspace, stays, wait_until
from harness.redis_server import RedisServer
from harness.relay import Relay
from harness.switch import RelayedRedis
from harness.who import Who
from harness.witness import Prober, Writer


@pytest.fixture
def workspace():
    with Workspace("witnesses") as w:
        yield w


@pytest.fixture
def pair(workspace):
    """A master and its replica."""
    a, b = RedisServer(workspace, "a").start(), RedisServer(workspace, "b").start()
    b.replicate(a)
    return a, b


def fence(server):
    server.run("CONFIG", "SET", "min-replicas-to-write", "2147483647")


def probing(servers):
    prober = Prober({"s1": servers}).start()
    wait_until(lambda: len(prober.log["s1"]) > 20, 5, "probes")
    return prober


def test_a_proper_hand_over_is_no_two_masters(pair):
    a, b = pair
    prober = probing(pair)
    fence(a)
    wait_until(lambda: prober.takes_writes("a") is False, 5, "a to refuse")
    b.run("SLAVEOF", "NO", "ONE")
    wait_until(lambda: prober.takes_writes("b"), 5, "b to take writes")
    prober.stop()
    assert not prober.two_masters()
    assert prober.accepted("s1") == {"a", "b"}


def test_two_masters_are_noticed(pair):
    _, b = pair
    prober = probing(pair)
    b.run("SLAVEOF", "NO", "ONE")
    wait_until(lambda: sum(p.server == "b" and p.verdict == "yes" for p in prober.log["s1"]) > 3, 5, "b to take writes")
    prober.stop()
    assert prober.two_masters()


def test_two_masters_for_an_instant_are_noticed(pair):
    """Both at once for the time of two or three probes, then neither, then one."""
    a, b = pair
    prober = probing(pair)
    b.run("SLAVEOF", "NO", "ONE")
    since = time.monotonic()
    wait_until(lambda: all(sum(p.server == s and p.verdict == "yes" and p.sent > since for p in prober.log["s1"]) >= 2 for s in "ab"), 5, "probes")
    fence(a)
    wait_until(lambda: prober.takes_writes("a") is False, 5, "a to refuse")
    prober.stop()
    assert prober.two_masters()


def test_taking_turns_without_a_refusal_is_noticed(pair):
    """A frozen process whose queue is carried out when it goes on proves nothing against it; an early taker does."""
    a, b = pair
    prober = probing(pair)
    a.pause()
    b.run("SLAVEOF", "NO", "ONE")
    wait_until(lambda: prober.takes_writes("b"), 5, "b to take writes")
    a.resume()
    wait_until(lambda: len([p for p in prober.log["s1"] if p.server == "a" and p.verdict == "yes"]) > 30, 5, "a to go on")
    prober.stop()
    assert prober.two_masters()


def test_a_lost_write_is_noticed(pair):
    a, b = pair
    writer = Writer("s1", {"a": (a.ip, a.port), "b": (b.ip, b.port)}, "a").start()
    wait_until(lambda: len(writer.acked()) > 50, 5, "writes")
    b.run("SLAVEOF", "NO", "ONE")  # a goes on: what it takes from now on is nowhere else
    count = len(writer.acked())
    wait_until(lambda: len(writer.acked()) > count + 20, 5, "writes that get lost")
    writer.follow("b")
    wait_until(lambda: writer.acked()[-1].server == "b", 5, "writes to b")
    writer.stop()
    assert len(writer.lost(b)) >= 20
    assert not [n for n in writer.lost(a) if n < count]


def test_the_gap_is_the_time_without_an_acknowledgment(pair):
    a, _ = pair
    writer = Writer("s1", {"a": (a.ip, a.port)}, "a").start()
    wait_until(lambda: len(writer.acked()) > 50, 5, "writes")
    before = writer.acked()[-1].got
    fence(a)
    begin = time.monotonic()
    wait_until(lambda: writer.log[-1].verdict == "refused", 5, "a refusal")
    Lateness.pause(0.2)  # the gap that is to be measured
    a.run("CONFIG", "SET", "min-replicas-to-write", "0")
    wait_until(lambda: writer.acked_after(time.monotonic() - 0.01), 5, "writes again")
    writer.stop()
    took = 1000 * (time.monotonic() - before)
    assert 200 <= writer.gap_ms(begin) <= took
    assert not writer.lost(a)


def test_a_relay_slows_and_stops_whom_it_is_told_to(workspace):
    who = Who(lambda: [(p.name, p.pid) for p in workspace.processes if p.pid])
    kind = type("R", (RelayedRedis,), {"who": staticmethod(who)})
    a, b, c = (kind(workspace, n).start() for n in "abc")
    b.replicate(a)
    c.replicate(a)
    a.relay.set("silent", of=lambda name: name == "b")
    a.run("SET", "k", "1")
    wait_until(lambda: c.run("GET", "k") == "1", 5, "c to have it")
    stays(lambda: b.run("GET", "k") is None, 0.3, "b without it")
    a.relay.set("open")
    wait_until(lambda: b.run("GET", "k") == "1", 5, "b to have it")
    a.relay.set("throttle", amount=200_000)
    begin = time.monotonic()
    a.run("SET", "big", "x" * 200_000)
    wait_until(lambda: b.run("STRLEN", "big") == 200_000, 10, "b to have it all")
    assert time.monotonic() - begin > 0.5
    assert {f"{a.relay.address}"} == {":".join(str(w) for w in s.run("ROLE")[1:3]) for s in (b, c)}


def test_a_relay_delays_each_direction(workspace):
    a = RedisServer(workspace, "a").start()
    relay = Relay([a.port])
    relay.set("delay", amount=50)
    through = Writer("s1", {"a": ("127.0.0.1", relay.port)}, "a").start()
    wait_until(lambda: len(through.acked()) > 3, 5, "writes")
    through.stop()
    relay.close()
    assert min(w.got - w.sent for w in through.acked()) >= 0.1
