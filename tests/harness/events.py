"""Switches of one-way clusters of any World through REST: the platform that is told, clients that follow what it is told, requests.

    outer = OuterClient()                                  # World(console_settings={"credis.service.address": outer.url})
    settle([orders])                                       # nothing is under way: a check of a switch finds all well
    with Clients([orders], outer, probed={"orders": orders.all_redises()}) as clients:
        ticket = switch(world.console, [orders], "fra")    # checkandprepare, domigration, until it is over
        clients.wait_acked()
    clients.lost(), clients.gaps_ms(), clients.prober.two_masters()
"""
import time

from .processes import POLL_S, Timeout, wait_until
from .scripted import ScriptedServer
from .witness import Prober, Writer

HOOK = "hook"
UNDER_WAY = ("INITED", "MIGRATING", "ROLLBACK")  # words of checkstatus
REQUEST_S = 120.0  # of thousands of clusters


class NotSwitched(AssertionError):
    """A switch that was refused or did not succeed."""


class OuterClient(ScriptedServer):
    """The client-routing platform: is asked before a switch and told of it; or a webhook, which is only told.
    publishes: (time, cluster, dc, [addresses])."""

    def __init__(self):
        self.publishes = []
        self.followers = {}  # cluster -> function of the addresses
        self.may = True          # checkcluster
        self.takes = True        # primarydc
        super().__init__()

    @property
    def hook_path(self):
        return f"/{HOOK}"

    def answer(self, method, path, body):
        words = path.strip("/").split("/")
        if words == [HOOK]:
            return (200, {}) if body["event"] != "switched" or self._publish(body["cluster"], body["dc"], body["masters"]) else (503, {})
        if words[:2] == ["keeperApi", "checkcluster"]:
            return 200, self.may
        if words[:2] == ["keeperApi", "primarydc"] and not self._publish(words[2], words[3], body):
            return 200, {"success": False, "message": "the test says no"}
        return 200, {"success": True, "message": "ok"}

    def _publish(self, cluster, dc, addresses):
        if self.takes:
            self.publishes.append((time.monotonic(), cluster, dc, list(addresses)))
            self.followers.get(cluster, lambda _: None)(list(addresses))
        return self.takes


class Clients:
    """A writer for each shard of the clusters, which goes where the outer client is told: writers, (cluster, shard) -> Writer. probed:
    name -> Redis of which at most one may take writes, for the prober."""

    def __init__(self, clusters, outer=None, probed=None, **writer_options):
        self.clusters, self.outer = list(clusters), outer
        self.writers = {(c.name, s): self._writer(c, s, writer_options) for c in self.clusters for s in c.shards}
        self.prober = Prober(probed) if probed else None

    @staticmethod
    def _writer(cluster, shard, options):
        where = {r.address: (r.ip, r.port) for r in cluster.all_redises()}
        return Writer(shard, where, cluster.master(shard).address, **options)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def start(self):
        for cluster in self.clusters if self.outer else ():
            self.outer.followers[cluster.name] = lambda published, c=cluster: self._published(c, set(published))
        for witness in self._witnesses():
            witness.start()
        self.wait_acked()
        return self

    def stop(self):
        for cluster in self.clusters if self.outer else ():
            self.outer.followers.pop(cluster.name, None)
        for witness in self._witnesses():
            if witness.is_alive():
                witness.stop()

    def _witnesses(self):
        return [*self.writers.values(), *([self.prober] if self.prober else [])]

    def _published(self, cluster, addresses):
        for shard in cluster.shards:
            for address in {r.address for r in redises_of(cluster, shard)} & addresses:
                self.follow(cluster, shard, address)

    def follow(self, cluster, shard, address):
        self.writers[cluster.name, shard].follow(address)

    def wait_acked(self, timeout=15.0, shards=None):
        """Every shard (or those of these names) has a write acknowledged that began after now."""
        since = time.monotonic()
        wanted = [w for (_, s), w in self.writers.items() if shards is None or s in shards]
        wait_until(lambda: all(w.acked_after(since) for w in wanted), timeout, "acknowledged writes of every shard")

    def gaps_ms(self, since=0.0):
        """The longest time without an acknowledged write, of each shard."""
        return [w.gap_ms(since) for w in self.writers.values()]

    def lost(self):
        """How many acknowledged writes the masters of today do not have."""
        return sum(len(self.writers[c.name, s].lost(c.master(s))) for c in self.clusters for s in c.shards)


def redises_of(cluster, shard, dcs=None):
    return [r for dc in dcs or cluster.dcs for r in cluster.redises[dc][shard]]


def other_dc(cluster):
    """Where it would be switched to."""
    return next(dc for dc in cluster.dcs if dc != cluster.primary)


# requests

def ask(console, word, body, timeout=REQUEST_S):
    answer = console.request("POST", f"/api/migration/{word}", body, timeout=timeout)
    if answer.status_code != 200:
        raise NotSwitched(f"{word}: {answer.status_code} {answer.text[:2000]}")
    return answer.json()


def prepare(console, names, source, target, **fields):
    """checkandprepare; the whole answer."""
    return ask(console, "checkandprepare", {"fromIdc": source, "toIdc": target, "clusters": list(names), "isForce": False, **fields})


def begin(console, clusters, target, **fields):
    """checkandprepare and domigration of clusters that have one primary DC; the ticket."""
    asked = prepare(console, [c.name for c in clusters], clusters[0].primary, target, **fields)
    refused = [r for r in asked["results"] if not r["success"]]
    if refused:
        raise NotSwitched(f"checkandprepare refuses {refused[:3]}")
    started = ask(console, "domigration", {"ticketId": asked["ticketId"]})
    if not started["success"]:
        raise NotSwitched(f"domigration: {started}")
    return asked["ticketId"]


def told(console, ticket):
    """checkstatus: one entry for each cluster."""
    return console.get(f"/api/migration/checkstatus/{ticket}", timeout=REQUEST_S)["results"]


def wait_over(console, ticket, timeout=30.0, look_s=POLL_S):
    """Waits until nothing of the event is under way. Returns what was not switched: cluster -> why."""
    def is_over():
        under_way = [r for r in told(console, ticket) if r["status"] in UNDER_WAY]
        assert not under_way, under_way[:3]
        return True
    try:
        wait_until(is_over, timeout, f"event {ticket} to be over", look_s)
    except Timeout as e:
        raise NotSwitched(str(e)) from None
    return {r["clusterName"]: f"{r['msg']}: {r.get('reason')}" for r in told(console, ticket) if r["status"] != "SUCCESS"}


def switch(console, clusters, target, timeout=30.0, **fields):
    """A whole switch, which has to succeed; the ticket."""
    ticket = begin(console, clusters, target, **fields)
    failed = wait_over(console, ticket, timeout)
    if failed:
        raise NotSwitched(f"event {ticket}: {failed}")
    for cluster in clusters:
        cluster.primary = target
    return ticket


# what a check of a switch looks for

def settle(clusters, timeout=40.0):
    """Trees are whole, data written now is everywhere, and no Redis is left with a fence of before."""
    for cluster in clusters:
        cluster.wait_whole(timeout=timeout)
        for shard in cluster.shards:
            cluster.write("settled", cluster.primary, shard)
    for cluster in clusters:
        for shard in cluster.shards:
            cluster.wait_read("settled", cluster.primary, shard)
        wait_unfenced(cluster.all_redises(), timeout)


def is_held(server):
    reply = server.run("CONFIG", "GET", "min-*-to-write")
    words = reply.values() if isinstance(reply, dict) else reply[1::2]
    return any(int(n) > 1000 for n in words)


def wait_unfenced(redises, timeout=15.0):
    """Waits until no running one of them is held."""
    def all_free():
        held = [r.name for r in redises if r.running and is_held(r)]
        assert not held, f"held: {held}"
        return True
    wait_until(all_free, timeout, "the fences to be over")
