"""The console crashes at every step of a switch (fault points; MODE=debug, asan, tsan) and is started again: the switch ends by itself, with one
writable master in one DC, nothing acknowledged is lost, and the cluster is unlocked (dr-switchover.md 6.2 F21, F22).
"""
import pytest
import redis

from harness.cluster import World
from harness.processes import wait_until
from harness.switching import Switch, Writers

HOME, AWAY = "jq", "fra"
OVER_S = 30.0  # F21: terminal at most so long after the restart

# Where it crashes, and how the switch has to end: once anything may have been promoted, forward. All points: `make check-scenarios T=F21`.
POINTS = [
    ("migration_before_commit", None), ("migration_after_check", None), ("migration_after_hold=crash@2", "Aborted"),
    ("migration_after_freeze", "Aborted"), ("migration_before_promote", "Success"), ("migration_after_promote=crash@2", "Success"),
    ("migration_after_publish", "Success"), ("migration_before_follow", "Success"),
]


@pytest.fixture(scope="module")
def world(zookeepers):
    with World(dcs=[HOME, AWAY], shards=0, metas=1, zookeepers=zookeepers, namespace="broken_switch") as w:
        w.start()
        if w.dcs[HOME].meta.request("POST", "/debug/fault", {"points": ""}).status_code == 404:
            pytest.skip("this build has no fault points")
        yield w


@pytest.fixture(scope="module")
def orders(world):
    cluster = world.one_way("orders", shards=2, replicas=1).create()
    cluster.wait_whole()
    return cluster


def start_with(console, point):
    console.env["XPIPE_FAULTS"] = point if "=" in point else f"{point}=crash"
    console.start(wait=False)


def restart_after_crash(console):
    assert console.wait_exit(OVER_S) not in (0, None)
    del console.env["XPIPE_FAULTS"]
    console.start()


def writable(cluster, shard):
    """The DCs with a Redis that takes writes."""
    found = set()
    for dc in cluster.dcs:
        for server in cluster.redises[dc][shard]:
            try:
                server.run("SET", "probe", dc)
                found.add(dc)
            except redis.exceptions.RedisError:
                pass
    return found


def check_world(world, cluster, writers):
    for shard in cluster.shards:
        assert writable(cluster, shard) == {cluster.primary}
    assert writers.lost() == []
    document = world.console.get(f"/api/dc/{HOME}/cluster/{cluster.name}")
    assert document["activeDc"].lower() == cluster.primary
    cluster.wait_whole()


@pytest.mark.parametrize(("point", "expected"), POINTS)
def test_a_crash_of_the_console_ends_well(world, orders, point, expected):
    switch = Switch(world, orders, AWAY if orders.primary == HOME else HOME)
    with Writers(orders) as writers:
        start_with(world.console, point)
        restart_after_crash(world.console)
        status = switch.wait_over(OVER_S)
        writers.wait_in(orders.primary)
    print(f"{point}: {status} {switch.reason}\n{switch.timeline()}\nlongest gaps: {writers.gaps_ms()} ms")
    assert status == expected if expected else status in ("Success", "Aborted")
    switch.wait_followed()
    wait_until(lambda: switch.cluster_status() == ("Normal", 0), 5, "the cluster to be unlocked")
    check_world(world, orders, writers)


@pytest.mark.parametrize("point", ["migration_before_release", "migration_after_release", "migration_before_demote"])
def test_a_crash_of_the_console_on_its_way_back(world, orders, point):
    """The destination's Redis of one shard refuse to be promoted: its metaserver stops before; then the console on the way back."""
    switch = Switch(world, orders, AWAY if orders.primary == HOME else HOME)
    with Writers(orders) as writers:
        start_with(world.console, f"migration_before_drain=error,{point}=crash")
        if point == "migration_before_demote":  # nothing was promoted: nobody is demoted
            status = switch.wait_over(OVER_S)
            world.console.stop()
            del world.console.env["XPIPE_FAULTS"]
            world.console.start()
        else:
            restart_after_crash(world.console)
            status = switch.wait_over(OVER_S)
        writers.wait_in(orders.primary)
    print(f"{point}: {status} {switch.reason}\n{switch.timeline()}")
    assert status == "Aborted"
    switch.wait_followed()
    check_world(world, orders, writers)


@pytest.mark.parametrize("point", ["meta_before_fence", "meta_after_fence", "meta_before_promote", "meta_after_promote",
                                   "meta_before_follow", "meta_after_follow"])
def test_a_crash_of_a_metaserver_ends_well(world, orders, point):
    """The metaserver that carries the step out is gone in the middle of it; where the switch pauses, it goes on when it is asked."""
    switch = Switch(world, orders, AWAY if orders.primary == HOME else HOME)
    victim = world.dcs[switch.target if "promote" in point else switch.source].meta
    answer = victim.request("POST", "/debug/fault", {"points": f"{point}=crash"})
    assert answer.status_code == 200, answer.text
    with Writers(orders) as writers:
        switch.start()
        assert victim.wait_exit(OVER_S) not in (0, None)
        victim.start()
        status = switch.wait_over(OVER_S)
        print(f"{point}: {status} {switch.reason}\n{switch.timeline()}")
        if status not in ("Success", "Aborted"):
            assert switch.reason, "a paused switch says why"
            wait_until(lambda: victim.get("/api/current/debug")["shards"], OVER_S, "the metaserver to work on its shards again")
            switch.process()
            status = switch.wait_over(OVER_S)
        writers.wait_in(orders.primary)
    assert status in ("Success", "Aborted"), f"{status} {switch.reason}\n{switch.timeline()}"
    switch.wait_followed()
    wait_until(lambda: switch.cluster_status() == ("Normal", 0), 5, "the cluster to be unlocked")
    check_world(world, orders, writers)
