"""One real metaserver with a real ZooKeeper and two real CRDT Redis; console and the other DC say what a test wants.

    with Site(zookeeper, "namespace") as site: site.start()

The cluster "demo" (id 1) is right all the time: `home` pulls from `far`. Ordinary clusters c2..c30 stand beside it. check_calm()
says that none of this was disturbed; the trap `home` logs every command it was sent.
"""
import json

from .daemons import Meta
from .hostile import RawHttp, assert_clean, http_answer
from .processes import HOST, Workspace, wait_until
from .redis_server import CrdtRedis

HOME, FAR = "jq", "fra"
OTHERS = range(2, 31)
# A session that a busy machine ends takes the duties along for a moment, and they say nothing then: it is long where it is not the matter.
FAST = {"meta.poll.milli": 200, "meta.poll.fast.milli": 100, "meta.peermaster.refresh.milli": 500,
        "meta.refresh.milli": 300, "zk.session.timeout.milli": 20000, "leader.check.milli": 1000,
        "http.dc.timeout.milli": 1500, "http.dc.connect.timeout.milli": 500}
LINKED_S = 30


def cluster(db_id, name=None, redises=(), dcs=HOME, **fields):
    """A BI_DIRECTION cluster of one shard s1."""
    rows = [{"ip": HOST, "port": port, "master": ""} for port in redises]
    return {"id": name or f"c{db_id}", "dbId": db_id, "type": "BI_DIRECTION", "dcs": dcs, "orgId": 8,
            "shards": {"s1": {"id": "s1", "dbId": db_id * 10, "keepers": [], "redises": rows}}, **fields}


class ScriptedHttp(RawHttp):
    """`script`, when set, answers instead of usual(): fn(connection, method, path, body)."""

    def __init__(self):
        self.script = None
        super().__init__()

    def reply(self, connection, method, path, body):
        (self.script or self.usual)(connection, method, path, body)

    def usual(self, connection, method, path, body):
        raise NotImplementedError


class HostileConsole(ScriptedHttp):
    """Serves `document`: a dict, or bytes as they are."""

    def __init__(self):
        self.document = {}
        super().__init__()

    def usual(self, connection, method, path, body):
        connection.sendall(http_answer(self.document))


class HostilePeer(ScriptedHttp):
    """A metaserver of another DC. masters: (cluster, shard) -> (gid, host, port); java: no batches."""

    def __init__(self):
        self.masters = {}
        self.java = False
        super().__init__()

    def usual(self, connection, method, path, body):
        connection.sendall(self._answer(method, path, body))

    def _answer(self, method, path, body):
        words = path.strip("/").split("/")
        if path.startswith("/api/meta/v2/"):
            if self.java:
                return http_answer({"message": "no such path"}, 404)
            if words[-1] != "peermasters":
                return http_answer({})
            asked = [tuple(n) for n in json.loads(body)["shards"]]
            return http_answer({"masters": [[*n, *self.masters[n]] for n in asked if n in self.masters]})
        master = self.masters.get(tuple(words[3:5])) if words[2:3] == ["getpeermaster"] else None
        return http_answer(dict(zip(("gid", "ip", "port"), master), master="")) if master else http_answer(b"")


class Site:
    def __init__(self, zookeeper, namespace, **settings):
        self.workspace = Workspace(namespace)
        self.console = HostileConsole()
        self.peer = HostilePeer()
        self.more_masters = {}  # of clusters a test adds
        self.home = CrdtRedis(self.workspace, "redis-home", 1, lazy_ms=0)
        self.far = CrdtRedis(self.workspace, "redis-far", 2, lazy_ms=0)
        self.meta = Meta(self.workspace, "meta", HOME, 1, zookeeper, {**FAST, **settings}, namespace)
        self.meta.set_addresses(self.console.url, {HOME.upper(): self.meta.url, FAR.upper(): self.peer.url})

    def start(self):
        for redis in (self.home, self.far):
            redis.start()
        self.heal()
        self.meta.start()
        self.wait_calm(LINKED_S)
        self.home.clear_log()
        return self

    def good(self, more=(), **fields):
        """A document in which everything is right, and further clusters."""
        rows = [cluster(1, "demo", [self.home.port], f"{HOME},{FAR.upper()}"), *(cluster(i) for i in OTHERS), *more]
        return {"id": HOME, "clusters": {c["id"]: c for c in rows}, "routes": [], "keeperContainers": [], "sentinels": {},
                **fields}

    def heal(self):
        self.console.script = self.peer.script = None
        self.console.document = self.good()
        self.peer.java = False
        self.peer.masters = {("demo", "s1"): (2, HOST, self.far.port), **self.more_masters}

    # what is

    def served(self):
        """Names of the clusters it works on."""
        return {s["cluster"] for s in self.meta.get("/api/current/debug")["shards"]}

    def expected(self):
        return {"demo", *(f"c{i}" for i in OTHERS)}

    def state(self, name="demo"):
        return self.meta.get(f"/api/meta/v2/peers/{name}/s1")

    def verdict(self):
        return next(p["verdict"] for p in self.state()["peers"] if p["dc"] == FAR)

    def last_error(self):
        return self.meta.get("/api/meta/v2/quarantine")["lastError"]

    def fetches(self, result):
        return self.meta.metrics()[f'xpipe_meta_document_fetches_total{{result="{result}"}}']

    def refresh(self):
        assert self.meta.request("POST", "/api/meta/v2/refresh").status_code == 200

    def harmful(self):
        """Commands that were sent to `home` and are no questions."""
        return [c for c in self.home.log() if c[0].lower() in ("peerof", "slaveof", "replicaof", "config", "crdt.ovc")]

    # what must be

    def check_calm(self):
        assert self.served() >= self.expected(), self.expected() - self.served()
        assert self.verdict() == "OK", self.state()
        assert self.home.peers[2].address == self.far.address and self.home.peers[2].up
        assert not self.home.would_have_crashed()
        return True

    def wait_calm(self, timeout=20):
        wait_until(self.check_calm, timeout, "the site to be as it should be")

    def wait_accepted(self):
        """A document was fetched and taken after now."""
        before = self.fetches("ok")

        def taken():
            self.refresh()
            return self.fetches("ok") > before
        wait_until(taken, 15, "a document to be taken")

    def wait_refused(self, mark, timeout=15):
        """The number of failed fetches grew over the mark; its reason."""
        def refused():
            if self.fetches("failed") > mark:
                return True
            self.refresh()
            return False
        wait_until(refused, timeout, "a document to be refused")
        return self.last_error()

    def close(self):
        try:
            if self.meta.running:
                assert_clean(self.meta)
        finally:
            self.workspace.close()
            self.console.close()
            self.peer.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
