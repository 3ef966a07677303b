"""The load: writers into Redis, readers of documents, and a REST client that creates, changes and deletes clusters.

Each is a thread that works until stop(); what it was promised by an acknowledgment it keeps, for checks.py to hold the system to.
"""
import random
import threading
import time

import redis
import requests

from installation import DCS, ORGANIZATIONS, call, get

SETTLED_S = 1.5         # two equal reads so far apart: a request of before a freeze is carried out by then
KEYS_PER_SHARD = 40     # a writer goes round them, so that data stays small
WRITE_PAUSE_S = 0.01
READ_PAUSE_S = 0.02
REST_PAUSE_S = 0.15
CLUSTERS_MAX = 12       # below meta.removal.limit: a DC that missed every deletion still takes them all at once
SHARDS_MAX = 3
REST_TIMEOUT_S = 4.0
NOT_ACKNOWLEDGED = (requests.RequestException, ValueError)


class Differs(ValueError):
    """The documents of the two DCs do not say the same: wrong after an acknowledgment, else perhaps between two reads."""


class Load(threading.Thread):
    def __init__(self, soak, name):
        super().__init__(name=name, daemon=True)
        self.soak = soak
        self._end = threading.Event()
        self._pause = threading.Event()   # asked for
        self._paused = threading.Event()  # it is so
        self._go = threading.Event()
        self._go.set()

    def run(self):
        try:
            while not self._end.is_set():
                if self._pause.is_set():
                    self._paused.set()
                    self._go.wait()
                    self._paused.clear()
                    continue
                self.step()
        except Exception as e:  # noqa: BLE001 - a load that died would make the rest of the run prove nothing
            self.soak.violation("soak", f"{self.name} ended: {type(e).__name__}: {e}")
        finally:
            self._paused.set()

    def step(self):
        raise NotImplementedError

    def pause(self):
        self._go.clear()
        self._pause.set()
        if not self._paused.wait(60):
            self.soak.violation("soak", f"{self.name} does not pause")

    def go_on(self):
        self._pause.clear()
        self._go.set()

    def stop(self):
        self._end.set()
        self.go_on()
        self.join(30)


class Writer(Load):
    """Writes 1, 2, 3.. to the master of every shard of one DC. acked: (shard, key) -> last acknowledged number."""

    def __init__(self, soak, dc):
        super().__init__(soak, f"writer-{dc}")
        self.dc = dc
        self.acked, self.masters = {}, {}
        self.number = self.writes = self.refused = 0

    def step(self):
        self.number += 1
        for shard in self.soak.world.shard_names:
            if not self.soak.is_lossy_now(self.dc, shard):
                self._write(shard, f"soak:{self.dc}:{self.number % KEYS_PER_SHARD}")
            else:
                self.masters.pop(shard, None)
        self._end.wait(WRITE_PAUSE_S)

    def _write(self, shard, key):
        try:
            master = self.masters.get(shard) or self.soak.world.master(self.dc, shard)
            master.client.execute_command("SET", key, str(self.number))
        except (redis.RedisError, AssertionError, OSError):
            self.refused += 1
            self.masters.pop(shard, None)
            return
        self.masters[shard] = master
        self.acked[shard, key] = self.number
        self.writes += 1

    def forget(self, shard):
        """A Redis was lost with what it had not passed on yet: its promises are void."""
        for key in [k for k in self.acked if k[0] == shard]:
            del self.acked[key]


class Reader(Load):
    """Hammers documents; an answer that is no answer of a healthy console is a violation unless the console is broken now."""

    PATHS = ("/api/dc/jq", "/api/dc/fra", "/api/dc/jq/cluster/data-s1", "/api/cluster/data-s1", "/api/shards/data-s1",
             "/api/routes/active", "/api/clusters?type=bi_direction", "/api/check", "/metrics", "/health")
    GOOD = (200, 304, 503)  # 503: draining, or more at once than it takes

    def __init__(self, soak, number):
        super().__init__(soak, f"reader-{number}")
        self.random = random.Random(number)
        self.etags = {}
        self.reads = self.failed = self.bytes = 0

    def step(self):
        path = self.random.choice(self.PATHS)
        headers = {"If-None-Match": self.etags[path]} if path in self.etags and self.random.random() < 0.7 else {}
        try:
            answer = call("GET", self.soak.world.console.url + path, timeout=15, headers=headers)
        except requests.RequestException:
            self.failed += 1
            self._end.wait(0.2)
            return
        self.reads += 1
        self.bytes += len(answer.content)
        if answer.status_code not in self.GOOD:
            self.soak.violation("console", f"GET {path} answered {answer.status_code} {answer.text[:200]}")
        if "ETag" in answer.headers:
            self.etags[path] = answer.headers["ETag"]
        self._end.wait(READ_PAUSE_S)


class RestClient(Load):
    """Creates, changes, deletes the clusters "churn-N".

    clusters: name -> {shard: instance number}, as acknowledged. A call that got no answer is *unknown*: the cluster is read back
    before it is touched again, and must be as before or as after.
    """

    def __init__(self, soak, seed):
        super().__init__(soak, "rest")
        self.random = random.Random(f"rest/{seed}")
        self.clusters, self.orgs = {}, {}
        self.unknown = {}  # name -> (before, after), each as in clusters or None
        self.first_read = {}  # name -> (when, what) of an unknown one
        self.free = list(range(soak.world.churn_count))
        self.next_name = 1
        self.acknowledged = self.unanswered = self.checked = 0

    @property
    def url(self):
        return self.soak.world.console.url

    def step(self):
        if self.unknown:
            self.resolve(next(iter(self.unknown)))
        else:
            self._change()
        self._end.wait(REST_PAUSE_S)

    def _change(self):
        names = sorted(self.clusters)
        ops = [self.op_create] * (3 if len(names) < CLUSTERS_MAX else 0)
        ops += [self.op_add_shard, self.op_add_shard, self.op_drop_shard, self.op_reorganize, self.op_delete] if names else []
        op = self.random.choice(ops)
        op() if op == self.op_create else op(self.random.choice(names))

    def _take_numbers(self, count):
        return [self.free.pop(self.random.randrange(len(self.free))) for _ in range(min(count, len(self.free)))]

    def op_create(self):
        numbers = self._take_numbers(self.random.randint(1, SHARDS_MAX))
        if not numbers:
            return
        name = f"churn-{self.next_name}"
        self.next_name += 1
        body = {"clusterName": name, "clusterType": "BI_DIRECTION", "dcs": list(DCS), "desc": "comes and goes",
                "organizationId": ORGANIZATIONS[0], "clusterAdminEmails": "dba@example.com"}
        if not self._send("POST", "/api/clusters", body, name, None, {}):
            self.free += numbers
            return
        for number in numbers:
            if not self._add(name, number):
                break

    def op_add_shard(self, name):
        numbers = self._take_numbers(1) if len(self.clusters[name]) < SHARDS_MAX else []
        for number in numbers:
            self._add(name, number)

    def _add(self, name, number):
        shard, before = f"s{number}", self.clusters[name]
        body = [{"dcId": dc, "redises": self.soak.world.farms["churn", dc].address(number)} for dc in DCS]
        return self._send("POST", f"/api/shards/{name}/{shard}", body, name, before, {**before, shard: number})

    def op_drop_shard(self, name):
        before = self.clusters[name]
        if before:
            shard = self.random.choice(sorted(before))
            self._send("DELETE", f"/api/shards/{name}/{shard}", None, name, before, {k: v for k, v in before.items() if k != shard})

    def op_reorganize(self, name):
        """An organization that no route names: nothing changes for Redis, but the document does."""
        org = self.random.choice(ORGANIZATIONS)
        before = self.clusters[name]
        if self._send("PUT", "/api/cluster", {"clusterName": name, "organizationId": org}, name, before, before):
            self.orgs[name] = org
        else:
            self.orgs.pop(name, None)  # this one or the one before

    def op_delete(self, name):
        self._send("DELETE", f"/api/cluster/{name}?checkEmpty=false", None, name, self.clusters[name], None)

    def _send(self, method, path, body, name, before, after):
        """True: acknowledged, and then it is so, and can be read at once."""
        try:
            answer = call(method, self.url + path, body, timeout=REST_TIMEOUT_S)
            told = answer.json() if answer.status_code == 200 else None
        except NOT_ACKNOWLEDGED:
            told = None
        if told is None:
            self.unanswered += 1
            self.unknown[name] = (before, after)
            return False
        if told.get("state") != 0:
            self.soak.violation("rest", f"{method} {path} {body} refused: {told}")
            self.unknown[name] = (before, after)
            return False
        self.acknowledged += 1
        self._settle(name, before, after)
        self._check_at_once(name, after)
        return True

    def _settle(self, name, before, after):
        if after is None:
            self.clusters.pop(name, None)
            self.orgs.pop(name, None)
        else:
            self.clusters[name] = after
        self.free += [n for s, n in (before or {}).items() if s not in (after or {})]

    def _check_at_once(self, name, after):
        try:
            seen = self.read(name)
        except Differs as e:
            self.soak.violation("rest", str(e))
            return
        except NOT_ACKNOWLEDGED:
            return
        self.checked += 1
        if seen != after:
            self.soak.violation("rest", f"acknowledged {name}: {after}, read at once: {seen}")

    def read(self, name):
        """{shard: number} of the document of each DC, None when there is no such cluster. Raises Differs, NOT_ACKNOWLEDGED."""
        seen = []
        for dc in DCS:
            answer = call("GET", f"{self.url}/api/dc/{dc}/cluster/{name}", timeout=REST_TIMEOUT_S)
            if answer.status_code == 503:
                raise requests.ConnectionError("draining")
            shards = (answer.json().get("shards") or {}) if answer.status_code == 200 and answer.content else None
            seen.append(None if shards is None else {s: int(s[1:]) for s, v in shards.items() if v["redises"]})
        if seen[0] != seen[1]:
            raise Differs(f"{name} differs between the documents of the DCs: {seen}")
        return seen[0]

    def resolve(self, name):
        before, after = self.unknown[name]
        try:
            seen = self.read(name)
        except NOT_ACKNOWLEDGED:
            self.first_read.pop(name, None)
            return
        at, was = self.first_read.setdefault(name, (time.monotonic(), seen))
        if seen != was or time.monotonic() - at < SETTLED_S:
            self.first_read[name] = (time.monotonic(), seen) if seen != was else (at, was)
            return
        del self.first_read[name]
        if seen not in (before, after):
            self.soak.violation("rest", f"{name} is half done: {seen}, was {before}, should have become {after}")
        del self.unknown[name]
        if seen != before or before is not None:
            self._settle(name, before if seen == after else after, seen)
        unused = {n for c in (before, after) if c for n in c.values()} - set((seen or {}).values())
        self.free += [n for n in unused if n not in self.free]

    def shards(self):
        """(cluster, shard) of all acknowledged ones; only while paused."""
        return {(name, shard) for name, shards in self.clusters.items() for shard in shards}

    def resolve_all(self):
        """Only while paused: reads back what is unknown; what stays unknown is told."""
        for name in list(self.unknown):
            self.resolve(name)
        return [f"{name} cannot be read back" for name in self.unknown]

    def org_problems(self):
        """Only while paused."""
        found = []
        for name, org in self.orgs.items():
            seen = get(f"{self.url}/api/cluster/{name}")
            if seen is None or seen.get("organizationId", org) != org:
                found.append(f"{name}: organization {org} was acknowledged, read: {seen}")
        return found
