"""The metaserver of the primary DC lies: what it says a backup DC is to pull from reaches keepers and Redis as SLAVEOF and SETSTATE.

A real metaserver of the backup DC, real Redis there and in the primary DC; the primary DC's metaserver says what a test wants. The
shard has no keepers here: its relay follows what is told, the other Redis follows the relay.
"""
import pytest

from harness.daemons import Meta
from harness.hostile import Trial, assert_clean, flood, http_answer, reset, wait_closed
from harness.hostile_site import FAR, FAST, HOME, HostileConsole, ScriptedHttp
from harness.processes import HOST, Workspace, stays, wait_until
from harness.redis_server import RedisServer

MB = 1 << 20
NAME = ("orders", "s1")
POLLS_S = 0.7  # three polls
SETTINGS = {**FAST, "meta.upstream.refresh.milli": 500, "http.dc.timeout.milli": 400, "http.dc.connect.timeout.milli": 200}


class Primary(ScriptedHttp):
    """The metaserver of the primary DC. row: what it says of the shard, None: nothing; java: no batches, `keeper` is its answer."""

    def __init__(self):
        self.row = None
        self.keeper = None
        self.java = False
        super().__init__()

    def usual(self, connection, method, path, body):
        connection.sendall(self._answer(path))

    def _answer(self, path):
        if path.startswith("/api/meta/v2/"):
            return http_answer({}, 404) if self.java else http_answer({"upstreams": [self.row] if self.row else []})
        return http_answer(self.keeper if self.keeper is not None else b"")


def row(**fields):
    """A row about the shard, of a primary DC without keepers whose master is not known."""
    return {"cluster": NAME[0], "shard": NAME[1], "place": "primary", "hasKeepers": False, "activeKeeper": None, "master": None,
            "offset": None, **fields}


def at(ip, port):
    return {"ip": ip, "port": port}


def keeper(ip, port):
    return {"id": None, "ip": ip, "port": port, "master": None, "active": True, "keeperContainerId": 1, "priority": 1}


class Site:
    def __init__(self, zookeeper):
        self.workspace = Workspace("hostile-upstreams")
        self.console = HostileConsole()
        self.primary = Primary()
        self.far, self.other, self.relay, self.chained = (
            RedisServer(self.workspace, f"redis-{n}") for n in ("far", "other", "relay", "chained"))
        self.meta = Meta(self.workspace, "meta", HOME, 1, zookeeper, SETTINGS, "hostile-upstreams")
        self.meta.set_addresses(self.console.url, {HOME.upper(): self.meta.url, FAR.upper(): self.primary.url})

    def start(self):
        for server in (self.far, self.other, self.relay, self.chained):
            server.start()
        rows = [{**at(HOST, r.port), "master": "0.0.0.0:0"} for r in (self.relay, self.chained)]
        shard = {"id": "s1", "dbId": 10, "keepers": [], "redises": rows}
        cluster = {"id": NAME[0], "dbId": 1, "type": "ONE_WAY", "activeDc": FAR.upper(), "backupDcs": HOME, "orgId": 8,
                   "shards": {"s1": shard}}
        self.console.document = {"id": HOME, "clusters": {NAME[0]: cluster}, "routes": [], "keeperContainers": [], "sentinels": {}}
        self.heal()
        self.meta.start()
        self.wait_calm(30)
        return self

    def heal(self):
        self.primary.script = None
        self.primary.row = row(master=at(HOST, self.far.port), offset=1)
        self.primary.keeper = keeper(HOST, self.far.port)

    def set_kind(self, kind):
        """Java stays Java for 10 minutes: a restart is the way back."""
        self.primary.java = kind == "java"
        if self.link()["kind"] != kind:
            self.meta.kill()
            self.meta.start()
            wait_until(lambda: self.link()["kind"] == kind, 15, f"a primary DC of kind {kind}")
            self.wait_calm()

    def link(self):
        return self.meta.get("/api/meta/v2/upstreamlinks")[FAR]

    # questions

    def answers(self):
        return len(self.primary.seen("POST", "/api/meta/v2/upstreams")) + len(self.primary.seen("GET", "/api/meta/getactivekeeper/"))

    def ask(self):
        answer = self.meta.request("POST", "/api/meta/v2/upstreamchanges", {"dc": FAR, "shards": [list(NAME)]})
        assert answer.status_code == 200, answer.text

    def wait_asked(self, times=2):
        """Questions asked after now: the second has seen the script for certain, and the answer to the first was taken before it."""
        mark = self.answers()

        def asked():
            self.ask()
            return self.answers() >= mark + times
        wait_until(asked, 20, "questions to the primary DC")

    def tell(self, ip, port, query=f"?dcName={FAR}"):
        """As a Java metaserver of the primary DC tells it."""
        return self.meta.request("PUT", f"/api/meta/upstreamchange/orders/s1/{ip}/{port}{query}").status_code

    # what is

    def master_of(self, server):
        role = server.run("ROLE")
        return (role[1], int(role[2])) if role[0] == "slave" else None

    def commands(self):
        """How many commands that change something reached the Redis of the backup DC."""
        stats = [s for r in (self.relay, self.chained) for s in r.info("commandstats").items()]
        return sum(int(value.split("calls=")[1].split(",")[0]) for name, value in stats
                   if name in ("cmdstat_slaveof", "cmdstat_replicaof", "cmdstat_config|rewrite"))

    def check_follows(self, source):
        assert self.master_of(self.relay) == (HOST, source.port), self.relay.run("ROLE")
        assert self.master_of(self.chained) == (HOST, self.relay.port), self.chained.run("ROLE")
        return True

    def check_served(self):
        """The metaserver looks after the shard, and heard of its upstream: the Redis alone look calm without it, too."""
        tree = self.meta.request("GET", f"/api/meta/v2/tree/{NAME[0]}/{NAME[1]}")
        assert tree.status_code == 200 and self.far.address in tree.text, tree.text
        return True

    def wait_calm(self, timeout=20):
        wait_until(lambda: self.check_served() and self.check_follows(self.far), timeout, "the tree to follow the primary DC")

    def close(self):
        try:
            if self.meta.running:
                assert_clean(self.meta)
        finally:
            self.workspace.close()
            self.console.close()
            self.primary.close()


@pytest.fixture(scope="module")
def site(zookeepers):
    s = Site(zookeepers[0])
    try:
        yield s.start()
    finally:
        s.close()


@pytest.fixture(params=["xpipe", "java"])
def kind(site, request):
    """A metaserver like this one, asked in batches, or a Java one, asked shard by shard."""
    site.set_kind(request.param)
    yield request.param
    site.heal()
    site.wait_calm()


# addresses that are none: the tree stays as it is


def odd_addresses(site):
    port = site.other.port
    return {
        "port-0": (HOST, 0), "port-minus-1": (HOST, -1), "port-65536": (HOST, 65536), "port-2-32": (HOST, (1 << 32) + port),
        "port-5e9": (HOST, 5e9), "port-text": (HOST, str(port)), "port-real": (HOST, port + 0.5), "port-null": (HOST, None),
        "host-empty": ("", port), "host-null": (None, port), "host-number": (2130706433, port), "host-64k": ("1" * 65536, port),
        "host-crlf": ("127.0.0.1\r\nFLUSHALL", port), "host-blank": ("127.0.0.1 no", port), "host-name": ("localhost", port),
        "host-no": ("no", port), "host-zero": ("0.0.0.0", port), "host-v6-any": ("::", port), "host-mapped-any": ("::ffff:0.0.0.0", port),
        "host-octal": ("0177.0.0.1", port), "host-short": ("127.1", port), "host-hex": ("0x7f000001", port),
        "host-decimal": ("2130706433", port), "host-256": ("256.1.1.1", port), "host-broadcast": ("255.255.255.255", port),
        "relay-itself": (HOST, site.relay.port), "own-chained": (HOST, site.chained.port),
    }


def odd_rows(site):
    """Rows that are odd elsewhere, each with an address that would be followed."""
    good = {"master": at(HOST, site.other.port), "offset": 1}
    with_keepers = {"hasKeepers": True, "activeKeeper": keeper(HOST, site.other.port)}
    return {
        "other-cluster": row(**{**good, "cluster": "others"}), "other-shard": row(**{**good, "shard": "s2"}),
        "upper-case": row(**{**good, "cluster": "ORDERS"}), "joined": row(**{**good, "cluster": "orders/s1", "shard": ""}),
        "not-primary": row(**{**good, "place": "backup"}), "outside": row(**{**good, "place": "outside"}),
        "place-number": row(**{**good, "place": 1}), "place-null": row(**{**good, "place": None}),
        "keepers-text": row(**{**good, "hasKeepers": "false"}), "keepers-null": row(**{**good, "hasKeepers": None}),
        "keepers-dead": row(**{**good, "hasKeepers": True}), "keeper-list": row(**{**good, **with_keepers, "activeKeeper": []}),
        "keeper-text": row(**{**good, **with_keepers, "activeKeeper": f"{HOST}:{site.other.port}"}),
        "offset-text": row(**{**good, "offset": "1"}), "offset-negative": row(**{**good, "offset": -1}),
        "list": [*NAME, 1, HOST, site.other.port], "number": 7, "empty": {},
    }


def test_odd_addresses(site, kind):
    failures = []
    with Trial(site.meta):
        before = site.commands()
        for name, (ip, port) in odd_addresses(site).items():
            site.primary.row = row(master=at(ip, port), offset=1)
            site.primary.keeper = keeper(ip, port)
            site.wait_asked()
            if site.commands() != before:
                failures.append(f"{name}: {site.relay.run('ROLE')} {site.chained.run('ROLE')}")
                before = site.commands()
        stays(lambda: site.commands() == before and site.check_follows(site.far), POLLS_S, "calm")
    assert not failures, "\n".join(failures)


def test_odd_rows(site):
    site.set_kind("xpipe")
    failures = []
    with Trial(site.meta):
        before = site.commands()
        for name, odd in odd_rows(site).items():
            site.primary.row = odd
            site.wait_asked()
            if site.commands() != before:
                failures.append(f"{name}: {site.relay.run('ROLE')} {site.chained.run('ROLE')}")
                before = site.commands()
        stays(lambda: site.commands() == before and site.check_follows(site.far), POLLS_S, "calm")
        site.heal()
    assert not failures, "\n".join(failures)


def test_a_good_answer_is_followed(site, kind):
    """What the tests above say means something only when a right address comes through in the same way."""
    site.primary.row = row(hasKeepers=True, activeKeeper=keeper(HOST, site.other.port))
    site.primary.keeper = keeper(HOST, site.other.port)
    site.wait_asked()
    wait_until(lambda: site.check_follows(site.other), 15, "the tree to follow the new address")


# answers that are none: what was known stays


def sends(data):
    return lambda c, *_: c.sendall(data)


SILENCE = {
    "500": sends(http_answer({"message": "no"}, 500)), "204": sends(http_answer(b"", 204)), "html": sends(http_answer(b"<html>")),
    "null": sends(http_answer(b"null")), "list": sends(http_answer(b"[[]]")), "deep": sends(http_answer(b"[" * 100_000)),
    "utf-8": sends(http_answer(b'{"upstreams":"\xff"}')), "cut-off": sends(http_answer(b'{"upstreams":[{"cluster":"orders"')),
    "masters": sends(http_answer({"masters": [[*NAME, 1, HOST, 6379]]})), "object": sends(http_answer({"upstreams": {"orders": 1}})),
    "not-asked-100000": sends(http_answer({"upstreams": [row(cluster=f"x{i}", master=at(HOST, 1)) for i in range(100_000)]})),
    "closes": lambda c, *_: None, "resets": lambda c, *_: reset(c), "no-http": sends(b"\0\xff\r\n\r\n"),
    "endless-body": lambda c, *_: flood(c, b" " * MB, b"HTTP/1.1 200 OK\r\n\r\n"), "hangs": lambda c, *_: wait_closed(c),
}
SINGLE = ["500", "html", "null", "list", "deep", "closes", "endless-body", "hangs"]  # of a Java one


def test_answers_that_are_none(site, kind):
    """No answer changes nothing, and the next good one is taken."""
    with Trial(site.meta):
        before = site.commands()
        for name, script in SILENCE.items() if kind == "xpipe" else ((n, SILENCE[n]) for n in SINGLE):
            site.primary.script = script
            site.wait_asked(1)
            assert site.commands() == before and site.check_follows(site.far), name
            site.primary.script = None
            site.wait_asked(1)  # else the pauses between failures would grow
        site.primary.row = site.primary.keeper = None  # and an answer that says nothing
        site.wait_asked()
        stays(lambda: site.commands() == before and site.check_follows(site.far), POLLS_S, "calm")
        site.heal()
        began = site.link()["lastOkAt"]
        wait_until(lambda: site.link()["lastOkAt"] > began and not site.link()["lastError"], 20, "an answer again")


# what is told without being asked


def test_a_told_address(site):
    """Endpoint 9: believed when it comes from the primary DC; what the primary DC answers later counts more."""
    site.set_kind("xpipe")
    before = site.commands()
    port = site.other.port
    assert site.tell("localhost", port) == site.tell("0.0.0.0", port) == site.tell(HOST, 0) == site.tell(HOST, 5 * 10**9) == 500
    assert site.tell(HOST, port, "?dcName=oy") == site.tell(HOST, port, f"?dcName={HOME}") == 200  # ignored, and said so in the log
    stays(lambda: site.commands() == before and site.check_follows(site.far), POLLS_S, "calm")
    site.primary.row = None  # it knows nothing any more: what is told stays
    site.wait_asked()
    assert site.tell(HOST, port, f"?dcName={FAR.upper()}") == 200
    wait_until(lambda: site.check_follows(site.other), 15, "the tree to follow what was told")
    site.wait_asked()
    stays(lambda: site.check_follows(site.other), POLLS_S, "calm")
    site.heal()
    site.wait_calm()
