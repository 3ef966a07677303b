"""What must hold: all the time (Watch, PeerofAudit), and when everything is healed (problems_now)."""
import json
import re
import sqlite3
import threading
import time
from collections import deque
from hashlib import sha256

import redis
import requests
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError

from faults import HAND
from installation import DCS, call, get, metrics_of

SLOTS = 256
SESSION_S = 3.0
ABA_S = 1.0             # two looks at one member so close together see one ownership, not two
RECORD_PERIOD_S = 0.2
SEND_SLACK_S = 0.5      # from the last check of a member to the entry in the log of Redis, on a busy machine
HISTORY_MAX = 2000
SENDER = re.compile(r"xpipe-meta-([a-z]+)-(\d+)")
ZK_ERRORS = (KazooException, KazooTimeoutError, OSError, AssertionError)


def slot_of(cluster_id):
    """meta/slots/slot.h, for ids of our size."""
    return cluster_id % SLOTS


# ---- who owns what ----

class SlotHistory:
    """Who owned each watched slot when, from the records in ZooKeeper: every record tells when it was written, and its version whether
    one between was missed."""

    def __init__(self, namespace, slots):
        self.path = f"/{namespace}/metaserver/slots/%d"
        self.records = {slot: deque(maxlen=HISTORY_MAX) for slot in slots}  # (written_ms, czxid, version, owner)

    def read(self, zk):
        for slot, known in self.records.items():
            try:
                data, stat = zk.get_async(self.path % slot).get(timeout=1)
            except KazooException as e:
                if type(e).__name__ != "NoNodeError":
                    raise
                continue
            if not known or (known[-1][1], known[-1][2]) != (stat.czxid, stat.version):
                known.append((stat.mtime, stat.czxid, stat.version, _owner_of(data)))

    def owners(self, slot, from_ms, to_ms):
        """Ids of who may have owned the slot between the moments; None when that is not known."""
        found = set()
        records = list(self.records[slot])
        for i, (begin, created, version, owner) in enumerate(records):
            end = records[i + 1][0] if i + 1 < len(records) else float("inf")
            if begin > to_ms or end < from_ms:
                continue
            if i + 1 < len(records) and (created, version + 1) != records[i + 1][1:3]:
                return None  # others between these two
            found.add(owner)
        return found if records and records[0][0] <= from_ms else None


def _owner_of(data):
    try:
        return json.loads(data).get("serverId")
    except (ValueError, AttributeError):
        return None


class Watch(threading.Thread):
    """Looks once and again at slots, versions and processes of the daemons, and at the slot records."""

    def __init__(self, soak, slots_of_dc):
        super().__init__(name="watch", daemon=True)
        self.soak, self.world = soak, soak.world
        self.histories = {dc: SlotHistory(self.world.namespace, slots) for dc, slots in slots_of_dc.items()}
        self.versions = {}  # (daemon, pid, dc) -> document version; the console's outlive its process
        self.checks = 0
        self._end = threading.Event()
        self._record_threads = [threading.Thread(target=self._watch_records, args=(dc,), daemon=True) for dc in slots_of_dc]

    def start(self):
        super().start()
        for thread in self._record_threads:
            thread.start()

    def stop(self):
        self._end.set()
        for thread in (self, *self._record_threads):
            thread.join(15)

    def run(self):
        while not self._end.wait(0.3):
            try:
                self.soak.look_for_dead()
                for dc in DCS:
                    self._look_at_slots(dc)
                    self._look_at_version(self.world.console, dc)
                    for meta in self.world.dcs[dc].metas:
                        self._look_at_version(meta, dc)
                self.checks += 1
            except Exception as e:  # noqa: BLE001 - a watch that died would make the rest of the run prove nothing
                self.soak.violation("soak", f"watch: {type(e).__name__}: {e}")

    # slots

    def _slots(self, meta):
        """(before, after, slots) of one look, None when it does not answer."""
        if not self.soak.is_well(meta):
            return None
        before = time.monotonic()
        try:
            slots = get(meta.url + "/api/current/slots", timeout=2)
        except (requests.RequestException, AssertionError, ValueError):
            return None
        return before, time.monotonic(), set(slots or [])

    def _look_at_slots(self, dc):
        """A slot that one member has before and after a look at which another has it."""
        members = self.world.dcs[dc].metas
        looks = [(m, self._slots(m)) for m in (*members, *members)]
        for i, (first, early) in enumerate(looks):
            for k in range(i + 2, len(looks)):
                last, late = looks[k]
                if last is not first or not early or not late or late[1] - early[0] > ABA_S:
                    continue
                for other, between in looks[i + 1:k]:
                    twice = early[2] & late[2] & between[2] if between and other is not first else set()
                    if twice and not self.soak.is_foreign_hand_near(dc):
                        self.soak.violation("slots", f"{dc}: {first.name} and {other.name} both own {sorted(twice)[:5]} ({len(twice)})")

    def _watch_records(self, dc):
        """ZooKeeper itself, not through a relay; a new client after each failure."""
        zookeeper, history = self.world.dcs[dc].zookeeper, self.histories[dc]
        while not self._end.wait(RECORD_PERIOD_S):
            if not self.soak.is_well(zookeeper):
                continue
            try:
                with zookeeper.client(timeout=2.0) as zk:
                    while not self._end.wait(RECORD_PERIOD_S):
                        history.read(zk)
            except ZK_ERRORS:
                pass  # killed or frozen: the versions tell what was missed

    # versions

    def _look_at_version(self, daemon, dc):
        if not self.soak.is_well(daemon):
            return
        is_console = daemon is self.world.console
        key = (daemon.name, None if is_console else daemon.pid, dc)
        try:
            version = self._version(daemon, dc, is_console)
        except (requests.RequestException, ValueError, KeyError):
            return
        if version is not None and key[1] in (None, daemon.pid):
            if version < self.versions.get(key, 0):
                self.soak.violation("version", f"{daemon.name} {dc}: {version} after {self.versions[key]}")
            self.versions[key] = max(version, self.versions.get(key, 0))

    def _version(self, daemon, dc, is_console):
        if not is_console:
            return int(metrics_of(daemon)["xpipe_meta_document_version"])
        answer = call("GET", f"{daemon.url}/api/dc/{dc}", timeout=5)
        return answer.json()["version"] if answer.status_code == 200 else None


# ---- what reaches a Redis ----

class PeerofAudit:
    """Every PEEROF a real Redis got: from whom, whether it may say so, and whether the words are harmless."""

    def __init__(self, soak):
        self.soak, self.world = soak, soak.world
        self.waiting = []
        self.judged = self.unjudged = 0
        self._lock = threading.Lock()

    def collect(self, server):
        """Takes the log of one Redis out of it; before it is killed, too."""
        try:
            pipe = server.client.pipeline(transaction=True)
            for words in (("STANDIN.LOG",), ("STANDIN.LOG", "senders"), ("STANDIN.LOG", "clear")):
                pipe.execute_command(*words)
            entries, senders, _ = pipe.execute()
        except (redis.RedisError, OSError):
            return
        with self._lock:
            self.waiting += [(server, e[0], who, e[2:]) for e, who in zip(entries, senders)
                             if e[1] == "client" and e[2].lower() == "peerof"]

    def judge(self):
        """Once the records of the time are read."""
        with self._lock:
            entries, self.waiting = self.waiting, []
        for server, at_ms, who, words in entries:
            self.judged += 1
            problem = self._problem(server, at_ms, who, words)
            if problem:
                self.soak.violation("peerof", f"{server.name} got {' '.join(words)} from {who or 'nobody'} at {at_ms}: {problem}")

    def _problem(self, server, at_ms, who, words):
        if who == HAND:
            return None
        sender = SENDER.fullmatch(who or "")
        dc, shard = self.soak.place_of(server)
        if not who and self.soak.is_just_restarted(server, at_ms / 1000):
            self.unjudged += 1  # a Redis that loads refuses CLIENT SETNAME, but not PEEROF
            return self._bad_words(dc, shard, words[1:])
        if not sender or sender[1] != dc:
            return "not a metaserver of this DC"
        return self._bad_words(dc, shard, words[1:]) or self._not_owner(dc, shard, at_ms, int(sender[2]), server)

    def _bad_words(self, dc, shard, words):
        other = self.world.other(dc)
        if words[0] != str(self.world.dcs[other].gid):
            return "gid"
        if f"{words[1]}:{words[2]}" not in [r.address for r in self.world.dcs[other].redises[shard]]:
            return "no Redis of this shard"
        options = dict(zip((w.lower() for w in words[3::2]), words[4::2]))
        if options.get("proxy-type") != "XPIPE-PROXY":
            return "direct, but there is a route"
        if (options.get("proxy-servers"), options.get("proxy-params")) not in self.world.routes_seen[dc, other]:
            return "a route that never was"
        return None

    def _not_owner(self, dc, shard, at_ms, sender, server):
        if self.soak.was_frozen(server, at_ms / 1000) or self.soak.is_foreign_hand_near(dc, at_ms / 1000):
            self.unjudged += 1  # it came while the Redis stood still; or ZooKeeper said something that was not so
            return None
        owners = self.soak.watch.histories[dc].owners(self.soak.slots[shard], at_ms - 1000 * SEND_SLACK_S, at_ms + 50)
        if owners is None:
            self.unjudged += 1
            return None
        return None if sender in owners else f"owned by {owners}"


# ---- when everything is healed ----

ZERO_METRICS = ("xpipe_notify_queue_rows", "xpipe_notify_lane_down", "xpipe_notify_sending", "xpipe_document_waiting_requests",
                "xpipe_meta_document_held_changes", "xpipe_meta_peer_links_down", "xpipe_meta_shards_without_master",
                "xpipe_redis_connects_under_way")
HTTP_CONNECTIONS_MAX = 60  # ours, the relays', and those of the other members


def problems_now(soak):
    """Everything that is not as it should be, as texts; empty when all is right."""
    checks = (daemon_problems, slot_problems, document_problems, shard_problems, link_problems, farm_problems, rest_problems,
              data_problems)
    return [text for check in checks for text in _tried(check, soak)]


def _tried(check, soak):
    try:
        return check(soak)
    except Exception as e:  # noqa: BLE001 - a server that does not answer yet is a problem as any other
        return [f"{check.__name__}: {type(e).__name__}: {str(e)[:300]}"]


def daemon_problems(soak):
    found = []
    for d in soak.world.daemons():
        answer = call("GET", d.url + "/ready", timeout=5)
        if answer.status_code != 200:
            found.append(f"{d.name} is not ready: {answer.text[:200]}")
        numbers = metrics_of(d)
        found += [f"{d.name}: {name} is {value:g}" for name, value in numbers.items()
                  if name.split("{")[0] in ZERO_METRICS and value]
        if numbers["xpipe_http_connections"] > HTTP_CONNECTIONS_MAX:
            found.append(f"{d.name}: {numbers['xpipe_http_connections']:g} HTTP connections")
    return found


def slot_problems(soak):
    found = []
    for dc in DCS:
        owner = {}
        for meta in soak.world.dcs[dc].metas:
            for slot in get(meta.url + "/api/current/slots", timeout=5) or []:
                if slot in owner:
                    found.append(f"{dc}: slot {slot} is owned by {owner[slot]} and {meta.name}")
                owner[slot] = meta.name
        if len(owner) != SLOTS:
            found.append(f"{dc}: {SLOTS - len(owner)} slots without owner")
        leaders = sum(metrics_of(m)["xpipe_meta_leader"] for m in soak.world.dcs[dc].metas)
        if leaders != 1:
            found.append(f"{dc}: {leaders:g} leaders")
    return found


def document_problems(soak):
    found = []
    for dc in DCS:
        told = get(f"{soak.world.console.url}/api/dc/{dc}", timeout=15)["version"]
        for meta in soak.world.dcs[dc].metas:
            version = metrics_of(meta)["xpipe_meta_document_version"]
            if version != told:
                found.append(f"{meta.name} has document {version:g}, the console {told}")
    return found


def shard_problems(soak):
    """Each acknowledged shard is worked on by exactly one member of each DC, and nothing else is; every peer is judged right."""
    found, wanted = [], soak.wanted_shards()
    for dc in DCS:
        seen, peers_ok = {}, 0
        for meta in soak.world.dcs[dc].metas:
            for s in get(meta.url + "/api/current/debug", timeout=15)["shards"]:
                seen.setdefault((s["cluster"], s["shard"]), []).append(meta.name)
            peers_ok += metrics_of(meta).get('xpipe_meta_peers{verdict="OK"}', 0)
        twice = [k for k, names in seen.items() if len(names) > 1]
        for text, keys in (("not worked on", wanted - set(seen)), ("worked on, but deleted", set(seen) - wanted), ("worked on twice", twice)):
            if keys:
                found.append(f"{dc}: {len(keys)} shards {text}: {sorted(keys)[:3]}")
        if peers_ok != len(wanted):
            found.append(f"{dc}: {peers_ok:g} of {len(wanted)} peers are judged right")
    return found


def link_problems(soak):
    """Of the real Redis: what the metaserver says, and what Redis itself says."""
    found, world = [], soak.world
    for shard in world.shard_names:
        masters = {dc: world.master(dc, shard) for dc in DCS}
        for dc in DCS:
            other = world.other(dc)
            servers, params = world.route_text(dc, other)
            peer = masters[dc].peers.get(masters[other].gid)
            actual = peer and (peer.address, peer.proxy_servers, peer.proxy_params, peer.up)
            if actual != (masters[other].address, servers, params, True):
                found.append(f"{dc}/{shard} pulls {actual}, wanted {(masters[other].address, servers, params)}")
            meta = next(m for m in world.dcs[dc].metas if soak.is_well(m))
            state = get(f"{meta.url}/api/meta/v2/peers/{world.cluster_of(shard)}/{shard}", timeout=5)
            verdicts = [p["verdict"] for p in state["peers"]]
            if verdicts != ["OK"] or state["masterVerdict"] != "OK":
                found.append(f"{dc}/{shard}: verdicts {verdicts}, master {state['masterVerdict']}, held {state['held']}")
    return found


def farm_problems(soak):
    found = []
    for (kind, dc), farm in soak.world.farms.items():
        report = farm.report()
        if kind == "bulk" and (report["wrong_now"] or report["faulty"]):
            found.append(f"{farm.name}: {report['wrong_now']} wrong, {report['faulty']} faulty")
        if report["harmful"]:
            soak.violation("peerof", f"{farm.name} got {report['harmful']} harmful PEEROF")
            farm.say("reset")
    return found


def rest_problems(soak):
    return soak.rest.resolve_all() + soak.rest.org_problems()


def data_problems(soak):
    """What a writer was told is in its DC and in the other one; the replicas have it too."""
    found = []
    for writer in soak.writers:
        for shard in soak.world.shard_names:
            keys = [k for s, k in writer.acked if s == shard]
            if keys:
                found += _data_of(soak, writer, shard, sorted(keys))
    return found


def _data_of(soak, writer, shard, keys):
    world, found = soak.world, []
    own = world.master(writer.dc, shard).run("MGET", *keys)
    far = world.master(world.other(writer.dc), shard).run("MGET", *keys)
    for key, here, there in zip(keys, own, far):
        if here is None or int(here) < writer.acked[shard, key]:
            found.append(f"{writer.dc}/{shard} {key}: acknowledged {writer.acked[shard, key]}, has {here}")
        elif here != there:
            found.append(f"{writer.dc}/{shard} {key}: {here} here, {there} in the other DC")
    return found[:3]


# ---- at the end ----

def chain_problems(path):
    """The change log of the console, hashed anew (docs/internals/store.md; console/store/store.c: row_hash)."""
    def field(value):
        text = str(value).encode()
        return b"%d:%s," % (len(text), text)
    previous, count, found = "0" * 64, 0, []
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        if db.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
            found.append("integrity_check")
        for row in db.execute("SELECT prev_hash, idx, epoch, wall_ms, actor, request_id, op, body, hash FROM change_log ORDER BY idx"):
            count += 1
            if row[0] != previous or row[1] != count:
                found.append(f"row {row[1]}: its predecessor is missing or another one")
            if sha256(b"".join(field(v) for v in row[:-1])).hexdigest() != row[-1]:
                found.append(f"row {row[1]}: changed after it was written")
            previous = row[-1]
    return count, found[:5]


SANITIZER = re.compile(r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:|xp_check|panic")


def log_problems(daemon):
    with open(daemon.log_path, errors="replace") as f:
        return [f"{daemon.name}: {line.strip()[:300]}" for line in f if SANITIZER.search(line)][:5]
