"""Whole switches of one-way clusters without keepers: console, two metaservers, real Redis, writers that notice the outage."""
import pytest

from harness.cluster import World
from harness.processes import wait_until
from harness.scripted import ScriptedServer
from harness.switching import Switch, Writers

HOME, AWAY = "jq", "fra"
SHARDS = 2
GAP_MS = 2000.0  # bench measures; here a machine does other things beside


class Hook(ScriptedServer):
    """The webhook that is told of switches."""

    def answer(self, method, path, body):
        return 200, {}

    def told(self):
        return [body for _, path, body in list(self.requests) if path == "/hook"]


@pytest.fixture(scope="module")
def hook():
    with Hook() as server:
        yield server


@pytest.fixture(scope="module")
def world(zookeepers, hook):
    settings = {"console.migration.webhook.url": hook.url + "/hook", "console.migration.drain.timeout.ms": 1000,
                "console.migration.outage.max.ms": 3000}
    with World(dcs=[HOME, AWAY], shards=0, metas=1, zookeepers=zookeepers, namespace="switch",
               console_settings=settings) as w:
        yield w.start()


@pytest.fixture(scope="module")
def orders(world):
    cluster = world.one_way("orders", shards=SHARDS, replicas=1).create()
    cluster.wait_whole()
    return cluster


def other(cluster):
    return AWAY if cluster.primary == HOME else HOME


def active_dc(world, cluster):
    return world.console.get(f"/api/dc/{HOME}/cluster/{cluster.name}")["activeDc"].lower()


def switch_with_writers(world, cluster, mode="planned"):
    """A whole switch to the other DC; returns it with the writers, which have ended."""
    switch = Switch(world, cluster, other(cluster), mode)
    with Writers(cluster) as writers:
        switch.start()
        status = switch.wait_over()
        if status == "Success":
            writers.wait_in(switch.target)
    print(f"{status} {switch.reason}\n{switch.timeline()}\nlongest gaps: {writers.gaps_ms()} ms")
    return switch, writers


def test_a_planned_switch_there_and_back(world, orders, hook):
    for _ in range(2):
        before = len(hook.told())
        switch, writers = switch_with_writers(world, orders)
        assert switch.status == "Success"
        assert max(writers.gaps_ms().values()) < GAP_MS
        assert writers.lost() == []
        assert active_dc(world, orders) == switch.target
        told, = hook.told()[before:]
        assert told["dc"] == switch.target and told["cluster"] == "orders"
        assert sorted(told["masters"]) == sorted(orders.master(shard).address for shard in orders.shards)
        switch.wait_followed()
        orders.wait_whole()
        metrics = world.console.metrics()
        assert metrics['xpipe_migration_write_gap_seconds_count{result="switched"}'] == 1
        assert metrics['xpipe_migrations_total{status="Success"}'] == 1


def test_without_the_sources_metaserver_it_is_fenced_by_other_ways(world, orders):
    meta = world.dcs[orders.primary].meta
    switch = Switch(world, orders, other(orders), "disaster")
    meta.kill()
    with Writers(orders) as writers:
        switch.start()
        assert switch.wait_over() == "Success", switch.timeline()
        writers.wait_in(switch.target)
    print(f"{switch.timeline()}\nlongest gaps: {writers.gaps_ms()} ms")
    assert [shard["unfenced"] for shard in switch.shards()] == [False] * SHARDS
    assert writers.lost() == []
    meta.start()
    switch.wait_followed(settings=False)  # not yet: who comes back knows nothing of a fence that others made
    orders.wait_whole()


def test_a_dead_destination_is_found_by_the_check(world, orders):
    switch = Switch(world, orders, other(orders))
    meta = world.dcs[switch.target].meta
    meta.kill()
    with Writers(orders) as writers:
        switch.start()
        assert switch.wait_over() == "CheckingFail", switch.timeline()
    assert switch.target in switch.reason
    assert max(writers.gaps_ms().values()) < GAP_MS and writers.lost() == []
    assert active_dc(world, orders) == orders.primary
    meta.start()
    switch.forget()
    orders.wait_whole()


def test_an_event_over_rest_its_canary_first(world):
    console = world.console
    clusters = [world.one_way(f"event{i}", shards=1).create() for i in range(3)]
    for cluster in clusters:
        cluster.wait_whole()
    wait_until(lambda: console.get("/api/migration/migration/system/health/status")["state"] == 0, 40, "a healthy machinery")
    prepared = console.request("POST", "/api/migration/checkandprepare", {
        "fromIdc": HOME, "toIdc": AWAY, "clusters": [c.name for c in clusters], "mode": "planned"}).json()
    assert all(r["success"] for r in prepared["results"]), prepared
    ticket = prepared["ticketId"]
    with Writers(clusters[0]) as writers:
        assert console.request("POST", "/api/migration/domigration", {"ticketId": ticket}).json()["success"]

        def over():
            return all(r["status"] == "SUCCESS" for r in console.get(f"/api/migration/checkstatus/{ticket}")["results"])
        wait_until(over, 20, "the event to be over")
        writers.wait_in(AWAY)
    clusters[0].primary = AWAY
    assert writers.lost() == [] and max(writers.gaps_ms().values()) < GAP_MS
    for cluster in clusters:
        cluster.primary = AWAY
        cluster.wait_whole()
