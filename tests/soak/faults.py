"""The table of faults. Each is a generator: it breaks something, yields what, and puts it right when it is resumed.

    @fault("meta.kill", weight=6, seconds=(1, 12))
    def meta_kill(s, rng):
        meta = s.take(rng, s.mortal_metas())   # nobody else breaks it meanwhile; NoTarget when there is none
        s.kill(meta)
        yield meta.name
        s.revive(meta)

`s` is the Soak (soak.py). Targets come from the fault's own random numbers, so that a seed gives the same choices as long as
the same targets are free.
"""
import json
import os
import random
import signal
import socket
import time
from dataclasses import dataclass
from typing import Callable

import redis as redis_py
import requests

from harness.processes import HOST

from installation import DCS, call

RELAY_FAULTS = ("refuse", "silent", "deaf", "slow", "garbage")
CLOCK_STEP_MS = 3600 * 1000
IDLE_CONNECTIONS = 200
HAND = "soak-hand"  # CLIENT SETNAME of what we break by hand


class NoTarget(Exception):
    """Everything this fault could break is broken already, or must stay whole."""


@dataclass(frozen=True)
class Fault:
    name: str
    weight: int
    seconds: tuple
    begin: Callable


FAULTS = []


def fault(name, weight, seconds):
    def add(function):
        FAULTS.append(Fault(name, weight, seconds, function))
        return function
    return add


@dataclass(frozen=True)
class Planned:
    at: float      # seconds after the begin of the cycle
    fault: Fault
    seconds: float
    seed: int


def plan(seed, cycle, length, mean_gap):
    """What happens in a cycle: the same for the same arguments."""
    rng = random.Random(f"{seed}/{cycle}")
    found, at = [], rng.uniform(0, mean_gap)
    while at < length:
        chosen = rng.choices(FAULTS, [f.weight for f in FAULTS])[0]
        found.append(Planned(at, chosen, rng.uniform(*chosen.seconds), rng.getrandbits(32)))
        at += rng.expovariate(1 / mean_gap)
    return found


# metaservers

@fault("meta.kill", 6, (1, 12))
def meta_kill(s, rng):
    meta = s.take(rng, s.mortal_metas())
    s.kill(meta)
    yield meta.name
    s.revive(meta)


@fault("meta.freeze", 6, (0.5, 12))
def meta_freeze(s, rng):
    meta = s.take(rng, s.spare_metas())
    s.freeze(meta)
    yield meta.name
    s.thaw(meta)


@fault("meta.drain", 4, (0, 6))
def meta_drain(s, rng):
    meta = s.take(rng, s.mortal_metas())
    s.end(meta)
    yield meta.name
    s.revive(meta)


@fault("meta.reload", 1, (0, 0))
def meta_reload(s, rng):
    meta = s.take(rng, s.world.metas())
    os.kill(meta.pid, signal.SIGHUP)
    yield meta.name


# console

@fault("console.kill", 3, (0, 8))
def console_kill(s, rng):
    console = s.take(rng, [s.world.console] if s.console_is_mortal else [])
    s.kill(console)
    yield console.name
    s.revive(console)


@fault("console.restart", 3, (0, 2))
def console_restart(s, rng):
    console = s.take(rng, [s.world.console] if s.console_is_mortal else [])
    s.end(console)
    yield console.name
    s.revive(console)


@fault("console.freeze", 3, (0.5, 10))
def console_freeze(s, rng):
    console = s.take(rng, [s.world.console])
    s.freeze(console)
    yield console.name
    s.thaw(console)


# ZooKeeper

def zookeepers(s):
    return [s.world.dcs[dc].zookeeper for dc in DCS]


@fault("zk.freeze", 3, (0.5, 10))
def zk_freeze(s, rng):
    zookeeper = s.take(rng, zookeepers(s))
    s.freeze(zookeeper)
    yield zookeeper.name
    s.thaw(zookeeper)


@fault("zk.kill", 3, (0, 8))
def zk_kill(s, rng):
    zookeeper = s.take(rng, zookeepers(s))
    s.kill(zookeeper)
    yield zookeeper.name
    s.revive(zookeeper)


@fault("zk.cut", 6, (1, 12))
def zk_cut(s, rng):
    """One member loses ZooKeeper; longer than the session lasts: it expires."""
    name = s.take(rng, list(s.world.to_zookeeper), key=lambda n: f"zk-of-{n}")
    mode = rng.choice(("refuse", "silent", "deaf", "slow"))
    s.world.to_zookeeper[name].set(mode)
    yield f"{name} {mode}"
    s.world.to_zookeeper[name].set("open")


@fault("zk.foreign", 4, (0, 0))
def zk_foreign(s, rng):
    """A foreign client deletes and rewrites our nodes."""
    dc = rng.choice(DCS)
    zookeeper = s.take(rng, [s.world.dcs[dc].zookeeper])
    base = f"/{s.world.namespace}/metaserver"
    s.note_foreign_hand(dc)
    try:
        with zookeeper.client(timeout=2.0) as zk:
            done = _spoil_nodes(zk, base, rng, [m.server_id for m in s.world.dcs[dc].metas])
    finally:
        s.note_foreign_hand(dc)
    yield f"{zookeeper.name}: {done}"


def _record(owner, state="NORMAL", to=0):
    return json.dumps({"serverId": owner, "slotState": state, "toServerId": to}).encode()


def _spoil_nodes(zk, base, rng, ids):
    what = rng.choice(("records", "records", "servers", "leader", "odd"))
    if what == "records":
        for n in rng.sample(range(256), 20):
            value = rng.choice((None, _record(rng.choice(ids)), _record(77), _record(88, "MOVING", 99),
                                _record(ids[0], "MOVING", ids[-1]), b"garbage", b"", b"\xff" * 2000))
            path = f"{base}/slots/{n}"
            if zk.exists(path):
                zk.delete(path) if value is None else zk.set(path, value)
    elif what == "odd":
        for parent in ("slots", "servers"):
            path = f"{base}/{parent}/odd-{rng.getrandbits(32)}"
            zk.create(path, b"x", ephemeral=True)
    else:
        for name in zk.get_children(f"{base}/{what}"):
            if rng.random() < 0.7:
                zk.delete(f"{base}/{what}/{name}")
    return what


# the network between daemons

@fault("wan.partition", 6, (2, 15))
def wan_partition(s, rng):
    """Metaservers of one DC do not reach those of the other; each direction is a fault of its own."""
    pair = s.take(rng, list(s.world.wan), key=lambda p: f"wan-{p[0]}-{p[1]}")
    mode = rng.choice(RELAY_FAULTS)
    s.world.wan[pair].set(mode)
    yield f"{pair[0]} to {pair[1]} {mode}"
    s.world.wan[pair].set("open")


@fault("wan.split", 2, (2, 12))
def wan_split(s, rng):
    """Nothing passes between the DCs, data included; the console stands in the first one."""
    s.take(rng, ["all"], key=lambda _: "wan-split")
    for pair in s.world.wan:
        s.take(rng, [pair], key=lambda p: f"wan-{p[0]}-{p[1]}")
    proxies = s.world.proxies()
    for proxy in proxies:
        s.take(rng, [proxy])
    ways = [s.world.to_metas[DCS[1]], s.world.to_console[DCS[1]]]
    for way in (f"console-to-{DCS[1]}", f"{DCS[1]}-to-console"):
        s.take(rng, [way], key=str)
    for relay in (*s.world.wan.values(), *ways):
        relay.set("silent")
    for proxy in proxies:
        proxy.hang()
        proxy.cut()
    yield " from ".join(DCS)
    for relay in (*s.world.wan.values(), *ways):
        relay.set("open")
    for proxy in proxies:
        proxy.hang(False)


@fault("console.partition", 5, (2, 15))
def console_partition(s, rng):
    ways = {f"console-to-{dc}": s.world.to_metas[dc] for dc in DCS} | {f"{dc}-to-console": s.world.to_console[dc] for dc in DCS}
    name = s.take(rng, list(ways), key=str)
    mode = rng.choice(RELAY_FAULTS)
    ways[name].set(mode)
    yield f"{name} {mode}"
    ways[name].set("open")


@fault("relay.cut", 2, (0, 0))
def relay_cut(s, rng):
    """Every connection through one relay is reset, and may be made again at once."""
    rng.choice(s.world.relays()).cut()
    yield "one relay"


# proxies

@fault("proxy.kill", 3, (1, 10))
def proxy_kill(s, rng):
    proxy = s.take(rng, s.world.proxies())
    s.kill(proxy)
    yield proxy.name
    s.revive(proxy)


@fault("proxy.blackhole", 4, (1, 12))
def proxy_blackhole(s, rng):
    proxy = s.take(rng, s.world.proxies())
    word = rng.choice(("hang", "refuse"))
    proxy.control(f"{word} on")
    proxy.cut()
    yield f"{proxy.name} {word}"
    proxy.control(f"{word} off")


@fault("proxy.cut", 3, (0, 0))
def proxy_cut(s, rng):
    proxy = s.take(rng, s.world.proxies())
    proxy.cut()
    yield proxy.name


# Redis

def gives_nothing_back(s, shard):
    """No master of the shard waits for its own data from the others."""
    try:
        return all("backstreaming:0" in s.world.master(dc, shard).run("CRDT.INFO", "replication") for dc in DCS)
    except (AssertionError, redis_py.exceptions.RedisError):
        return False


def pick_shard(s, rng):
    """(dc, shard), nobody else's meanwhile, in no DC: masters of two DCs that lost their data wait for one another for ever, until an
    operator decides what is lost (crdt-redis.md 8.2, 8.4)."""
    return s.take(rng, [(dc, shard) for dc in DCS for shard in s.world.shard_names if gives_nothing_back(s, shard)],
                  key=lambda p: f"redis-{p[1]}")


@fault("redis.failover", 4, (1, 10))
def redis_failover(s, rng):
    dc, shard = pick_shard(s, rng)
    s.mark_lossy(dc, shard)
    old, new = s.world.master(dc, shard), s.world.replica(dc, shard)
    s.kill(old)
    new.replicate(None)
    yield f"{old.name} to {new.name}"
    s.revive(old)
    old.replicate(new, wait=False)  # it follows when the new one has taken back from the other DC what it misses: that may be cut off


@fault("redis.switch", 2, (0, 0))
def redis_switch(s, rng):
    """A planned change of the master: both live."""
    dc, shard = pick_shard(s, rng)
    s.mark_lossy(dc, shard)
    old, new = s.world.master(dc, shard), s.world.replica(dc, shard)
    new.replicate(None)
    old.replicate(new, wait=False)
    yield f"{old.name} to {new.name}"


@fault("redis.restart", 3, (0, 4))
def redis_restart(s, rng):
    dc, shard = pick_shard(s, rng)
    s.mark_lossy(dc, shard)
    master = s.world.master(dc, shard)
    s.kill(master)
    yield master.name
    s.revive(master)
    master.replicate(None)  # CONFIG REWRITE keeps what it was when it was a replica


@fault("redis.freeze", 3, (0.5, 8))
def redis_freeze(s, rng):
    dc, shard = pick_shard(s, rng)
    redis = rng.choice(s.world.dcs[dc].redises[shard])
    s.freeze(redis)
    yield redis.name
    s.thaw(redis)


@fault("peer.broken", 8, (0, 0))
def peer_broken(s, rng):
    """By hand, on a real server."""
    dc, shard = pick_shard(s, rng)
    master, other = s.world.master(dc, shard), s.world.other(dc)
    gid, far = s.world.dcs[other].gid, s.world.master(other, shard)
    words = rng.choice((("no", "one"), (HOST, far.port), (HOST, 1), ("127.0.0.2", far.port)))
    with s.by_hand(master) as client:
        client.execute_command("PEEROF", gid, *words)
    yield f"{master.name} PEEROF {gid} {' '.join(map(str, words))}"


# the farms

def pick_farm(s, rng):
    return s.take(rng, [f for f in s.world.farms.values() if f.kind == "bulk"])


@fault("farm.broken", 8, (0, 0))
def farm_broken(s, rng):
    farm = rng.choice([f for f in s.world.farms.values() if f.kind == "bulk"])
    how, count = rng.choice(("any", "remove", "endpoint", "direct")), rng.randint(1, max(1, farm.count // 20))
    yield f"{farm.name} break {how}: {farm.say(f'break {how} {count}')}"


@fault("farm.answers", 6, (1, 12))
def farm_answers(s, rng):
    """Some Redis are silent, cut off their answers, answer twice, garbage or endlessly."""
    farm = pick_farm(s, rng)
    how = rng.choice(("mute", "half", "cut", "twice", "garbage", "loading", "bulk", "line"))
    count = 3 if how in ("bulk", "line") else rng.randint(1, max(1, farm.count // 10))
    farm.say(f"fault {how} {count}")
    yield f"{farm.name} {how} {count}"
    farm.say("fault none all")


@fault("farm.late", 2, (1, 12))
def farm_late(s, rng):
    farm = pick_farm(s, rng)
    ms = rng.choice((300, 1500, 5000))
    farm.say(f"delay {ms} {farm.count // 4}")
    yield f"{farm.name} {ms} ms"
    farm.say("delay 0 all")


@fault("farm.roles", 2, (1, 8))
def farm_roles(s, rng):
    """Redis that are replicas suddenly: shards without a master."""
    farm = pick_farm(s, rng)
    farm.say(f"role slave {farm.count // 20}")
    yield farm.name
    farm.say("role master all")


@fault("farm.freeze", 2, (0.5, 6))
def farm_freeze(s, rng):
    farm = pick_farm(s, rng)
    s.freeze(farm)
    yield farm.name
    s.thaw(farm)


@fault("farm.drop", 2, (0, 0))
def farm_drop(s, rng):
    farm = rng.choice(list(s.world.farms.values()))
    farm.say("drop")
    yield farm.name


# routes

@fault("route.edit", 4, (3, 20))
def route_edit(s, rng):
    pair = s.take(rng, list(s.world.wan), key=lambda p: f"route-{p[0]}-{p[1]}")
    near, far = rng.choice(((0,), (1,), (0, 1))), rng.choice(((0,), (1,), (1, 0)))
    s.edit_route(pair, near, far)
    yield f"{pair[0]} to {pair[1]}: {near} {far}"
    s.edit_route(pair, (0,), (0,))


# clocks

@fault("clock.step", 4, (2, 20))
def clock_step(s, rng):
    """The wall clock of one daemon jumps an hour, and back."""
    name = s.take(rng, list(s.world.clocks), key=lambda n: f"clock-{n}")
    ms = rng.choice((-CLOCK_STEP_MS, CLOCK_STEP_MS))
    s.world.clocks[name].step(ms)
    yield f"{name} {ms / 1000:+.0f} s"
    s.world.clocks[name].step(0)


# HTTP from an enemy

DEEP = b"[" * 100000
HOSTILE = (
    b"GET / HTTP/1.1\r\n\r\n", b"GET /%2f%2f..%2f..%2fetc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /api/dc/%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"BREW /api/dc/jq HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET " + b"/a" * 40000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /api/clusters HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n" + DEEP,
    b"PUT /api/meta/clusterchange/data-s1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n" + DEEP,
    b"POST /api/clusters HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /api/clusters HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /api/clusters HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /api/route HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"orgId\":1e400",
    b"GET /api/meta/getpeermaster/%f0%9f%98%80/%27%22%0d%0a HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /health HTTP/9.9\r\nHost: x\r\n\r\n",
)
BAD_PUSHES = (b"", b"null", b"[]", b"{", b'{"id":"data-s1"}', b'{"id":"data-s1","dbId":5e9,"type":"BI_DIRECTION","shards":{}}',
              b'{"id":"data-s1","dbId":1,"dbId":2,"type":"BI_DIRECTION","shards":{}}', b'{"id":"\xff\xfe","dbId":1}',
              b'{"id":"data-s1","dbId":"one","type":"BI_DIRECTION","shards":[]}')


@fault("http.hostile", 6, (0, 2))
def http_hostile(s, rng):
    daemon = rng.choice(s.world.daemons())
    sent = rng.sample(HOSTILE, 8)
    for text in sent:
        try:
            with socket.create_connection((HOST, daemon.port), timeout=2) as c:
                c.settimeout(0.5)
                c.sendall(text)
                c.recv(4096)
        except OSError:
            pass  # a reset or silence is an answer too; that it lives and works is judged elsewhere
    yield f"{daemon.name}, {len(sent)} requests"


@fault("push.garbage", 4, (0, 0))
def push_garbage(s, rng):
    """Pushes that are none, and one of a cluster as it was long ago."""
    meta = rng.choice(s.world.metas())
    bodies = [*rng.sample(BAD_PUSHES, 4), json.dumps(s.old_push[meta.dc]).encode()]
    for body in bodies:
        try:
            call("PUT", f"{meta.url}/api/meta/clusterchange/data-s1", data=body, timeout=2, headers={"Content-Type": "application/json"})
        except requests.RequestException:
            pass
    yield f"{meta.name}, {len(bodies)} pushes"


@fault("http.idle", 2, (3, 20))
def http_idle(s, rng):
    daemon = rng.choice(s.world.daemons())
    held = []
    try:
        for i in range(IDLE_CONNECTIONS):
            c = socket.create_connection((HOST, daemon.port), timeout=2)
            held.append(c)
            if i % 2:
                c.sendall(b"POST /api/clusters HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    except OSError:
        pass  # it is down or frozen now
    yield f"{daemon.name}, {len(held)} connections"
    for c in held:
        c.close()


@fault("http.slow", 4, (3, 20))
def http_slow(s, rng):
    """Readers that take a large document byte by byte."""
    dc, readers = rng.choice(DCS), []
    try:
        for _ in range(8):
            c = socket.socket()
            c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            c.settimeout(2)
            c.connect((HOST, s.world.console.port))
            c.sendall(f"GET /api/dc/{dc} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            readers.append(c)
    except OSError:
        pass
    until = time.monotonic() + rng.uniform(2, 6)
    while time.monotonic() < until and not s.healing.wait(0.1):
        for c in readers:
            try:
                c.recv(16)
            except OSError:
                pass
    yield f"console, {len(readers)} readers of {dc}"
    for c in readers:
        c.close()
