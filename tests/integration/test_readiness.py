"""Readiness of one-way clusters for a switch: verdicts that follow what happens to real Redis, metaservers and metadata."""
import pytest

from harness.cluster import World
from harness.processes import wait_until

HOME, AWAY = "jq", "fra"
ROUND = {"console.dr.readiness.milli": 1000, "console.dr.readiness.settle.milli": 100, "console.migration.check.timeout.ms": 1000}
WAIT_S = 20.0


@pytest.fixture(scope="module")
def world(zookeepers):
    with World(dcs=[HOME, AWAY], shards=0, metas=1, zookeepers=zookeepers, namespace="readiness", console_settings=dict(ROUND)) as w:
        yield w.start()


@pytest.fixture(scope="module")
def orders(world):
    cluster = world.one_way("orders", shards=2, replicas=1).create()
    cluster.wait_whole()
    return cluster


@pytest.fixture(scope="module", autouse=True)
def other(world, orders):
    """A second cluster, so that there is more than one page."""
    cluster = world.one_way("other", shards=1).create()
    cluster.wait_whole()
    return cluster


def of(world, name="orders"):
    """The only destination of a cluster."""
    item, = world.console.get(f"/api/v2/clusters/{name}/dr-readiness")["destinations"]
    return item


def codes(item):
    return {reason["code"] for reason in item["reasons"]}


def wait_verdict(world, verdict, code=None, name="orders"):
    """The destination when it is so, for that reason among others: a look that a busy machine delays has reasons of its own."""
    def item_that_is_so():
        item = of(world, name)
        assert item["verdict"] == verdict and (code is None or code in codes(item)), item
        return item
    return wait_until(item_that_is_so, WAIT_S, f"{name} to be {verdict}")


def delete(world, name):
    world.console.delete(f"/api/cluster/{name}?checkEmpty=false")
    wait_until(lambda: name not in [i["cluster"] for i in world.console.get("/api/v2/dr/readiness")["items"]], WAIT_S, f"{name} to be gone")


def metric(world, verdict):
    return world.console.metrics()[f'xpipe_dr_readiness{{verdict="{verdict}"}}']


def test_a_whole_cluster_is_ready(world, orders):
    item = wait_verdict(world, "READY")
    assert (item["cluster"], item["from"], item["to"], item["shards"]) == ("orders", HOME, AWAY, 2)
    assert item["disasterVerdict"] == "READY" and item["reasons"] == [] and item["lagBytes"] >= 0

    def is_looked_at_again():
        before, now = item.copy(), of(world)
        item.update(now)
        assert now["verdict"] == before["verdict"], now  # a look that took too long: from then on
        return now["checkedAt"] != before["checkedAt"] and now["since"] == before["since"]
    wait_until(is_looked_at_again, WAIT_S, "another look with the same verdict since the same time")


def test_a_stopped_replica_warns_and_the_last_one_refuses(world, orders):
    spare, last = orders.redises[AWAY]["s2"]
    wait_verdict(world, "READY")
    last.stop()
    item = wait_verdict(world, "WARNING", "J40")
    reason, = [r for r in item["reasons"] if r["code"] == "J40"]
    assert reason["shard"] == "s2" and reason["level"] == "warning" and last.address in reason["text"]
    spare.stop()
    item = wait_verdict(world, "NOT_READY")
    assert item["disasterVerdict"] == "NOT_READY"
    assert item["reasons"][0]["level"] == "error" and item["reasons"][0]["shard"] == "s2"
    wait_until(lambda: metric(world, "NOT_READY") == 1, WAIT_S, "the metric")
    assert "readiness.not_ready" in world.console.log_tail(2000)
    items = world.console.get(f"/api/v2/dr/readiness?from={HOME}&verdict=not_ready")["items"]
    assert [i["cluster"] for i in items] == ["orders"]
    for server in (spare, last):
        server.start()
    wait_verdict(world, "READY")
    wait_until(lambda: "readiness.ready" in world.console.log_tail(2000), WAIT_S, "the log line")


def test_a_dead_master_is_no_plan_but_a_disaster(world, orders):
    master = orders.redises[HOME]["s1"][0]
    replica = orders.redises[HOME]["s1"][1]
    wait_verdict(world, "READY")
    for server in (master, replica):
        server.pause()
    assert wait_verdict(world, "NOT_READY", "J26")["disasterVerdict"] == "WARNING"
    for server in (master, replica):
        server.resume()
    wait_verdict(world, "READY")


def test_a_metaserver_that_is_silent_makes_it_unknown(world, orders):
    wait_verdict(world, "READY")
    meta = world.dcs[AWAY].meta
    meta.stop()
    item = wait_verdict(world, "UNKNOWN")
    assert codes(item) == {"R14"} and AWAY in item["reasons"][0]["text"]
    meta.start()
    wait_verdict(world, "READY")


def test_the_end_of_not_ready_is_told_after_an_unknown_time_too(world, orders):
    def counts():
        text = world.console.log_path.read_text()
        return [text.count(f" {name} ") for name in ("readiness.not_ready", "readiness.ready")]
    servers, meta = orders.redises[AWAY]["s2"], world.dcs[AWAY].meta
    wait_verdict(world, "READY")
    before = counts()
    for server in servers:
        server.stop()
    wait_verdict(world, "NOT_READY")
    meta.stop()
    wait_verdict(world, "UNKNOWN", "R14")
    for process in (*servers, meta):
        process.start()
    wait_verdict(world, "READY")

    def is_told():
        not_ready, ready = (now - then for now, then in zip(counts(), before))
        return not_ready == ready >= 1
    wait_until(is_told, WAIT_S, "a line for each end")


def test_a_silent_source_only_warns(world, orders):
    wait_verdict(world, "READY")
    meta = world.dcs[HOME].meta
    meta.stop()
    wait_verdict(world, "WARNING", "J12")
    meta.start()
    wait_verdict(world, "READY")


def test_what_an_event_holds_is_not_asked_about(world, orders):
    wait_verdict(world, "READY")
    event = world.console.request("POST", "/api/v2/migrations", {"from": HOME, "to": AWAY, "clusters": ["orders"]}).json()["id"]
    item = wait_verdict(world, "UNKNOWN")
    assert codes(item) == {"R20"} and str(event) in item["reasons"][0]["text"]
    assert world.console.request("POST", f"/api/v2/migrations/{event}/cancel", {}).status_code == 202
    wait_verdict(world, "READY")


def reload(console, settings):
    console.more_settings.update(settings)
    console.reload()
    name, value = next(iter(settings.items()))
    wait_until(lambda: console.get("/config")[name]["value"] == str(value), WAIT_S, f"{name} = {value}")


def test_a_change_of_the_metadata_is_looked_at_out_of_turn(world, orders):
    """The next round is an hour away."""
    wait_verdict(world, "READY")
    wait_verdict(world, "READY", name="other")
    reload(world.console, {"console.dr.readiness.milli": 3600000, "console.dr.readiness.age.max.milli": 7200000})
    others = []
    for word in ("one", "two"):
        before = of(world)["checkedAt"]
        world.console.put(f"/api/cluster/tag/orders/{word}")
        wait_until(lambda: of(world)["checkedAt"] != before, WAIT_S, "a look at the changed cluster")
        others.append(of(world, "other")["checkedAt"])
    assert others[0] == others[1]
    reload(world.console, ROUND | {"console.dr.readiness.age.max.milli": 900000})


def test_a_cluster_that_comes_and_goes(world):
    fresh = world.one_way("fresh", shards=1).create()
    fresh.wait_whole()
    wait_verdict(world, "READY", name="fresh")
    delete(world, "fresh")
    assert world.console.request("GET", "/api/v2/clusters/fresh/dr-readiness").status_code == 404


def test_nowhere_to_go(world):
    """A cluster whose only other DC is in another zone."""
    console = world.console
    console.post("/api/zone", {"name": "far"})
    zone = next(z for z in console.get("/api/zone/all") if z["zoneName"] == "far")
    console.post("/api/dc", {"zone_id": zone["id"], "dc_name": "mars", "description": "far away"})
    console.post("/api/clusters", {"clusterName": "alone", "clusterType": "ONE_WAY", "dcs": [HOME, "mars"], "desc": "d",
                                   "organizationId": world.organization_id, "clusterAdminEmails": "dba@example.com"})
    console.post("/api/shards/alone/s1", [{"dcId": HOME, "redises": "127.0.0.1:7777"}, {"dcId": "mars", "redises": "127.0.0.2:7777"}])
    item = wait_verdict(world, "NOT_READY", name="alone")
    assert item["to"] is None and codes(item) == {"R24"}
    delete(world, "alone")


def test_pages_and_filters(world, orders):
    wait_verdict(world, "READY")
    wait_verdict(world, "READY", name="other")
    get = world.console.get
    page = get("/api/v2/dr/readiness?limit=1")
    assert [i["cluster"] for i in page["items"]] == ["orders"] and page["next"]
    page = get(f"/api/v2/dr/readiness?limit=1&after={page['next']}")
    assert [i["cluster"] for i in page["items"]] == ["other"]
    assert get(f"/api/v2/dr/readiness?after={page['items'][0]['clusterId']}")["items"] == []
    assert [i["cluster"] for i in get("/api/v2/dr/readiness?cluster=RDE")["items"]] == ["orders"]
    assert get(f"/api/v2/dr/readiness?dc={HOME}")["items"] == []
    assert len(get(f"/api/v2/dr/readiness?dc={AWAY.upper()}&from={HOME}&verdict=READY")["items"]) == 2


@pytest.mark.parametrize("query, field", [("verdict=MAYBE", "verdict"), ("limit=0", "limit"), ("limit=1001", "limit"),
                                          ("limit=x", "limit"), ("after=-1", "after"), ("after=9223372036854775808", "after")])
def test_a_query_that_is_refused(world, query, field):
    answer = world.console.request("GET", f"/api/v2/dr/readiness?{query}")
    assert answer.status_code == 400 and answer.json()["detail"].startswith(f"{field}:"), answer.text
