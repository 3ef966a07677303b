"""Switchovers under watch (dr-switchover.md 6.1): a world whose every connection between sites goes through relays, one one-way cluster
with writers and a prober, migrations through REST, and the invariants I1 to I6.

    site = SwitchWorld(zookeepers, namespace="x", containers=2).start()
    with Drill(site, "f07") as drill:             # a cluster of two shards, writers, prober
        site.meta_relay["fra"].set("deaf")
        ticket = drill.switch()                   # checkandprepare, domigration
        assert drill.wait_rest(ticket) == "Success"
        drill.check(ticket)                       # I1 to I6; raises with all that is wrong

What is relayed: each Redis (its address in the metadata is that of its relay, and it announces itself so), each metaserver, the console
and the outer client. Keepers are not: their addresses are those of their containers. Rules of a relay may be for some callers only:
names of processes ("console", "meta-jq-1", "redis-f07-jq-s1-1", "container-jq-1": its keepers too).
"""
import os
import re
import shlex
import sqlite3
import time
from contextlib import closing

import redis
import requests

from . import events
from .cluster import World
from .events import Clients, OuterClient, is_held, other_dc, redises_of
from .processes import HOST, Lateness, Timeout, wait_until
from .redis_server import RedisServer, redis_major
from .relay import Relay
from .who import Who

RESTING = ("Success", "Aborted", "ForceEnd", "CheckingFail", "PartialRetryFail", "PublishFail", "RollBackFail")
TERMINAL = ("Success", "Aborted", "ForceEnd")
AGREE_S = 10.0  # I3
REST_S = 30.0
NAMED = re.compile(r"dc \w+, (all shards|shard \w+), \w+|on request|ended by itself")  # I4
CONNECT_MS = 1000  # beside relays that ask who is calling, on a machine that does other things beside
LOOK_MS = 2000     # for the same reason: how long a check may look; fences are given their own time by the console
AFTERMATH_S = 0.3  # what is refused leaves nothing to wait for: whatever would come of it all the same comes in this time
RETRY_MS = 3000    # so that what is broken on purpose pauses soon
LOADED_S = float(os.environ.get("XPIPE_LOADED_S", "3"))  # how much longer a bound may take on a machine that does other things beside


class RelayedRedis(RedisServer):
    """A Redis that the world knows by the address of its relay; 'client' and the witnesses speak to it directly."""

    who = None  # set by the world, for all that it makes

    has_file = True  # False: all of its configuration is on its command line

    def __init__(self, workspace, name):
        super().__init__(workspace, name)
        self.relay = Relay([self.port], who=self.who)
        self.write_config()

    def write_config(self):
        """As it was before anybody changed it."""
        self._write_config([f"slave-announce-ip {HOST}", f"slave-announce-port {self.relay.port}"])

    def command(self):
        if self.has_file:
            return super().command()
        lines = [shlex.split(line) for line in self.conf_path.read_text().splitlines()]
        return [self.program, *(word for name, *values in lines for word in (f"--{name}", *values))]

    @property
    def address(self):
        return self.relay.address

    def replicate(self, master, wait=True):
        if master is None:
            self.run("SLAVEOF", "NO", "ONE")
            return
        self.run("SLAVEOF", *master.address.split(":"))
        if wait:
            wait_until(lambda: self.run("ROLE")[3] == "connected", 15, f"{self.name} to follow {master.name}")


class DirectRedis(RelayedRedis):
    """Without relay in between: for load that Python would be too slow for."""

    def _more_config(self):
        # Up to Redis 6 a replica connects to its new master with the cron, once a second: the backlog must hold the load of that time.
        return super()._more_config() + (["repl-backlog-size 64mb"] if redis_major(self.program) < 7 else [])

    def _write_config(self, lines):
        super()._write_config([x for x in lines if not x.startswith("slave-announce")])

    @property
    def address(self):
        return f"{self.ip}:{self.port}"


class SwitchWorld(World):
    """A World with relays everywhere and an outer client. meta_relay[dc]: to the metaservers of the DC, from the console and from other DCs;
    console_relay: to the console; outer_relay: to the outer client, which with 'webhook' is only told."""

    def __init__(self, zookeepers, namespace, dcs=("jq", "fra"), console_settings=None, meta_settings=None, webhook=False, **options):
        self.outer = OuterClient()
        self.who = Who(self._pids)
        self._is_webhook = webhook
        self._last_actions = []
        super().__init__(dcs=list(dcs), shards=0, zookeepers=zookeepers, namespace=namespace,
                         console_settings={"console.migration.connect.timeout.ms": CONNECT_MS,
                                           "console.migration.retry.total.ms": RETRY_MS, **(console_settings or {})},
                         meta_settings={"meta.switch.connect.milli": CONNECT_MS, "meta.switch.fence.milli": LOOK_MS,
                                        **(meta_settings or {})}, **options)

    def _connect_addresses(self):
        self.outer_relay = Relay([self.outer.port], who=self.who)
        self.console_relay = Relay([self.console.port], who=self.who)
        self.meta_relay = {dc.name: Relay([dc.meta.port], who=self.who) for dc in self.dcs.values()}
        urls = {name: relay.url for name, relay in self.meta_relay.items()}
        self.console.set_metaservers(urls)
        key, path = ("console.migration.webhook.url", self.outer.hook_path) if self._is_webhook else ("credis.service.address", "")
        self.console.more_settings[key] = self.outer_relay.url + path
        for dc in self.dcs.values():
            for meta in dc.metas:
                meta.set_addresses(self.console_relay.url, urls)

    def _pids(self):
        return [(p.name, p.pid) for p in list(self.workspace.processes) if p.pid]

    def redis_class(self, direct=False, program=RelayedRedis.program, has_file=True):
        return type("RelayedRedis", (DirectRedis if direct else RelayedRedis,),
                    {"who": staticmethod(self.who), "program": program, "has_file": has_file})

    def dc_of(self, name):
        """The DC of a process; None: the console's site."""
        return next((dc for dc in self.dcs if f"-{dc}-" in f"-{name}-"), None)

    def _relays(self, cluster):
        """(relay, its DC) of everything; the console and the outer client have none."""
        pairs = [(relay, dc) for dc, relay in self.meta_relay.items()]
        pairs += [(self.console_relay, None), (self.outer_relay, None)]
        return pairs + ([(r.relay, dc) for dc, shards in cluster.redises.items() for some in shards.values() for r in some]
                        if cluster else [])

    def isolate(self, dc, cluster, mode="silent"):
        """Nothing gets into the DC or out of it."""
        for relay, home in self._relays(cluster):
            relay.set(mode, of=lambda name, home=home: (self.dc_of(name) == dc) != (home == dc))
        if mode == "refuse":
            self.reset(cluster)

    def part(self, a, b, cluster, mode="silent"):
        """Nothing between the two; None stands for the console's site."""
        for relay, home in self._relays(cluster):
            if home in (a, b):
                other = b if home == a else a
                relay.set(mode, of=lambda name, other=other: self.dc_of(name) == other)

    def reset(self, cluster):
        for relay, _ in self._relays(cluster):
            relay.cut()

    def heal(self, cluster=None):
        for relay, _ in self._relays(cluster):
            relay.set("open")

    def revive(self):
        """Starts the daemons that a scenario has ended."""
        self.console.env.pop("XPIPE_FAULTS", None)
        for daemon in (self.console, *self.metas()):
            if daemon.running:
                daemon.resume()
            else:
                daemon.start(wait=False)
        for daemon in (self.console, *self.metas()):
            daemon.wait_ready()

    def at_close(self, action):
        """To be called when its processes have ended."""
        self._last_actions.append(action)

    def close(self):
        try:
            super().close()
        finally:
            self.outer.close()
            for action in self._last_actions:
                action()


class Drill:
    """One cluster of two shards with its witnesses. Leaves the world as it was, or says with world.is_spoilt that it cannot."""

    def __init__(self, world, name, shards=2, replicas=1, keepers=None, writers=True, prober=True, batch=1, pause=None, size=0,
                 config=(), **server):
        """server: see redis_class()."""
        self.world, self.name = world, name
        self._writers_wanted, self._prober_wanted = writers, prober
        self._writer_options = {"batch": batch, "size": size, **({} if pause is None else {"pause": pause})}
        self._clients = None
        self.cluster = world.one_way(name, shards=shards, replicas=replicas, server=world.redis_class(**server), keepers=keepers)
        for server in self.cluster.all_redises():
            for line in config:
                server.run("CONFIG", "SET", *line.split())
        self.home, self.away = self.cluster.dcs[0], self.cluster.dcs[1]
        self.tickets = []
        self._is_over = False
        self.began = time.monotonic()

    @property
    def console(self):
        return self.world.console

    def __enter__(self):
        return Drill.begin([self])[0]

    @staticmethod
    def begin(drills):
        """Enters them all at once: they wait for the same metaservers."""
        try:
            for d in drills:
                d.cluster.create()
            events.settle([d.cluster for d in drills])
            for d in drills:
                d.watch()
        except BaseException:
            for d in drills:
                d._end(True)
            raise
        return drills

    def __exit__(self, kind, *_):
        self._end(kind is not None)

    def wait_unfenced(self, timeout=15.0):
        """The settings of every Redis are its own again: metaservers put them back within seconds of the end of a switch, and those of new
        Redis in backup DCs, which they hold until they follow."""
        events.wait_unfenced(self.cluster.all_redises(), timeout)

    def watch(self):
        if self._writers_wanted or self._prober_wanted:
            self._clients = Clients([self.cluster] if self._writers_wanted else [], self.world.outer, **self._writer_options,
                                    probed={s: self.redises(s) for s in self.cluster.shards} if self._prober_wanted else None)
            self._clients.start()

    @property
    def writers(self):
        """Shard -> Writer."""
        return {shard: writer for (_, shard), writer in self._clients.writers.items()} if self._clients else {}

    @property
    def prober(self):
        return self._clients.prober if self._clients else None

    def wait_acks(self, timeout=10.0, shards=None):
        """Every shard (or some) has a write acknowledged that began after now."""
        if self._clients:
            self._clients.wait_acked(timeout, shards)

    def redises(self, shard, dc=None):
        return redises_of(self.cluster, shard, [dc] if dc else None)

    def old_master(self, shard="s1"):
        return self.cluster.master(shard)

    # migrations through REST

    def prepare(self, clusters=None, to=None, **fields):
        """checkandprepare; the whole answer."""
        return events.prepare(self.console, clusters or [self.name], self.cluster.primary, to or other_dc(self.cluster), **fields)

    def ticket(self, **fields):
        """checkandprepare, which has to succeed; the ticket."""
        answer = self.prepare(**fields)
        assert answer["results"][0]["success"], answer
        self.tickets.append(answer["ticketId"])
        return answer["ticketId"]

    def go(self, ticket):
        return events.ask(self.console, "domigration", {"ticketId": ticket}, timeout=20)

    def switch(self, mode=None, **fields):
        """checkandprepare and domigration; the ticket."""
        ticket = self.ticket(**({"mode": mode} if mode else {}), **fields)
        started = self.go(ticket)
        assert started["success"], started
        return ticket

    def roll_back(self, ticket):
        """The result of the one cluster."""
        return events.ask(self.console, "rollback", {"ticketId": ticket, "clusters": [self.name]})["results"][0]

    def ask(self, ticket, word):
        """process, cancel, forceProcess, forceEnd as a page asks; the requests.Response."""
        tail = "" if word == "process" else f"/{word}"
        return self.console.request("POST", f"/console/migration/events/{ticket}/clusters/{self.cluster_id()}{tail}", {}, timeout=20)

    def cluster_id(self):
        return self.row("SELECT id FROM cluster_tbl WHERE cluster_name = ? ORDER BY id DESC", self.name)[0]

    def told(self, ticket):
        """checkstatus of the one cluster."""
        return next(r for r in events.told(self.console, ticket) if r["clusterName"] == self.name)

    def row(self, sql, *args):
        """The first row, read from the database beside the console; None: no row."""
        with closing(sqlite3.connect(f"file:{self.console.db_path}?mode=ro", uri=True, timeout=5)) as db:
            return db.execute(sql, args).fetchone()

    def status(self, ticket):
        return self.row("SELECT status FROM migration_cluster_tbl WHERE migration_event_id = ? AND cluster_id = ?", ticket, self.cluster_id())[0]

    def reason(self, ticket):
        return self.row("SELECT reason FROM migration_cluster_tbl WHERE migration_event_id = ? AND cluster_id = ?", ticket, self.cluster_id())[0]

    def detail(self, ticket):
        """The cluster of GET /api/v2/migrations/{id}."""
        return next(c for c in self.console.get(f"/api/v2/migrations/{ticket}")["clusters"] if c["cluster"] == self.name)

    def shard_detail(self, ticket, shard):
        return next(s for s in self.detail(ticket)["shards"] if s["shard"] == shard)

    def step(self, ticket, shard, key):
        """(result, text) of a step of a shard: "done", "failed", "waiting"."""
        found = next(s for s in self.shard_detail(ticket, shard)["steps"] if s["step"] == key)
        return found["result"], found["text"] or ""

    def took_ms(self, ticket, call):
        """How long each of these calls ("hold", "promote", ..) took, over all shards."""
        return [x["durationMs"] for x in self.detail(ticket)["timeline"] if x["kind"] == "result" and x["to"] == call]

    def count(self, ticket, call):
        """Shard -> how often the call was begun."""
        lines = [x["shard"] for x in self.detail(ticket)["timeline"] if x["kind"] == "intent" and x["to"] == call]
        return {s: lines.count(s) for s in self.cluster.shards}

    def texts(self, ticket, key):
        """The text of a step of every shard, in one."""
        return "\n".join(self.step(ticket, s, key)[1] for s in self.cluster.shards)

    def page(self, ticket):
        """What the page of an event is given, as text."""
        return self.console.request("GET", f"/console/migration/events/{ticket}").text

    def wait_rest(self, ticket, timeout=REST_S, wanted=RESTING):
        """Waits until it is terminal or paused; the status."""
        wanted = (wanted,) if isinstance(wanted, str) else wanted
        try:
            wait_until(lambda: self.status(ticket) in wanted, timeout, f"{self.name} to be one of {wanted}")
        except Timeout as e:
            raise Timeout(f"{e}; it is {self.status(ticket)}\n{self.timeline(ticket)}") from None
        status = self.status(ticket)
        if status == "Success" or (status == "ForceEnd" and self.detail(ticket)["activeSwitched"]):
            self.cluster.primary = self.target(ticket)
        return status

    def target(self, ticket):
        return self.row("SELECT lower(d.dc_name) FROM migration_cluster_tbl c JOIN dc_tbl d ON d.id = c.destination_dc_id "
                        "WHERE c.migration_event_id = ? AND c.cluster_id = ?", ticket, self.cluster_id())[0]

    def timeline(self, ticket):
        with closing(sqlite3.connect(f"file:{self.console.db_path}?mode=ro", uri=True, timeout=5)) as db:
            rows = db.execute(
                "SELECT l.wall_ms, l.shard_id, l.kind, l.from_state, l.to_state, l.rule, l.duration_ms, l.text FROM migration_line_tbl l "
                "JOIN migration_cluster_tbl c ON c.id = l.migration_cluster_id WHERE c.migration_event_id = ? AND c.cluster_id = ? ORDER BY l.id",
                (ticket, self.cluster_id())).fetchall()
        begin = rows[0][0] if rows else 0
        return "\n".join(f"{at - begin:7} ms  {kind:10} shard {shard:3}  {a or '-':>13} {b:14} {rule:12} {ms:5} ms  {text[:1200]!r}"
                         for at, shard, kind, a, b, rule, ms, text in rows)

    # the world as it is

    def masters(self, shard):
        """Redis of the shard that answer and say they are masters and are not held."""
        return [r for r in self.redises(shard) if _is_writable(r)]

    def gap_ms(self, since=None):
        """The longest time without an acknowledged write, over all shards."""
        return max(self._clients.gaps_ms(self.began if since is None else since))

    def fingerprint(self):
        """What a repeated request must not change. Who follows whom may still be on its way to what it should be."""
        masters = {s: [m.name for m in self.masters(s)] for s in self.cluster.shards}
        return masters, self.active_dc(), self.row("SELECT status, migration_event_id FROM cluster_tbl WHERE id = ?", self.cluster_id())

    def active_dc(self):
        return self.row("SELECT lower(d.dc_name) FROM cluster_tbl c JOIN dc_tbl d ON d.id = c.activedc_id WHERE c.id = ?",
                        self.cluster_id())[0]

    # invariants

    def check(self, ticket, writes=True, repeat=True, emptied=()):
        """I1 to I6, with what the witnesses saw; everything that is wrong in one text. emptied: shards whose data the test itself destroyed."""
        if writes:
            self._try_acks()
        problems = [*self.i1(ticket), *self.i3(ticket), *self.i4(ticket), *self.i5()]
        if repeat and self.status(ticket) in TERMINAL:
            problems += self.i6(ticket)
        self.stop_witnesses()
        problems += self.i1(ticket) + self.i2(ticket, emptied)
        if problems:
            raise AssertionError("\n".join(dict.fromkeys(problems)) + f"\n{self.status(ticket)}: {self.reason(ticket)}\n"
                                 f"{self.timeline(ticket)}")

    def _try_acks(self):
        try:
            self.wait_acks(timeout=10)
        except Timeout as e:
            raise AssertionError(f"{e}\n" + "\n".join(f"{s}: follows {w.published}, last {w.log[-1:]}"
                                                      for s, w in self.writers.items())) from None

    def i1(self, ticket):
        """Never two that take writes, except where the result says unfenced."""
        if not self.prober:
            return []
        unfenced = {s["shard"] for t in self.tickets for s in self.detail(t)["shards"] if s["unfenced"]}
        return [f"I1 {p}" for p in self.prober.two_masters() if p.split(":")[0] not in unfenced]

    def i2(self, ticket, emptied=()):
        """Drained: every acknowledged write is on the master of today. Else the loss is told."""
        problems = []
        status = self.status(ticket)
        if status not in TERMINAL:
            return problems
        for shard, writer in self.writers.items():
            if shard in emptied:
                continue
            state = self.shard_detail(ticket, shard)
            lost = writer.lost(self.cluster.master(shard))
            if lost and (status != "Success" or state["drained"]):
                problems.append(f"I2 {shard}: {len(lost)} acknowledged writes are not on the master, the first is {lost[0]}; "
                                f"{[w for w in writer.acked() if w.number in lost[:3]]}")
            if status == "Success" and not state["drained"] and state["lostBytes"] is not None:
                least = sum(writer.bytes_of(n) for n in lost)
                if state["lostBytes"] < least:
                    problems.append(f"I2 {shard}: {len(lost)} writes of {least} bytes are lost, stored are {state['lostBytes']}")
        return problems

    def i3(self, ticket):
        """At most 10 s after the end: database, documents, ROLE and the last publication agree."""
        if self.status(ticket) not in TERMINAL:
            return []
        try:
            wait_until(self._agrees, AGREE_S, "everybody to agree")
        except Timeout as e:
            return [f"I3 {e}"]
        return []

    def _agrees(self):
        primary = self.cluster.primary
        assert self.active_dc() == primary, f"activedc is {self.active_dc()}, not {primary}"
        for dc in self.cluster.dcs:
            document = self.console.get(f"/api/dc/{dc}/cluster/{self.name}")
            assert document["activeDc"].lower() == primary, f"document of {dc}: activeDc {document['activeDc']}"
        published = next((p for p in reversed(self.world.outer.publishes) if p[1] == self.name), None)
        for shard in self.cluster.shards:
            masters = self.masters(shard)
            names = [m.name for m in masters]
            assert len(masters) == 1 and masters[0] in self.redises(shard, primary), f"{shard}: masters are {names}, wanted one in {primary}"
            flags = self._flagged(shard)
            if flags or published:  # nobody flags masters before the first switch
                assert flags == {masters[0].address}, f"{shard}: flagged as master are {flags}, it is {masters[0].address}"
            if published and published[2].lower() == primary:
                assert masters[0].address in published[3], f"{shard}: published were {published[3]}"
        return True

    def _flagged(self, shard):
        """Addresses of the Redis that the database calls masters."""
        with closing(sqlite3.connect(f"file:{self.console.db_path}?mode=ro", uri=True, timeout=5)) as db:
            ports = {port for port, in db.execute("SELECT redis_port FROM redis_tbl WHERE master = 1 AND deleted_at = 0")}
        return {r.address for r in self.redises(shard) if int(r.address.split(":")[1]) in ports}

    def i4(self, ticket):
        """It rests, and a rest that is no success says why."""
        status, reason = self.status(ticket), self.reason(ticket)
        if status not in RESTING:
            return [f"I4 it is {status}, neither terminal nor paused"]
        if status not in ("Success", "ForceEnd") and not NAMED.search(reason or ""):
            return [f"I4 {status}: no DC, shard, step in {reason!r}"]
        return []

    def i5(self):
        """Locked exactly while a migration is unfinished."""
        problems = []
        with closing(sqlite3.connect(f"file:{self.console.db_path}?mode=ro", uri=True, timeout=5)) as db:
            for name, status, event, unfinished in db.execute(
                    "SELECT cluster_name, status, migration_event_id, (SELECT count(*) FROM migration_cluster_tbl m WHERE m.cluster_id = c.id "
                    "AND m.end_time = 0) FROM cluster_tbl c WHERE deleted_at = 0"):
                if (status.lower() != "normal") != (unfinished > 0) or (event != 0) != (unfinished > 0):
                    problems.append(f"I5 {name}: status {status}, event {event}, unfinished migrations {unfinished}")
        return problems

    def i6(self, ticket):
        """The same requests again change nothing."""
        before = self.fingerprint()
        self.go(ticket)
        self.console.get(f"/api/migration/checkstatus/{ticket}")
        self.roll_back(ticket)
        Lateness.pause(AFTERMATH_S)
        after = self.fingerprint()
        return [] if before == after else [f"I6 the same requests again changed {before} to {after}"]

    # the end

    def stop_witnesses(self):
        if self._clients:
            self._clients.stop()

    def _end(self, failed):
        if self._is_over:
            return
        self._is_over = True
        self.stop_witnesses()
        self.world.outer.may = self.world.outer.takes = True
        self.world.heal(self.cluster)
        if failed:
            for ticket in self.tickets:
                _print_quietly(lambda t=ticket: f"{self.status(t)}: {self.reason(t)}\n{self.timeline(t)}")
            self.world.is_spoilt = True
        try:
            self.world.revive()
            if any(self.status(t) not in TERMINAL for t in self.tickets):
                self.world.is_spoilt = True
            elif not getattr(self.world, "is_spoilt", False):
                self.console.delete(f"/api/cluster/{self.name}?checkEmpty=false")
        except Exception:  # noqa: BLE001 - the next one gets a new world
            self.world.is_spoilt = True
        for server in self.cluster.all_redises():
            if server.running:
                server.resume()
            server.kill()
            self.world.workspace.forget(server)
            server.relay.close()


def _print_quietly(make):
    try:
        print(make())
    except Exception as e:  # noqa: BLE001 - only a help for the reader
        print(f"({type(e).__name__}: {e})")


def _is_writable(server):
    try:
        return server.run("ROLE")[0] == "master" and not is_held(server)
    except (redis.exceptions.RedisError, OSError):
        return False


def set_fault(daemon, points):
    """Fault points of a running daemon; False when this build has none."""
    answer = daemon.request("POST", "/debug/fault", {"points": points})
    assert answer.status_code in (200, 404), answer.text
    return answer.status_code == 200


def is_down(daemon):
    try:
        daemon.request("GET", "/health", timeout=1)
        return False
    except requests.RequestException:
        return True
