"""A whole installation in one object: DCs with ZooKeeper, metaservers, CRDT Redis and proxies, and the console.

    from harness.cluster import World
    with World(dcs=["jq", "fra"], shards=1, replicas=1, metas=1, proxied=[("jq", "fra")]) as world:
        world.start()
        world.create_cluster()
        world.wait_linked()
        world.master("jq").run("SET", "k", "v")

In a REPL: `w = World().start()` ... `w.close()`; without close() everything ends with the interpreter.
Parts can be started one by one: start_redises(), start_proxies(), start_zookeepers(), start_console(), start_metas().
Every Redis, proxy and daemon is a Process: kill(), pause(), resume(), restart(), log_tail().
One-way clusters, with keepers or without, are made by world.one_way(): see one_way.py.
"""
from .daemons import Console, Meta
from .keepers import SESSION_MS, KeeperContainer
from .one_way import OneWay
from .processes import Workspace, wait_until
from .proxy import Proxy
from .redis_server import CrdtRedis
from .zookeeper import ZooKeeper

ORGANIZATION = {"orgId": 8, "orgName": "cache"}
LINK_TIMEOUT_S = 30.0


class Dc:
    """What stands in one DC. redises: shard name -> list of CrdtRedis, the first one the initial master. containers: of keepers."""

    def __init__(self, name, gid):
        self.name = name
        self.gid = gid
        self.zookeeper = None
        self.metas = []
        self.redises = {}
        self.proxy = None
        self.containers = []

    @property
    def meta(self):
        return self.metas[0]

    def all_redises(self):
        return [r for redises in self.redises.values() for r in redises]


class World:
    """See the text of the module.

    dcs           names; their gids are 1, 2, 3..
    shards        how many shards the cluster has: "s1", "s2"..
    replicas      in-DC replicas beside each master
    metas         metaservers in each DC
    containers    keeper containers in each DC, or {dc: count}; keeper_session_ms is the session of their keepers
    proxied       pairs of DCs whose links go through proxies, in both directions
    org_routes    the routes of 'proxied' are for clusters of the organization only; those of others connect directly
    zookeepers    started ones to use (one per DC, for instance of a session fixture); namespace keeps tests apart
    redis_times   settings of the stand-in, such as {"tick_ms": 1000}
    *_settings    further keys of the ini files
    """

    def __init__(self, dcs=("jq", "fra"), shards=1, replicas=0, metas=1, proxied=(), cluster="demo",
                 zookeepers=None, namespace="xpipe", redis_times=None, meta_settings=None, console_settings=None,
                 containers=0, keeper_session_ms=SESSION_MS, org_routes=False, keep=None):
        self.workspace = Workspace("world", keep=keep)
        self.cluster = cluster
        self.shard_names = [f"s{i + 1}" for i in range(shards)]
        self.proxied = [tuple(pair) for pair in proxied]
        self.namespace = namespace
        self.organization_id = ORGANIZATION["orgId"]
        self.org_routes = org_routes
        self.dcs = {name: Dc(name, gid) for gid, name in enumerate(dcs, start=1)}
        self.console = Console(self.workspace, settings=console_settings)
        self._build(replicas, metas, list(zookeepers or []), redis_times or {}, meta_settings)
        self._connect_addresses()
        for dc in self.dcs.values():
            count = containers.get(dc.name, 0) if isinstance(containers, dict) else containers
            dc.containers = [KeeperContainer(self.workspace, f"container-{dc.name}-{i + 1}", dc.zookeeper, namespace,
                                             keeper_session_ms) for i in range(count)]

    def _build(self, replicas, metas, zookeepers, redis_times, meta_settings):
        for dc in self.dcs.values():
            dc.zookeeper = zookeepers.pop(0) if zookeepers else ZooKeeper(self.workspace, f"zookeeper-{dc.name}")
            dc.metas = [Meta(self.workspace, f"meta-{dc.name}-{i + 1}", dc.name, i + 1, dc.zookeeper, meta_settings,
                             self.namespace) for i in range(metas)]
            for shard in self.shard_names:
                dc.redises[shard] = [
                    CrdtRedis(self.workspace, f"redis-{dc.name}-{shard}-{i + 1}", dc.gid, namespace=self.cluster,
                              **redis_times) for i in range(replicas + 1)]
            if any(dc.name in pair for pair in self.proxied):
                dc.proxy = Proxy(self.workspace, f"proxy-{dc.name}")

    def _connect_addresses(self):
        urls = {dc.name: dc.meta.url for dc in self.dcs.values() if dc.metas}
        self.console.set_metaservers(urls)
        for dc in self.dcs.values():
            for meta in dc.metas:
                meta.set_addresses(self.console.url, urls)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.workspace.close()

    # starting

    def start(self):
        """Everything, with waits where the next part needs the one before. Returns self."""
        self.start_zookeepers(wait=False)
        self.start_redises()
        self.start_proxies()
        self.start_containers()
        self.start_console()
        self.prepare_console()
        self.start_zookeepers()
        self.start_metas()
        return self

    def start_zookeepers(self, wait=True):
        for dc in self.dcs.values():
            if not dc.zookeeper.running:
                dc.zookeeper.start(wait=False)
        for dc in self.dcs.values():
            if wait:
                dc.zookeeper.wait_ready()

    def start_redises(self):
        for redis in self.redises():
            redis.start(wait=False)
        for redis in self.redises():
            redis.wait_ready()
        for dc in self.dcs.values():
            for master, *replicas in dc.redises.values():
                for replica in replicas:
                    replica.replicate(master, wait=False)
        wait_until(lambda: all(r.role == "master" or r.run("ROLE")[3] == "connected" for r in self.redises()), 20,
                   "the replicas to follow their masters")

    def start_proxies(self):
        for proxy in self.proxies():
            proxy.start()

    def start_containers(self):
        for container in self.containers():
            container.start()

    def start_console(self):
        self.console.start()

    def start_metas(self):
        for meta in self.metas():
            meta.start(wait=False)
        for meta in self.metas():
            meta.wait_ready()

    # finding things

    def metas(self):
        return [m for dc in self.dcs.values() for m in dc.metas]

    def proxies(self):
        return [dc.proxy for dc in self.dcs.values() if dc.proxy]

    def containers(self):
        return [c for dc in self.dcs.values() for c in dc.containers]

    def redises(self):
        """The CRDT ones; those of one-way clusters are theirs (one_way.py)."""
        return [r for dc in self.dcs.values() for r in dc.all_redises()]

    def master(self, dc, shard="s1"):
        """The only running Redis of the shard in the DC that says it is a master."""
        found = [r for r in self.dcs[dc].redises[shard] if r.running and r.role == "master"]
        if len(found) != 1:
            raise AssertionError(f"{dc}/{shard} has {len(found)} masters: {[r.name for r in found]}")
        return found[0]

    def replica(self, dc, shard="s1"):
        """A running replica of the shard in the DC."""
        found = [r for r in self.dcs[dc].redises[shard] if r.running and r.role == "slave"]
        if not found:
            raise AssertionError(f"{dc}/{shard} has no replica")
        return found[0]

    def peers(self, dc, shard="s1"):
        """Peers of the master, from CRDT.INFO: gid -> Peer."""
        return self.master(dc, shard).peers

    def peerofs(self, dc, shard="s1"):
        """PEEROF commands the master got from clients, as lists of words."""
        return self.master(dc, shard).log("peerof")

    def clear_logs(self):
        for redis in self.redises():
            if redis.running:
                redis.clear_log()

    def is_proxied(self, puller, upstream):
        return (puller, upstream) in self.proxied or (upstream, puller) in self.proxied

    # the REST API as a DBA platform uses it (console-api.md 5.0 and 5.2)

    def prepare_console(self):
        """Zone, DCs, organization, and the proxies and routes of 'proxied'."""
        self.console.post("/api/zone", {"name": "world"})
        zone = next(z for z in self.console.get("/api/zone/all") if z["zoneName"] == "world")
        for name in self.dcs:
            self.console.post("/api/dc", {"zone_id": zone["id"], "dc_name": name, "description": f"DC {name}"})
        self.console.post("/api/organizations", ORGANIZATION)
        if self.proxied:
            self.create_proxies()
            self.create_routes()
        for dc in self.dcs.values():
            for container in dc.containers:
                self.register_container(dc.name, container)

    def register_container(self, dc, container):
        """The container must run: the console asks for its health."""
        self.console.post("/api/keepercontainer", {
            "dcName": dc, "keepercontainerIp": container.ip, "keepercontainerPort": container.port, "keepercontainerOrgId": 0,
            "active": True})

    def one_way(self, name, **options):
        """A one-way cluster whose Redis run; create() makes it known. Options: those of OneWay."""
        return OneWay(self, name, **options).start()

    def create_proxies(self):
        """Two records per proxy, near (PROXYTCP) and far (PROXYTLS), as in a real installation."""
        for dc in self.dcs.values():
            if dc.proxy:
                for uri in (dc.proxy.uri, dc.proxy.tls_uri):
                    self.console.post("/api/proxy", {"uri": uri, "dcName": dc.name, "active": True,
                                                     "monitorActive": uri == dc.proxy.uri})

    def proxy_ids(self):
        """uri -> id of the active proxies."""
        return {p["uri"]: p["id"] for p in self.console.get("/api/proxies/active")}

    def create_routes(self):
        rows = self.console.get("/api/organizations/all")
        own = next(o["id"] for o in rows if o["orgId"] == ORGANIZATION["orgId"])
        for pair in self.proxied:
            for src, dst in (pair, pair[::-1]):
                self.create_route(src, dst, orgId=own if self.org_routes else 0)

    def create_route(self, src, dst, **fields):
        """The route by which masters of DC 'src' pull from DC 'dst'; further fields override."""
        ids = self.proxy_ids()
        self.console.post("/api/route", {
            "srcDcName": src, "dstDcName": dst, "srcProxyIds": str(ids[self.dcs[src].proxy.uri]), "optionProxyIds": "",
            "dstProxyIds": str(ids[self.dcs[dst].proxy.tls_uri]), "tag": "meta", "orgId": 0, "clusterType": "",
            "active": True, "public": True, "description": "", **fields})

    def create_cluster(self, dcs=None):
        """The BI_DIRECTION cluster with its shards and Redis in the given DCs (all)."""
        names = list(dcs or self.dcs)
        self.console.post("/api/clusters", {
            "clusterName": self.cluster, "clusterType": "BI_DIRECTION", "dcs": names, "desc": "created by the harness",
            "organizationId": ORGANIZATION["orgId"], "clusterAdminEmails": "dba@example.com"})
        for shard in self.shard_names:
            self.console.post(f"/api/shards/{self.cluster}/{shard}", [
                {"dcId": name, "redises": self._addresses(name, shard)} for name in names])

    def add_dc(self, name):
        """Binds a further DC to the cluster and adds its Redis (console-api.md 5.3)."""
        self.console.post(f"/api/clusters/{self.cluster}/dcs/{name}")
        for shard in self.shard_names:
            self.console.post(f"/api/redises/{name}/{self.cluster}/{shard}", self._addresses(name, shard).split(","))

    def remove_dc(self, name):
        """Takes the Redis of a DC out and unbinds it (console-api.md 5.4)."""
        for shard in self.shard_names:
            self.console.delete(f"/api/redises/{name}/{self.cluster}/{shard}", self._addresses(name, shard).split(","))
        self.console.delete(f"/api/clusters/{self.cluster}/dcs/{name}")

    def _addresses(self, dc, shard):
        return ",".join(r.address for r in self.dcs[dc].redises[shard])

    # expectations

    def link_problems(self, dcs=None):
        """What is not as it should be between the masters of the DCs: a list of texts, empty when all links are up,
        point at the present masters, and are proxied exactly where 'proxied' says so."""
        names = list(dcs or self.dcs)
        problems = []
        for shard in self.shard_names:
            masters = {name: self.master(name, shard) for name in names}
            for puller in names:
                peers = masters[puller].peers
                for upstream in names:
                    if upstream != puller:
                        problem = self._link_problem(peers, puller, upstream, masters[upstream])
                        problems += [f"{shard} {puller} from {upstream}: {problem}"] if problem else []
        return problems

    def _link_problem(self, peers, puller, upstream, master):
        peer = peers.get(master.gid)
        if not peer:
            return "no peer"
        if peer.address != master.address:
            return f"points at {peer.address}, the master is {master.address}"
        wanted = self.dcs[puller].proxy.uri if self.is_proxied(puller, upstream) else None
        if peer.proxy_servers != wanted:
            return f"proxy is {peer.proxy_servers}, wanted {wanted}"
        return None if peer.up else "down"

    def wait_linked(self, dcs=None, timeout=LINK_TIMEOUT_S):
        """Waits until link_problems() is empty."""
        def linked():
            problems = self.link_problems(dcs)
            assert not problems, "; ".join(problems)
            return True
        wait_until(linked, timeout, "all links to be up and right")

    def link_by_hand(self):
        """Sends the PEEROFs itself: for tests of Redis and proxies without daemons, and for a state to disturb."""
        from .proxy import route_words
        for shard in self.shard_names:
            masters = {name: self.master(name, shard) for name in self.dcs}
            for puller in self.dcs:
                for upstream in self.dcs:
                    if puller != upstream:
                        words = (route_words(self.dcs[puller].proxy, self.dcs[upstream].proxy)
                                 if self.is_proxied(puller, upstream) else [])
                        masters[puller].pull_from(masters[upstream], *words)

    def fail_over(self, dc, shard="s1", kill_master=True):
        """Promotes a replica as sentinel or an operator does (crdt-redis.md 9, steps 1 and 2). Returns the
        new master."""
        old, new = self.master(dc, shard), self.replica(dc, shard)
        if kill_master:
            old.kill()
        new.replicate(None)
        for redis in self.dcs[dc].redises[shard]:
            if redis is not new and redis.running:
                redis.replicate(new, wait=False)
        return new
