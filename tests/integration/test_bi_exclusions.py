"""DCs of a bi-direction cluster out of client routing and back: the routing platform is told, the links of those that stay are shown."""
import pytest

from harness.cluster import World
from harness.processes import wait_until
from harness.scripted import ScriptedServer

HOME, NEAR, FAR = "jq", "oy", "fra"


class Credis(ScriptedServer):
    """The routing platform. 'says' is its answer."""

    def __init__(self):
        self.says = 200, {"success": True, "message": "fine"}
        super().__init__()

    def answer(self, method, path, body):
        return self.says

    def told(self):
        return [(path, body) for _, path, body in self.seen("POST", "/keeperApi/excludedIdcs/")]


@pytest.fixture(scope="module")
def credis():
    with Credis() as server:
        yield server


@pytest.fixture(scope="module")
def world(zookeepers, credis):
    settings = {"credis.service.address": credis.url + "/", "console.migration.publish.timeout.ms": 1000,
                "console.migration.check.timeout.ms": 1000}
    with World(dcs=[HOME, NEAR, FAR], shards=1, metas=1, zookeepers=zookeepers[:2], namespace="exclusions",
               console_settings=settings) as w:
        w.start()
        w.create_cluster()
        w.wait_linked()
        wait_until(lambda: all(link_of(w, dc, peer) == "up" for dc in w.dcs for peer in w.dcs if dc != peer), 20, "metaservers to see it")
        yield w


def link_of(world, dc, peer):
    """How this DC's metaserver last saw what comes from the other one."""
    peers = world.dcs[dc].meta.get(f"/api/meta/v2/peers/{world.cluster}/s1")["peers"]
    return next(p["actual"]["linkStatus"] for p in peers if p["dc"] == peer)


def sync(world, *excluded):
    return world.console.request("POST", "/console/bi-migration/sync", {
        "clusters": [{"id": 1, "clusterName": world.cluster, "clusterType": "BI_DIRECTION"}],
        "excludedDcs": [{"dcName": dc} for dc in excluded]}).json()


def excluded(world):
    return world.console.get(f"/api/cluster/{world.cluster}/excludedDcs")


def last_event(world):
    return world.console.get("/console/bi-migration/events")[0]


def test_the_platform_is_told_and_the_links_are_shown(world, credis):
    world.master(HOME).run("SET", "k", "v")
    answer = sync(world, HOME)
    assert (answer["state"], answer["message"]) == (0, "success")
    assert credis.told()[-1] == (f"/keeperApi/excludedIdcs/{world.cluster}", [HOME])
    assert excluded(world) == [HOME]
    item, = answer["clusters"]
    for when in ("before", "after"):
        assert {(i["dc"], i["peer"], i["excluded"]) for i in item[when]["links"]} == {
            (NEAR, HOME, True), (NEAR, FAR, False), (FAR, HOME, True), (FAR, NEAR, False)}
        assert all(i["status"] == "up" and i["shards"] == 1 and i["lagBytes"] >= 0 for i in item[when]["links"]), item
        assert item[when]["warnings"] == []
    event = last_event(world)
    assert (event["status"], event["publishInfo"], event["links"]) == ("Success", f'["{HOME}"]', item)
    assert sync(world)["state"] == 0
    assert credis.told()[-1][1] == [] and excluded(world) == []


def test_a_platform_that_refuses_leaves_a_record_that_says_so(world, credis):
    credis.says = 200, {"success": False, "message": "not now"}
    try:
        answer = sync(world, FAR)
        assert answer["state"] == -1 and "credis fail" in answer["message"]
        assert excluded(world) == []
        event = last_event(world)
        assert event["status"] == "Fail" and event["links"]["before"]["links"]
        assert "bi_migration.not_told" in world.console.log_tail(500)
    finally:
        credis.says = 200, {"success": True, "message": "fine"}
    assert sync(world, FAR)["state"] == 0 and excluded(world) == [FAR]
    assert sync(world)["state"] == 0


@pytest.mark.parametrize("says", [(500, {"success": True}), (200, b"no json"), (200, []), (200, {"Success": "yes"})], ids=str)
def test_an_answer_that_is_no_success(world, credis, says):
    credis.says = says
    try:
        assert sync(world, FAR)["state"] == -1
        assert excluded(world) == [] and last_event(world)["status"] == "Fail"
    finally:
        credis.says = 200, {"success": True, "message": "fine"}


def test_unknown_names_tell_nobody(world, credis):
    count = len(credis.told())
    assert "not found" in sync(world, "nowhere")["message"]
    assert "no DC would be left" in sync(world, HOME, NEAR, FAR)["message"]
    assert len(credis.told()) == count and excluded(world) == []


def test_a_dead_dc_goes_with_a_warning(world, credis):
    """The fire: its master and its metaserver are gone. What it has written last may be missing; the exclusion is made."""
    master = world.master(HOME)
    master.stop()
    meta = world.dcs[HOME].meta
    meta.stop()
    wait_until(lambda: all(link_of(world, dc, HOME) != "up" for dc in (NEAR, FAR)), 20, "the links to the dead DC to be down")
    answer = sync(world, HOME)
    assert answer["state"] == 0 and excluded(world) == [HOME]
    item, = answer["clusters"]
    assert {(w["code"], w["dc"]) for w in item["before"]["warnings"]} == {("L14", NEAR), ("L14", FAR)}
    links = {(i["dc"], i["peer"]): i for i in item["before"]["links"]}
    assert links[NEAR, HOME]["status"] == "down" and links[NEAR, HOME]["lagBytes"] is None
    assert links[NEAR, FAR]["status"] == "up"
    assert "bi_migration.link" in world.console.log_tail(500)


def test_one_that_stays_is_silent(world, credis):
    """HOME is dead still: excluding another one leaves it among those that stay."""
    answer = sync(world, FAR)
    assert answer["state"] == 0
    warnings = answer["clusters"][0]["after"]["warnings"]
    assert {("L10", HOME), ("L12", NEAR)} <= {(w["code"], w["dc"]) for w in warnings}
    assert sync(world)["state"] == 0
