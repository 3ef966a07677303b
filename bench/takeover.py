#!/usr/bin/env python3
"""make bench-takeover: three metaservers over 10,000 shards; members and the leading ZooKeeper are killed, frozen, joined, ended.

Real: xpipe-meta (three, then four processes), an ensemble of three ZooKeeper, TCP. Stood in for: bench/scene.py.
A shard counts as served when its new owner polled it: the farm sees who polls whom (bench/farm_clients.c). All the time 1 % of
the peers are broken each second, and no PEEROF may be sent twice or by a member that does not own the slot, judged two ways:
by the farm (the client that introduced itself last to the instance owns it) and by the slot records in ZooKeeper.
Bars: design.md 7. Writes build/bench/takeover.json.
"""
import argparse
import re
import sys
import threading
import time
from bisect import bisect_right
from collections import Counter
from pathlib import Path

from report import Report, cpu_s, rss_mb
from scene import OTHER_DCS, OWN_DC, Farm, OtherSide, boot_us, document
from harness.daemons import Meta
from harness.processes import Workspace, wait_until
from harness.zookeeper import Ensemble

SLOTS = 256
SESSION_MS = 5000
PERIOD_MS = 1000
BROKEN_PER_S = 0.01  # of all peers
BREAKS_PER_S = 10  # in so many portions
LIMIT_S = 120  # of every wait; far more than a quiet machine needs
FAULTS = ("kill", "leader", "freeze", "zookeeper", "join")


def client_name(server_id):
    return f"xpipe-meta-{OWN_DC}-{server_id}"


def slot_of(instance):
    """As slot_of_cluster() in meta/slots/slot.c; the dbId of cluster i is 1 + i (bench/scene.py)."""
    return (1 + instance) % SLOTS


def percentile(values, per_cent):
    """The nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * per_cent // 100) - 1)] if ordered else 0


# ---- who owns what, as ZooKeeper says ----

class Records:
    """The history of the 256 slot records: (time of the write, version, owner, is moving), by ZooKeeper's clock of this machine."""

    def __init__(self, client):
        self.history = [[] for _ in range(SLOTS)]
        for slot in range(SLOTS):
            client.DataWatch(f"/xpipe/metaserver/slots/{slot}", self.watcher(slot))

    def watcher(self, slot):
        def changed(data, stat):
            if data is not None:
                text = data.decode()
                owner = int(re.search(r'"serverId":(\d+)', text)[1])
                self.history[slot].append((stat.mtime, stat.version, owner, "MOVING" in text))
        return changed

    def now(self, slot):
        return self.history[slot][-1] if self.history[slot] else (0, 0, 0, True)

    def of(self, server_id):
        return {slot for slot in range(SLOTS) if self.now(slot)[2] == server_id}

    def is_settled(self, server_ids):
        """Every slot is with one of them, none is moving, and nobody holds less than half of the average."""
        held = Counter(self.now(slot)[2] for slot in range(SLOTS))
        moving = any(self.now(slot)[3] for slot in range(SLOTS))
        return not moving and set(held) == set(server_ids) and min(held.values()) >= SLOTS // len(server_ids) // 2

    def owners(self, slot, from_ms, to_ms):
        """Whom the record named at some time of that span."""
        records = self.history[slot]
        first, last = (bisect_right(records, at, key=lambda r: r[0]) for at in (from_ms, to_ms))
        return {r[2] for r in records[max(0, first - 1):last]}

    def unseen(self):
        """Owners that came and went between two looks. One write between two owners is the MOVING record: no owner."""
        count = 0
        for records in self.history:
            for before, after in zip(records, records[1:]):
                count += max(0, after[1] - before[1] - (1 if before[3] else 2))
        return count

    def first_and_last_change_ms(self, slots, since_ms):
        times = [r[0] for slot in slots for r in self.history[slot] if r[0] >= since_ms]
        return (min(times) - since_ms, max(times) - since_ms) if times else (0, 0)


# ---- what breaks all the time, and every command that was sent ----

class Damage(threading.Thread):
    """Breaks peers in a rhythm and collects what was commanded."""

    def __init__(self, farm):
        super().__init__(daemon=True)
        self.farm = farm
        self.portion = max(1, round(farm.count * len(OTHER_DCS) * BROKEN_PER_S / BREAKS_PER_S))
        self.broken = 0
        self.peerofs = []  # [at_us, instance, client, outcome, took_ms, is_foreign, waited_ms]
        self.missed = 0
        self.failure = None
        self._next = 0
        self._ending = threading.Event()

    def run(self):
        try:
            while not self._ending.wait(1 / BREAKS_PER_S):
                self.broken += int(self.farm.say(f"break any {self.portion}").split()[1])
                self.collect()
        except Exception as e:  # noqa: BLE001 - told by end()
            self.failure = e

    def collect(self):
        while True:
            answer = self.farm.ask(f"peerofs {self._next}")
            self.missed += answer["missed"]
            self.peerofs += answer["peerofs"]
            self._next = answer["next"]
            if not answer["peerofs"]:
                return

    def end(self):
        """No more damage; waits until everything is mended."""
        self._ending.set()
        self.join(LIMIT_S)
        if self.failure:
            raise self.failure
        wait_until(lambda: self.farm.report()["wrong_now"] == 0, LIMIT_S, "every broken peer to be corrected")
        self.collect()


# ---- the run ----

class Window:
    """One fault, from the deed until every shard is served; 'lost': slots that change their owner in it."""

    def __init__(self, kind, lost):
        self.kind, self.lost = kind, lost
        self.from_us, self.to_us = boot_us(), None
        self.values = {}

    def close(self, **values):
        self.to_us = boot_us()
        self.values.update(values)
        return self


class Bench:
    def __init__(self, args, workspace, report):
        self.args, self.workspace, self.report = args, workspace, report
        self.farm = Farm(workspace, args.count)
        self.other = OtherSide().serve(document(args.count, self.farm.port))
        self.zookeeper = Ensemble(workspace)
        self.members = {i: self.member(i) for i in (1, 2, 3, 4)}
        self.windows = []

    def member(self, server_id):
        meta = Meta(self.workspace, f"meta-{server_id}", OWN_DC, server_id, self.zookeeper,
                    {"log.level": "info", "meta.poll.milli": PERIOD_MS, "zk.session.timeout.milli": SESSION_MS})
        meta.set_addresses(self.other.url, {dc: f"{self.other.url}/{dc}" for dc in (OWN_DC, *OTHER_DCS)})
        return meta

    def run(self):
        self.zookeeper.start()
        self.farm.start()
        for i in (1, 2, 3):
            self.members[i].start(wait=False)
        for i in (1, 2, 3):
            self.members[i].wait_ready()
        with self.zookeeper.client(timeout=10.0) as client:
            self.start_records(client)
            self.settle((1, 2, 3))
            self.session_ms = self.negotiated_ms()
            self.wall_offset_us = time.time_ns() // 1000 - boot_us()
            self.steady_state()
            self.damage = Damage(self.farm)
            self.damage.start()
            for _ in range(self.args.runs):
                self.one_round()
            self.damage.end()
            wait_until(lambda: self.records.unseen() == 0, 1, "the watch to catch up")
        self.report_windows()
        self.report_commands()
        self.report_logs()

    def one_round(self):
        faults = {"kill": lambda: self.kill("kill -9 of a member", self.follower()),
                  "leader": lambda: self.kill("kill -9 of the leader", self.leader()),
                  "freeze": self.freeze_leader, "zookeeper": self.kill_zookeeper_leader, "join": self.join_and_end_fourth}
        for name in self.args.faults:
            faults[name]()

    # -- waiting --

    def start_records(self, client):
        def all_there():
            return len(client.get_children("/xpipe/metaserver/slots")) == SLOTS
        wait_until(all_there, LIMIT_S, "256 slot records")
        self.records = Records(client)

    def settle(self, server_ids):
        """The members share the slots, and the farm is polled by exactly the owners."""
        def settled():
            if not self.records.is_settled(server_ids):
                return False
            clients = self.farm.ask("clients")
            want = Counter(self.records.now(slot_of(i))[2] for i in range(self.args.count))
            return all(clients[client_name(s)]["instances"] == want[s] for s in server_ids)
        wait_until(settled, LIMIT_S, f"the members {server_ids} to share the slots")
        self.farm.say("reset")
        wait_until(lambda: self.farm.report()["polled"] == self.args.count, LIMIT_S, "a complete round")

    def leader(self):
        def find():
            return next((i for i, m in self.members.items() if m.running and
                         m.metrics().get("xpipe_meta_leader") == 1), None)
        return wait_until(find, LIMIT_S, "a leading member")

    def follower(self):
        leader = self.leader()
        return next(i for i, m in self.members.items() if m.running and i != leader)

    def negotiated_ms(self):
        found = {int(x) for i in (1, 2, 3)
                 for x in re.findall(r" zk\.state .*to=ready .*timeout_ms=(\d+)", self.members[i].log_path.read_text())}
        if len(found) != 1:
            raise RuntimeError(f"negotiated session time-outs in the logs: {found}")
        return found.pop()

    # -- faults --

    def lose(self, kind, server_id, deed):
        """From the deed until the farm saw every shard of that member polled by another one."""
        self.farm.say("reset")
        window = Window(kind, self.records.of(server_id))
        lost = self.farm.ask(f"lost {client_name(server_id)}")["lost"]
        if lost == 0:
            raise RuntimeError(f"member {server_id} polled nothing")
        deed()
        answer = wait_until(lambda: (a := self.farm.ask("lost"))["waiting"] == 0 and a, LIMIT_S, f"{kind}: shards served")
        since_ms = (window.from_us + self.wall_offset_us) // 1000
        first, last = self.records.first_and_last_change_ms(window.lost, since_ms)
        self.windows.append(window.close(served=answer["max_ms"], given=first, given_all=last,
                                         taken=answer["max_ms"] - last))
        return window

    def kill(self, kind, victim):
        self.lose(kind, victim, self.members[victim].kill)
        self.members[victim].start()
        self.settle((1, 2, 3))

    def freeze_leader(self):
        victim = self.leader()
        self.lose("SIGSTOP of the leader", victim, self.members[victim].pause)
        wait_until(lambda: not self.records.of(victim), LIMIT_S, "its slots to be elsewhere")
        self.members[victim].resume()
        self.settle((1, 2, 3))

    def kill_zookeeper_leader(self):
        """Whether the members keep their slots depends on how fast the ensemble elects: the longest gap tells."""
        server = self.zookeeper.leader()
        self.farm.say("reset")
        window = Window("the leading ZooKeeper killed", set())
        server.kill()
        self.zookeeper.leader()
        elected_ms = (boot_us() - window.from_us) / 1000
        time.sleep((self.session_ms + 1000) / 1000)  # what is observed is this span: a lease that ends would end in it
        window.close(gap=self.farm.ask("gaps")["max_ms"], elected=elected_ms)
        self.windows.append(window)
        server.start()
        self.settle((1, 2, 3))

    def join_and_end_fourth(self):
        self.join_fourth()
        self.end_fourth()

    def join_fourth(self):
        self.farm.say("reset")
        window = Window("a fourth member joins", set())
        before = {slot: self.records.now(slot)[2] for slot in range(SLOTS)}
        self.members[4].start(wait=False)
        joined = wait_until(lambda: self.joined_ms(window), LIMIT_S, "the fourth member to serve its share")
        window.lost = {slot for slot in range(SLOTS) if self.records.now(slot)[2] != before[slot]}
        self.windows.append(window.close(served=joined, gap=self.farm.ask("gaps")["max_ms"]))
        self.settle((1, 2, 3, 4))

    def joined_ms(self, window):
        if not self.records.is_settled((1, 2, 3, 4)):
            return None
        want = sum(self.records.now(slot_of(i))[2] == 4 for i in range(self.args.count))
        serves = self.farm.ask("clients").get(client_name(4), {"instances": 0})["instances"]
        return (boot_us() - window.from_us) / 1000 if serves == want else None

    def end_fourth(self):
        window = self.lose("SIGTERM of the fourth", 4, self.members[4]._popen.terminate)
        window.values["gap"] = self.farm.ask("gaps")["max_ms"]
        if self.members[4].wait_exit(15) != 0:
            raise RuntimeError(f"member 4 ended badly: {self.members[4].log_tail()}")
        self.settle((1, 2, 3))

    # -- figures --

    def steady_state(self):
        parts = {f"member {i}": [self.members[i]] for i in (1, 2, 3)}
        parts.update({"the farm": [self.farm], "the three ZooKeeper": self.zookeeper.servers})
        before = {p.pid: cpu_s(p.pid) for group in parts.values() for p in group}
        began = time.monotonic()
        time.sleep(self.args.seconds)
        seconds = time.monotonic() - began
        for name, group in parts.items():
            used = sum(cpu_s(p.pid) - before[p.pid] for p in group)
            self.report.figure(f"steady state: CPU of {name}", used / seconds, "cores")
            self.report.figure(f"steady state: memory of {name}", sum(rss_mb(p.pid) for p in group), "MB")

    def spread(self, kind, label, key, minus=0, bar=None):
        values = [w.values[key] - minus for w in self.windows if w.kind == kind]
        if values:
            self.report.figure(f"{kind}: {label}, p50", percentile(values, 50), "ms")
            self.report.figure(f"{kind}: {label}, slowest", max(values), "ms", bar)

    def report_windows(self):
        self.report.figure("session time-out as negotiated", self.session_ms, "ms")
        for kind in ("kill -9 of a member", "kill -9 of the leader", "SIGSTOP of the leader"):
            self.spread(kind, "first slot given away", "given")
            self.spread(kind, "last slot given away", "given_all")
            self.spread(kind, "all served after the last slot was given away", "taken")
            self.spread(kind, "all served, minus the session", "served", self.session_ms, 1000)
        kind = "the leading ZooKeeper killed"
        self.spread(kind, "another one leads", "elected")
        self.spread(kind, "longest time without a poll, minus the session", "gap", self.session_ms, 1000)
        self.spread("a fourth member joins", "its share served, from its start", "served")
        self.spread("a fourth member joins", "longest time without a poll, minus the period", "gap", PERIOD_MS, 1000)
        self.spread("SIGTERM of the fourth", "all served by others", "served", 0, 1000)
        self.spread("SIGTERM of the fourth", "longest time without a poll, minus the period", "gap", PERIOD_MS, 1000)

    def report_commands(self):
        sent = self.damage.peerofs
        by_outcome = Counter(p[3] for p in sent)
        foreign = [p for p in sent if p[5]]
        strange = [p for p in sent if self.sender(p) not in self.owners(p)]
        for p in (foreign + strange)[:10]:
            print("not its owner:", p, self.wall_ms(p), self.records.history[slot_of(p[1])], file=sys.stderr)
        self.report.figure("peers broken", self.damage.broken, "count", ok=self.damage.broken > 0)
        self.report.figure("of these corrected by exactly one command", by_outcome["corrected"], "count",
                           ok=by_outcome["corrected"] == self.damage.broken)
        self.report.figure("commands that were not needed (double)", by_outcome["needless"], "count", 0)
        self.report.figure("commands that did not mend", by_outcome["not mended"], "count", 0)
        self.report.figure("commands of a member that is not the last to connect", len(foreign), "count", 0)
        self.report.figure("commands of a member that does not own the slot record", len(strange), "count", 0)
        self.report.figure("changes of owners and commands that the bench missed",
                           self.records.unseen() + self.damage.missed, "count", 0)
        self.report_latency()

    def owners(self, peerof):
        """When it was sent is known as well as the farm knows it: it waited to be read, a little or, on a busy machine, long."""
        at = self.wall_ms(peerof)
        return self.records.owners(slot_of(peerof[1]), at - peerof[6], at)

    def sender(self, peerof):
        return next((i for i in self.members if client_name(i) == peerof[2]), None)

    def wall_ms(self, peerof):
        return (peerof[0] + self.wall_offset_us) // 1000

    def report_latency(self):
        """Of corrections within the windows: of shards that stay with their owner, and of those that change it."""
        times = {True: [], False: []}
        for at_us, instance, _, outcome, took_ms, _, _ in self.damage.peerofs:
            for w in self.windows:
                if w.from_us <= at_us <= w.to_us and outcome == "corrected" and w.kind != "the leading ZooKeeper killed":
                    times[slot_of(instance) in w.lost].append((took_ms, w.kind, instance, at_us - w.from_us))
        for is_lost, label in ((False, "stays with its owner"), (True, "changes its owner")):
            values = [t[0] for t in times[is_lost]]
            if percentile(values, 99) > 2000 and not is_lost:
                print("slowest:", sorted(times[False])[-10:], file=sys.stderr)
            bar = None if is_lost else 2000
            self.report.figure(f"corrections during take-overs, shard {label}", len(values), "count")
            self.report.figure(f"broken to corrected, shard {label}, p50", percentile(values, 50), "ms")
            self.report.figure(f"broken to corrected, shard {label}, p99", percentile(values, 99), "ms", bar)

    def report_logs(self):
        words = (" error ", "correction.failed", "correction.not_taken")
        lines = [f"{m.name}: {line}" for m in self.members.values() if m.log_path.exists()
                 for line in m.log_path.read_text(errors="replace").splitlines() if any(w in line for w in words)]
        for line in lines[:10]:
            print(line, file=sys.stderr)
        self.report.figure("errors in the logs of the members", len(lines), "count", 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10000, help="shards")
    parser.add_argument("--runs", type=int, default=2, help="how often each fault happens")
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=FAULTS, help="only these")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the steady state")
    parser.add_argument("--out", type=Path, help="the JSON; default: build/bench/takeover.json")
    args = parser.parse_args()
    report = Report("takeover", args.out)
    report.facts = {"shards": args.count, "runs": args.runs}
    with Workspace("bench-takeover") as workspace:
        Bench(args, workspace, report).run()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
