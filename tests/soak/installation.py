"""What the soak runs on: two DCs of real processes, with a relay on every way between daemons that can fail.

In each DC a ZooKeeper, metaservers, two proxies, CRDT Redis with replicas (clusters data-s1, data-s2.. of one shard each), and two
farms of bench/redis_farm: "bulk" for numbers, "churn" for the clusters that come and go. One console.
"""
import struct
import threading
from pathlib import Path

import requests

from harness.cluster import ORGANIZATION, World
from harness.processes import Process, built, free_port
from harness.proxy import Proxy
from harness.relay import Relay
from scene import Farm, host_of

DCS = ("jq", "fra")
SHARDS_PER_BULK_CLUSTER = 50
ORGANIZATIONS = (8, 9, 10)
HTTP_TIMEOUT_S = 10.0
TOOLS = Path(__file__).resolve().parents[1] / "tools"

# Every pause between tries is short, so that "healed plus some rounds" is seconds: what is soaked is what happens, not how long
# a production back-off lasts.
META_SETTINGS = {
    "log.level": "info", "zk.session.timeout.milli": 3000, "meta.refresh.milli": 5000, "slot.refresh.milli": 5000,
    "cluster.servers.check.milli": 5000, "leader.check.milli": 3000, "meta.poll.milli": 1000,
    "meta.peermaster.refresh.milli": 3000, "meta.correct.backoff.first.milli": 2000, "meta.correct.backoff.max.milli": 8000,
    "meta.pause.hold.milli": 2000, "meta.link.alert.milli": 5000,
}
CONSOLE_SETTINGS = {"log.level": "info", "console.notify.retry.min.ms": 200, "console.notify.retry.max.ms": 3000}

_local = threading.local()


def call(method, url, body=None, timeout=HTTP_TIMEOUT_S, **options):
    """requests.request on a session of this thread."""
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
        _local.session.trust_env = False
    if body is not None:
        options["json"] = body
    return _local.session.request(method, url, timeout=timeout, **options)


def get(url, **options):
    answer = call("GET", url, **options)
    if answer.status_code != 200:
        raise AssertionError(f"GET {url}: {answer.status_code} {answer.text[:300]}")
    return answer.json() if answer.content else None


def metrics_of(daemon):
    """name{labels} -> value."""
    text = call("GET", daemon.url + "/metrics", timeout=5).text
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


class SoakFarm(Farm):
    """A farm whose instances have one peer each: the instance of the same number in the farm of the other DC."""

    def __init__(self, workspace, kind, dc, gid, net, count, seed):
        Process.__init__(self, workspace, f"farm-{kind}-{dc}")
        self.kind, self.dc, self.gid, self.net, self.count, self.seed = kind, dc, gid, net, count, seed
        self.port, self.control = free_port(), free_port()
        self._file = None
        self._lock = threading.Lock()

    def command(self):
        return [built("redis_farm"), "--port", self.port, "--control", self.control, "--count", self.count, "--net", self.net,
                "--gid", self.gid, "--seed", self.seed]

    def address(self, number):
        return f"{host_of(self.net, number)}:{self.port}"

    def want(self, other, servers, params):
        """From now on this is the right peer of every instance."""
        self.say(f"want 0 {self.count} {other.gid} {other.net} {other.port} {servers} {params}")


class Clock:
    """The wall clock of one daemon (tests/fakes/clock)."""

    def __init__(self, daemon):
        self.path = daemon.dir / "clock.offset"
        self.step(0)
        shim = str(built("clock_shim.so"))
        daemon.env.update({"LD_PRELOAD": shim, "XPIPE_CLOCK_FILE": str(self.path)})
        if "asan" in shim:  # the sanitizer wants to be first; the shim replaces nothing of it
            daemon.env["ASAN_OPTIONS"] = "verify_asan_link_order=0:detect_leaks=1"
            daemon.env["LSAN_OPTIONS"] = f"suppressions={TOOLS}/lsan.supp:print_suppressions=0"

    def step(self, ms):
        # in place: the daemon has the file mapped
        with open(self.path, "r+b" if self.path.exists() else "wb") as f:
            f.write(struct.pack("=q", ms))


class Installation(World):
    def __init__(self, shards, metas, bulk, churn, seed):
        self.bulk_count, self.churn_count, self.seed = bulk, churn, seed
        super().__init__(dcs=DCS, shards=shards, replicas=1, metas=metas, proxied=[DCS], cluster="data",
                         redis_times={"timeout_ms": 5000},  # a link into a proxy that hangs is made anew after that
                         meta_settings=META_SETTINGS, console_settings=CONSOLE_SETTINGS, keep=False)
        self.clocks = {d.name: Clock(d) for d in self.daemons()}
        for d in self.daemons():
            d.stop_timeout_s = 40.0  # a frozen ZooKeeper and a busy machine make a drain last

    def _connect_addresses(self):
        self.farms, self.second_proxy = {}, {}
        for dc in self.dcs.values():
            self.second_proxy[dc.name] = Proxy(self.workspace, f"proxy-{dc.name}-2")
            for kind, net, count in (("bulk", 10, self.bulk_count), ("churn", 20, self.churn_count)):
                self.farms[kind, dc.name] = SoakFarm(self.workspace, kind, dc.name, dc.gid, net + dc.gid, count, self.seed)
        members = {dc.name: [m.port for m in dc.metas] for dc in self.dcs.values()}
        self.wan = {(src, dst): Relay(members[dst]) for src in DCS for dst in DCS if src != dst}
        self.to_metas = {dc: Relay(members[dc]) for dc in DCS}
        self.to_console = {dc: Relay([self.console.port]) for dc in DCS}
        self.to_zookeeper = {}
        self.console.set_metaservers({dc: self.to_metas[dc].url for dc in DCS})
        for dc in self.dcs.values():
            for meta in dc.metas:
                relay = self.to_zookeeper[meta.name] = Relay([dc.zookeeper.port])
                meta.settings["zk.address"] = relay.address
                far = {other: self.wan[dc.name, other].url for other in DCS if other != dc.name}
                meta.set_addresses(self.to_console[dc.name].url, {dc.name: self.to_metas[dc.name].url, **far})

    def relays(self):
        return [*self.wan.values(), *self.to_metas.values(), *self.to_console.values(), *self.to_zookeeper.values()]

    def daemons(self):
        return [self.console, *self.metas()]

    def proxies(self):
        return [p for dc in DCS for p in self.proxies_of(dc)]

    def proxies_of(self, dc):
        return [self.dcs[dc].proxy, self.second_proxy[dc]]

    def other(self, dc):
        return next(name for name in DCS if name != dc)

    def cluster_of(self, shard):
        return f"{self.cluster}-{shard}"

    def close(self):
        super().close()
        for relay in self.relays():
            relay.close()

    # starting

    def start(self):
        self.start_zookeepers(wait=False)
        self.start_redises()
        self.start_proxies()
        for farm in self.farms.values():
            farm.start()
        self.start_console()
        self.prepare_console()
        self.point_farms()
        self.create_clusters()
        self.start_zookeepers()
        self.start_metas()
        return self

    def prepare_console(self):
        super().prepare_console()
        for org in ORGANIZATIONS:
            if org != ORGANIZATION["orgId"]:
                self.console.post("/api/organizations", {"orgId": org, "orgName": f"org{org}"})

    def create_proxies(self):
        for dc in DCS:
            for proxy in self.proxies_of(dc):
                for uri in (proxy.uri, proxy.tls_uri):
                    self.console.post("/api/proxy", {"uri": uri, "dcName": dc, "active": True, "monitorActive": False})

    def create_routes(self):
        """Each direction: the first proxy here, the first proxy there. use_route() changes that."""
        self.route_in_use = {pair: ((0,), (0,)) for pair in self.wan}
        self.routes_seen = {pair: set() for pair in self.wan}
        for src, dst in self.wan:
            self.routes_seen[src, dst].add(self.route_text(src, dst))
            self.create_route(src, dst)

    def create_clusters(self):
        for shard in self.shard_names:
            self.create_one(self.cluster_of(shard), ORGANIZATION["orgId"])
            self.console.post(f"/api/shards/{self.cluster_of(shard)}/{shard}", [
                {"dcId": dc, "redises": self._addresses(dc, shard)} for dc in DCS])
        for name, numbers in self.bulk_clusters().items():
            self.create_one(name, ORGANIZATION["orgId"])
            self.console.post(f"/api/shards/with/redises/{name}", [
                {"shardName": f"s{n}", "dcId": dc, "redises": self.farms["bulk", dc].address(n)} for n in numbers for dc in DCS])

    def create_one(self, name, org):
        self.console.post("/api/clusters", {
            "clusterName": name, "clusterType": "BI_DIRECTION", "dcs": list(DCS), "desc": "soak", "organizationId": org,
            "clusterAdminEmails": "dba@example.com"})

    def bulk_clusters(self):
        """name -> the numbers of its instances, a shard each."""
        size = SHARDS_PER_BULK_CLUSTER
        return {f"bulk-{i // size:03}": range(i, min(i + size, self.bulk_count)) for i in range(0, self.bulk_count, size)}

    # routes

    def route_text(self, src, dst):
        """proxy-servers and proxy-params of the route in use."""
        near, far = self.route_in_use[src, dst]
        return (",".join(self.proxies_of(src)[i].uri for i in near), ",".join(self.proxies_of(dst)[i].tls_uri for i in far))

    def use_route(self, src, dst, near, far):
        """Changes the route in the console; raises when that is not acknowledged (then it may or may not be changed)."""
        self.route_in_use[src, dst] = (near, far)
        self.routes_seen[src, dst].add(self.route_text(src, dst))
        self.point_farms()
        self.put_route(src, dst)

    def put_route(self, src, dst):
        base = self.console.url
        ids = {p["uri"]: p["id"] for p in get(base + "/api/proxies/active")}
        route = next(r for r in get(base + "/api/routes/active") if (r["srcDcName"].lower(), r["dstDcName"].lower()) == (src, dst))
        near, far = self.route_in_use[src, dst]
        body = {**route, "srcProxyIds": ",".join(str(ids[self.proxies_of(src)[i].uri]) for i in near),
                "dstProxyIds": ",".join(str(ids[self.proxies_of(dst)[i].tls_uri]) for i in far), "public": True}
        answer = call("PUT", base + "/api/route", body)
        if answer.status_code != 200 or answer.json().get("state") != 0:
            raise AssertionError(f"PUT /api/route {body}: {answer.status_code} {answer.text[:300]}")

    def point_farms(self):
        for (kind, dc), farm in self.farms.items():
            servers, params = self.route_text(dc, self.other(dc))
            farm.want(self.farms[kind, self.other(dc)], servers, params)
