"""One-way clusters of a World: stock Redis in each DC, created through REST, with keepers where a DC has containers.

    with World(dcs=["jq", "fra"], shards=0, containers=2, proxied=[("jq", "fra")]) as world:
        world.start()                                # containers too; they are registered at the console
        orders = world.one_way("orders", replicas=1)     # starts its Redis; nobody knows of them yet
        orders.create()                              # POST /api/clusters, /api/shards
        orders.wait_whole()                          # the tree is as it should be, everywhere
        orders.write("k", "v")
        orders.wait_read("k", "v")                   # on every Redis of every DC
        orders.active_keeper("fra").kill()

The first DC is the primary one ('primary', to be set anew after a migration). containers={"jq": 2, "fra": 0} gives keepers to one
DC only; one_way(keepers=["jq"]) takes them away elsewhere. build_by_hand() does the work of the metaservers, for tests without them.
"""
import redis

from .keepers import Keeper
from .processes import wait_until
from .redis_server import RedisServer

WHOLE_TIMEOUT_S = 40.0
READ_TIMEOUT_S = 20.0


class OneWay:
    """See the text of the module. redises: DC -> shard -> list of RedisServer, in the primary DC the first one is the master."""

    def __init__(self, world, name, dcs=None, shards=1, replicas=0, keepers=None, organization_id=None, server=RedisServer):
        """server: the class of its Redis."""
        self.world = world
        self.name = name
        self.dcs = list(dcs or world.dcs)
        self.primary = self.dcs[0]
        self.shards = [f"s{i + 1}" for i in range(shards)]
        self.keeper_dcs = self.dcs if keepers is None else list(keepers)
        self.organization_id = world.organization_id if organization_id is None else organization_id
        self.redises = {dc: {shard: [server(world.workspace, f"redis-{name}-{dc}-{shard}-{i + 1}")
                                     for i in range(replicas + 1)] for shard in self.shards} for dc in self.dcs}

    def all_redises(self):
        return [r for shards in self.redises.values() for redises in shards.values() for r in redises]

    def start(self):
        """Starts the Redis; those of the primary DC replicate, the others know nobody, as new ones do."""
        for server in self.all_redises():
            server.start(wait=False)
        for server in self.all_redises():
            server.wait_ready()
        for master, *replicas in self.redises[self.primary].values():
            for replica in replicas:
                replica.replicate(master)
        return self

    # REST, as a DBA platform does it (console-api.md 5.1)

    def create(self):
        console = self.world.console
        console.post("/api/clusters", {
            "clusterName": self.name, "clusterType": "ONE_WAY", "dcs": self.dcs, "desc": "created by the harness",
            "organizationId": self.organization_id, "clusterAdminEmails": "dba@example.com"})
        for shard in self.shards:
            console.post(f"/api/shards/{self.name}/{shard}", [
                {"dcId": dc, "redises": ",".join(r.address for r in self.redises[dc][shard])} for dc in self.dcs])
        for dc in self.dcs:
            if dc not in self.keeper_dcs and self.world.dcs[dc].containers:
                self.remove_keepers(dc)
        return self

    def add_keepers(self, dc, shard="s1"):
        self.world.console.post(f"/api/keepers/{dc}/{self.name}/{shard}")

    def remove_keepers(self, dc):
        for shard in self.shards:
            self.world.console.delete(f"/api/keepers/{dc}/{self.name}/{shard}")

    def remove_shard(self, shard):
        """From the metadata and from what is expected; its Redis go on running."""
        self.world.console.delete(f"/api/shards/{self.name}/{shard}")
        self.shards.remove(shard)

    def keepers(self, dc, shard="s1"):
        """The keepers of the metadata, whether they run or not."""
        addresses = self.world.console.get(f"/api/keepers/{dc}/{self.name}/{shard}")
        return [self._keeper(dc, *address.rsplit(":", 1)) for address in addresses]

    def _keeper(self, dc, ip, port):
        container = next(c for c in self.world.dcs[dc].containers if c.ip == ip)
        return Keeper(ip, int(port), container)

    def db_ids(self, shard="s1", dc=None):
        """(cluster id, shard id), from the document that metaservers read."""
        document = self.world.console.get(f"/api/dc/{dc or self.primary}/cluster/{self.name}")
        return document["dbId"], document["shards"][shard]["dbId"]

    # finding things

    def master(self, shard="s1"):
        """The only running Redis of the primary DC that says it is a master."""
        found = [r for r in self.redises[self.primary][shard] if r.running and r.role == "master"]
        if len(found) != 1:
            raise AssertionError(f"{self.primary}/{shard} has {len(found)} masters: {[r.name for r in found]}")
        return found[0]

    def active_keeper(self, dc, shard="s1"):
        """The only keeper that says it is ACTIVE; fails when none or several do."""
        found = [k for k in self.keepers(dc, shard) if k.state == "ACTIVE"]
        if len(found) != 1:
            raise AssertionError(f"{dc}/{shard} has {len(found)} active keepers: {found}")
        return found[0]

    def head(self, shard="s1"):
        """What the backup DCs pull from: the primary DC's active keeper, or its master where there are no keepers."""
        return self.active_keeper(self.primary, shard) if self.keepers(self.primary, shard) else self.master(shard)

    def relay(self, dc, shard="s1"):
        """In a backup DC without keepers: the only Redis that follows another DC."""
        head = self.head(shard).address
        found = [r for r in self.redises[dc][shard] if r.running and _follows(r) == head]
        if len(found) != 1:
            raise AssertionError(f"{dc}/{shard}: {[r.name for r in found]} follow {head}, one should")
        return found[0]

    # data

    def write(self, key, value, shard="s1"):
        self.master(shard).run("SET", key, value)

    def wait_read(self, key, value, shard="s1", dcs=None, timeout=READ_TIMEOUT_S):
        """Waits until every running Redis of the shard in the DCs (all) has the value."""
        def missing():
            return [r.name for dc in dcs or self.dcs for r in self.redises[dc][shard]
                    if r.running and r.run("GET", key) != value]

        def has_all():
            names = missing()
            assert not names, f"not on {names}"
            return True
        wait_until(has_all, timeout, f"{key}={value} of {self.name}/{shard}")

    # expectations

    def problems(self, dcs=None):
        """What is not as it should be in the trees of the DCs: a list of texts, empty when everything follows the right one."""
        found = []
        for shard in self.shards:
            for dc in dcs or self.dcs:
                try:
                    problems = self._problems(dc, shard)
                except (AssertionError, redis.exceptions.RedisError) as e:
                    problems = [f"{type(e).__name__}: {e}"]
                found += [f"{self.name}/{shard} in {dc}: {p}" for p in problems]
        return found

    def _problems(self, dc, shard):
        is_primary = dc == self.primary
        upstream = self.master(shard) if is_primary else self.head(shard)
        running = [r for r in self.redises[dc][shard] if r.running]
        if not self.keepers(dc, shard):
            return self._chain_problems(running, upstream, is_primary, dc, shard)
        active = self.active_keeper(dc, shard)
        problems = self._keeper_problems(dc, shard, active, upstream)
        target = self.master(shard) if is_primary else active
        return problems + [p for r in running if r is not target for p in _link_problems(r, target)]

    def _keeper_problems(self, dc, shard, active, upstream):
        problems = _link_problems(active, upstream)
        for keeper in self.keepers(dc, shard):
            if keeper.address != active.address:
                problems += [] if keeper.state == "BACKUP" else [f"{keeper} is {keeper.state}"]
                problems += _link_problems(keeper, active) if keeper.state else []
        if dc != self.primary and self.world.is_proxied(dc, self.primary) and not self._goes_through(dc, upstream):
            problems.append(f"{active} does not pull through the proxy")
        return problems

    def _goes_through(self, dc, upstream):
        proxy = self.world.dcs[dc].proxy
        return proxy.tunnels() and any(f"TCP://{upstream.address};" in line for line in proxy.lines())

    def _chain_problems(self, running, upstream, is_primary, dc, shard):
        if is_primary:
            return [p for r in running if r is not upstream for p in _link_problems(r, upstream)]
        relay = self.relay(dc, shard)
        return [p for r in running for p in _link_problems(r, upstream if r is relay else relay)]

    def wait_whole(self, dcs=None, timeout=WHOLE_TIMEOUT_S):
        """Waits until problems() is empty."""
        def is_whole():
            problems = self.problems(dcs)
            assert not problems, "; ".join(problems)
            return True
        wait_until(is_whole, timeout, f"{self.name} to be whole")

    # without metaservers

    def build_by_hand(self):
        """Adds the keepers on their containers, makes the first of each DC active, and points everything at the right one."""
        for shard in self.shards:
            head = None
            for dc in self.dcs:
                top = self._build_dc(dc, shard, self.master(shard) if head is None else head)
                head = head or top
        return self

    def _build_dc(self, dc, shard, upstream):
        """Returns what the other DCs pull from, when this one is the primary."""
        keepers = self.keepers(dc, shard)
        for keeper in keepers:
            keeper.container.add(self.db_ids(shard, dc)[1], keeper.port)
        if keepers:
            active, *others = keepers
            active.setstate("ACTIVE", upstream, *self.route_words(dc))
            active.wait_connected()
            for other in others:
                other.setstate("BACKUP", active)
            upstream = active
        if dc != self.primary:
            first, *rest = self.redises[dc][shard]
            first.replicate(upstream)
            for server in rest:
                server.replicate(upstream if keepers else first)
        return upstream

    def route_words(self, dc):
        """The proxy words of SETSTATE for what a DC pulls from the primary one."""
        if dc == self.primary or not self.world.is_proxied(dc, self.primary):
            return []
        return ["PROXY", "ROUTE", self.world.dcs[dc].proxy.uri, self.world.dcs[self.primary].proxy.tls_uri, "TCP"]


def _follows(server):
    """"ip:port" of the master of a Redis or keeper; None for a master."""
    role = server.run("ROLE")
    return f"{role[1]}:{role[2]}" if len(role) == 5 else None


def _link_problems(server, master):
    role = server.run("ROLE")
    if len(role) != 5:
        return [f"{server.name} is a master"]
    if f"{role[1]}:{role[2]}" != master.address:
        return [f"{server.name} follows {role[1]}:{role[2]}, not {master.name} at {master.address}"]
    return [] if role[3] == "connected" else [f"{server.name}: link to {master.name} is {role[3]}"]
