"""Three DCs: names in mixed case, DCs that come and go, and which link takes which route.

One world for the module: 'jq' and 'FRA-AWS' are linked through a proxy in each, 'oy' directly. Each test starts from "all three DCs
are linked and right" and leaves it so.
"""
import time
from datetime import datetime

import pytest

from harness.cluster import ORGANIZATION, World
from harness.processes import stays, wait_until
from harness.proxy import Proxy
from harness.redis_server import CrdtRedis

HOME, FAR, NEAR = "jq", "FRA-AWS", "oy"
DCS = [HOME, FAR, NEAR]
SILENCE_S = 3.0
REMOVAL_GAP_MS = 400
REMOVAL_VERDICTS = 3
TIMES = {"tick_ms": 100, "lazy_ms": 0}
SETTINGS = {"meta.poll.milli": 300, "meta.poll.fast.milli": 100, "meta.peermaster.refresh.milli": 500,
            "meta.peer.removal.gap.milli": REMOVAL_GAP_MS, "meta.peer.removal.verdicts": REMOVAL_VERDICTS}
ALIASES = {"credis.service.idc.mapping.rule": {FAR: "FRA", NEAR: "OYAZ"}}  # inner name: outer name
LIMIT_S = 20


@pytest.fixture(scope="module")
def world(zookeepers):
    w = World(dcs=DCS, replicas=1, proxied=[(HOME, FAR)], zookeepers=[zookeepers[0]] * 3, redis_times=TIMES,
              meta_settings=SETTINGS, console_settings=ALIASES)
    with w:
        for dc in w.dcs.values():
            dc.meta.settings["zk.namespace"] = f"three-{dc.name.lower()}"
        w.start()
        create_with_outer_names(w)
        yield w


def create_with_outer_names(world):
    """As a DBA platform does that knows the DCs by other names: 'FRA' is FRA-AWS, 'OYAZ' is oy. First without oy."""
    world.console.post("/api/clusters", {
        "clusterName": world.cluster, "clusterType": "bi_direction", "dcs": [HOME, "FRA"], "desc": "three DCs",
        "organizationId": ORGANIZATION["orgId"], "clusterAdminEmails": "dba@example.com"})
    world.console.post(f"/api/shards/{world.cluster}/s1", [
        {"dcId": HOME, "redises": world._addresses(HOME, "s1")}, {"dcId": "FRA", "redises": world._addresses(FAR, "s1")}])


@pytest.fixture
def linked(world):
    """All three DCs are bound and linked."""
    bound = world.console.get(f"/api/dc/{HOME}/cluster/{world.cluster}")["dcs"].lower().split(",")
    if NEAR not in bound:
        world.add_dc(NEAR)
    world.wait_linked(timeout=LIMIT_S)
    world.clear_logs()
    yield world
    world.wait_linked(timeout=LIMIT_S)
    assert not any(r.would_have_crashed() for r in world.redises() if r.running)


def gid(world, dc):
    return world.dcs[dc].gid


def commands(world, *dcs):
    return [" ".join(words) for dc in dcs or DCS for words in world.peerofs(dc)]


def state(world, dc):
    return world.dcs[dc].meta.get(f"/api/meta/v2/peers/{world.cluster}/s1")


def verdicts(world, dc):
    return {p["dc"] or p["gid"]: p["verdict"] for p in state(world, dc)["peers"]}


def peer(world, puller=HOME, upstream=FAR):
    return world.peers(puller)[gid(world, upstream)]


# names


def test_mixed_case_names_do_not_flap(world):
    """First of all, with two DCs: later tests bind the third."""
    world.wait_linked([HOME, FAR], timeout=LIMIT_S)
    wait_until(lambda: verdicts(world, HOME) == {FAR.lower(): "OK"} and verdicts(world, FAR) == {HOME: "OK"}, 10, "verdicts")
    world.clear_logs()
    marks = {dc: world.dcs[dc].meta.log_path.stat().st_size for dc in (HOME, FAR)}
    stays(lambda: not commands(world), SILENCE_S, "no command after convergence")
    for dc, mark in marks.items():
        new = world.dcs[dc].meta.log_path.read_text()[mark:]
        assert "peer.master" not in new and "peer.verdict" not in new and "correction" not in new, new
    document = world.console.get(f"/api/dc/{FAR.lower()}?types=bi_direction")
    assert document["id"] == FAR
    assert sorted(document["clusters"][world.cluster]["dcs"].lower().split(",")) == [FAR.lower(), HOME]


@pytest.mark.parametrize("spelling", ["fra-aws", "FRA-AWS", "Fra-Aws", "FRA"])
def test_every_spelling_of_a_dc_finds_it(world, spelling):
    assert sorted(world.console.get(f"/api/redises/{spelling}/{world.cluster}/s1")) == sorted(
        r.address for r in world.dcs[FAR].redises["s1"])
    assert world.console.get(f"/api/dc/{spelling}?types=bi_direction")["id"].lower() in (FAR.lower(), "fra")
    answer = world.dcs[HOME].meta.request("PUT", f"/api/meta/upstreampeerchange/{spelling}/{world.cluster}/s1")
    assert answer.status_code == 200


# DCs come and go


def test_added_dc_is_linked_with_all(world):
    began = time.monotonic()
    world.add_dc(NEAR)
    world.wait_linked(timeout=LIMIT_S)
    print(f"DC added: all six links up after {time.monotonic() - began:.2f} s")
    for dc in DCS:
        assert sorted(world.peers(dc)) == sorted(gid(world, other) for other in DCS if other != dc)
        wait_until(lambda: set(verdicts(world, dc).values()) == {"OK"}, 10, f"the verdicts in {dc}")
    for source in DCS:
        world.master(source).run("SET", f"from-{source}", "1")
        for target in DCS:
            wait_until(lambda: world.master(target).run("GET", f"from-{source}") == "1", 10, f"{source} to {target}")


def logged_at(text, *words):
    """When the first line with all of these was written, in seconds: what a daemon did shortly after another thing, a test may see late."""
    line = next(line for line in text.splitlines() if all(w in line for w in words))
    return datetime.fromisoformat(line.partition("Z ")[0]).timestamp()


def switch_removal(world, dc, on):
    meta = world.dcs[dc].meta
    meta.more_settings["meta.cluster.peermaster.delete"] = on
    mark = meta.log_path.stat().st_size
    meta.reload()
    wait_until(lambda: "config.reloaded" in meta.log_path.read_text()[mark:], 5, f"the reload of {meta.name}")


def test_removed_dc_is_removed_from_the_peers_where_the_switch_is_on(linked):
    world, gone = linked, gid(linked, NEAR)
    master, replica = world.master(HOME), world.replica(HOME)
    switch_removal(world, HOME, True)
    log, mark = world.dcs[HOME].meta.log_path, world.dcs[HOME].meta.log_path.stat().st_size
    try:
        world.remove_dc(NEAR)
        wait_until(lambda: "correction.done" in log.read_text()[mark:], 15, "the removal")
        said = log.read_text()[mark:]
        took = logged_at(said, "correction.done") - logged_at(said, "peer.verdict", "SUPERFLUOUS")
        assert took >= (REMOVAL_VERDICTS - 1) * REMOVAL_GAP_MS / 1000 - 0.3, f"{took:.2f} s for {REMOVAL_VERDICTS} verdicts"
        assert commands(world, HOME) == [f"PEEROF {gone} no one"]
        for redis in (master, replica):
            wait_until(lambda: redis.log("config"), 5, f"CONFIG REWRITE on {redis.name}")
            assert redis.log("config") == [["CONFIG", "REWRITE"]]
        assert f"peer {gone} " not in master.config_text() and gone not in replica.peers

        wait_until(lambda: verdicts(world, FAR).get(gone) == "SUPERFLUOUS", 10, "the verdict where the switch is off")
        stays(lambda: not commands(world, FAR), SILENCE_S, "no removal where the switch is off")
        assert gone in world.peers(FAR)
        stays(lambda: len(commands(world, HOME)) == 1, 0.5, "one removal")
        switch_removal(world, FAR, True)
        wait_until(lambda: commands(world, FAR) == [f"PEEROF {gone} no one"], 10, "the removal")
    finally:
        for dc in (HOME, FAR):
            switch_removal(world, dc, False)
        world.add_dc(NEAR)


def test_dc_that_comes_back_while_it_is_counted_out_stays(linked):
    """Evidence of an earlier absence does not count for a later one."""
    world, gone = linked, gid(linked, NEAR)
    world.remove_dc(NEAR)
    wait_until(lambda: verdicts(world, HOME).get(gone) == "SUPERFLUOUS", 10, "the verdict")
    stays(lambda: not commands(world, HOME), REMOVAL_VERDICTS * REMOVAL_GAP_MS / 1000, "kept, and counted")
    world.add_dc(NEAR)
    wait_until(lambda: set(verdicts(world, HOME).values()) == {"OK"}, 15, "all three DCs")
    switch_removal(world, HOME, True)
    try:
        stays(lambda: not commands(world, HOME), 1.0, "no command")
    finally:
        switch_removal(world, HOME, False)


# routes


def routes_from(world, src):
    return [r for r in world.console.get("/api/routes/active") if r["srcDcName"].lower() == src.lower()]


def put_route(world, route, **changes):
    world.console.put("/api/route", {**route, "public": True, "force": True, **changes})


@pytest.fixture
def more_proxies(linked):
    """more_proxies(dc) starts one more proxy in the DC, known to the console: (proxy, id of its near uri, of its far uri)."""
    made = []

    def make(dc):
        proxy = Proxy(linked.workspace, f"proxy-{dc}-{time.monotonic_ns()}").start()
        made.append(proxy)
        for uri in (proxy.uri, proxy.tls_uri):
            linked.console.post("/api/proxy", {"uri": uri, "dcName": dc, "active": True, "monitorActive": False})
        ids = linked.proxy_ids()
        return proxy, ids[proxy.uri], ids[proxy.tls_uri]
    yield make
    for proxy in made:
        proxy.stop()


def wait_proxied(world, servers, params, puller=HOME, upstream=FAR):
    def is_so():
        p = peer(world, puller, upstream)
        assert (p.proxy_servers, p.proxy_params) == (servers, params), p
        return p.up
    wait_until(is_so, LIMIT_S, f"{puller} to pull from {upstream} through {servers}")


def replicates(world, source, target, key):
    world.master(source).run("SET", key, "1")
    wait_until(lambda: world.master(target).run("GET", key) == "1", 10, f"{key} from {source} in {target}")


def test_designated_route_wins(linked, more_proxies):
    proxy, near_id, _ = more_proxies(HOME)
    far_id = linked.proxy_ids()[linked.dcs[FAR].proxy.tls_uri]
    linked.console.post("/api/route", {
        "srcDcName": HOME, "dstDcName": FAR, "srcProxyIds": str(near_id), "optionProxyIds": "", "dstProxyIds": str(far_id),
        "tag": "meta", "orgId": 0, "clusterType": "", "active": True, "public": False, "description": "designated"})
    route = next(r for r in routes_from(linked, HOME) if r["srcProxyIds"] == str(near_id))
    stays(lambda: not commands(linked), 1.0, "a route that is not public changes nothing")
    path = f"/console/clusters/{linked.cluster}/designated-routes/{HOME}"
    assert linked.console.request("POST", path, [{"id": route["id"]}]).status_code == 200
    try:
        wait_proxied(linked, proxy.uri, linked.dcs[FAR].proxy.tls_uri)
        assert len(commands(linked)) == 1, commands(linked)
    finally:
        assert linked.console.request("POST", path, []).status_code == 200
        wait_proxied(linked, linked.dcs[HOME].proxy.uri, linked.dcs[FAR].proxy.tls_uri)
        linked.console.delete("/api/route", {**route, "public": False})


@pytest.fixture
def foreign_cluster(linked):
    """A cluster of another organization with one Redis in each of HOME and FAR: (its masters by DC)."""
    name, org = "foreign", {"orgId": 9, "orgName": "hotels"}
    masters = {dc: CrdtRedis(linked.workspace, f"foreign-{dc}", gid(linked, dc), namespace=name, **TIMES).start()
               for dc in (HOME, FAR)}
    if not any(o["orgId"] == org["orgId"] for o in linked.console.get("/api/organizations/all")):
        linked.console.post("/api/organizations", org)
    linked.console.post("/api/clusters", {
        "clusterName": name, "clusterType": "BI_DIRECTION", "dcs": [HOME, FAR], "desc": "of another organization",
        "organizationId": org["orgId"], "clusterAdminEmails": "dba@example.com"})
    linked.console.post(f"/api/shards/{name}/s1", [{"dcId": dc, "redises": r.address} for dc, r in masters.items()])
    yield masters
    linked.console.delete(f"/api/cluster/{name}?checkEmpty=false")
    for redis in masters.values():
        redis.stop()


def pulls(redis, upstream, servers):
    def is_so():
        p = redis.peers[upstream.gid]
        assert (p.address, p.proxy_servers) == (upstream.address, servers), p
        return p.up
    wait_until(is_so, LIMIT_S, f"{redis.name} to pull through {servers}")


def test_route_of_one_organization_leaves_the_others_direct(linked, foreign_cluster):
    ours, theirs = foreign_cluster[HOME], foreign_cluster[FAR]
    near = linked.dcs[HOME].proxy.uri
    pulls(ours, theirs, near)  # the route is for everybody still
    route = routes_from(linked, HOME)[0]
    our_org = next(o["id"] for o in linked.console.get("/api/organizations/all") if o["orgId"] == ORGANIZATION["orgId"])
    put_route(linked, route, orgId=our_org)
    try:
        pulls(ours, theirs, None)
        ours.clear_log()
        assert peer(linked).proxy_servers == near and peer(linked).up
        put_route(linked, route, orgId=our_org, clusterType="BI_DIRECTION")
        stays(lambda: not commands(linked, HOME) and not ours.log("peerof"), 1.0, "nothing changes for either")
    finally:
        put_route(linked, route)
    pulls(ours, theirs, near)
    assert not commands(linked, HOME)


def test_route_of_another_cluster_type_is_not_taken(linked):
    route = routes_from(linked, HOME)[0]
    put_route(linked, route, clusterType="ONE_WAY")
    try:
        wait_proxied(linked, None, None)
        assert peer(linked, FAR, HOME).proxy_servers == linked.dcs[FAR].proxy.uri, "the other direction has its own route"
    finally:
        put_route(linked, route)
    linked.wait_linked(timeout=LIMIT_S)
    assert len(commands(linked, HOME)) == 2 and not commands(linked, FAR), commands(linked)


def test_three_hops_end_to_end(linked, more_proxies):
    middle, _, middle_id = more_proxies(NEAR)
    route, far = routes_from(linked, HOME)[0], linked.dcs[FAR].proxy
    put_route(linked, route, optionProxyIds=str(middle_id))
    try:
        wait_proxied(linked, linked.dcs[HOME].proxy.uri, f"{middle.tls_uri} {far.tls_uri}")
        assert len(commands(linked, HOME)) == 1, commands(linked, HOME)
        target = f"TCP://{linked.master(FAR).address}"
        assert any(f"ROUTE {middle.tls_uri} {far.tls_uri} {target}" in line for line in linked.dcs[HOME].proxy.lines())
        assert any(f"ROUTE {far.tls_uri} {target}" in line for line in middle.lines())
        assert any(line.rstrip().split(";")[0].endswith(f"ROUTE {target}") for line in far.lines()), far.lines()[-5:]
        replicates(linked, FAR, HOME, "three-hops")
        for proxy in (linked.dcs[HOME].proxy, middle, far):
            proxy.cut()
        replicates(linked, FAR, HOME, "three-hops-again")
    finally:
        put_route(linked, route, optionProxyIds="")
    linked.wait_linked(timeout=LIMIT_S)


def test_dead_alternative_of_the_first_hop_does_not_matter(linked, more_proxies):
    """The proxy that is listed first refuses; Redis takes another after a failure, and nobody re-points anything."""
    dead, dead_id, _ = more_proxies(HOME)
    dead.refuse()
    route, near = routes_from(linked, HOME)[0], linked.dcs[HOME].proxy
    put_route(linked, route, srcProxyIds=f"{dead_id},{route['srcProxyIds']}")
    try:
        wait_proxied(linked, f"{dead.uri},{near.uri}", linked.dcs[FAR].proxy.tls_uri)
        near.cut()
        replicates(linked, FAR, HOME, "past-the-dead-proxy")
        wait_until(lambda: peer(linked).up, LIMIT_S, "the link")
        assert len(commands(linked, HOME)) == 1, commands(linked, HOME)
    finally:
        put_route(linked, route)
