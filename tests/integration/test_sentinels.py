"""Sentinel groups from REST to real sentinels: the console chooses, the metaserver keeps the monitors, sentinels promote, all follow."""
import pytest

from harness.cluster import World
from harness.processes import stays, wait_until
from harness.redis_server import Sentinel

HOME, AWAY = "jq", "fra"
SETTINGS = {"meta.sentinel.check.milli": 500, "meta.sentinel.differs.milli": 2000}
LIMIT_S = 30
PERIODS_S = 3  # some periods: long enough to see what should not come


@pytest.fixture(scope="module")
def world(zookeepers):
    with World(dcs=[HOME, AWAY], shards=0, zookeepers=zookeepers, namespace="sentinels", meta_settings=SETTINGS) as w:
        yield w.start()


def group_of(world, dc, names):
    """Sentinels, registered as a group."""
    sentinels = [Sentinel(world.workspace, name).start() for name in names]
    dc_id = next(d["dc_id"] for d in world.console.get("/api/dc")["payload"] if d["dc_name"] == dc)
    world.console.post("/api/sentinels", {"clusterType": "ONE_WAY", "sentinels": [
        {"dcId": dc_id, "sentinelIp": s.ip, "sentinelPort": s.port} for s in sentinels]})
    return sentinels


@pytest.fixture(scope="module")
def home_sentinels(world):
    return group_of(world, HOME, ["sentinel-1", "sentinel-2", "sentinel-3"])


def guard(world, sentinels, request, replicas):
    """A cluster of its own for each test, looked after by the group; without keepers, so that sentinels see the relay."""
    name = request.node.name.replace("test_", "")[:40]
    cluster = world.one_way(name, replicas=replicas, keepers=[]).create()
    cluster.wait_whole()
    wait_until(lambda: all_watch(sentinels, cluster, cluster.master().address), LIMIT_S, "the monitors")
    return cluster


@pytest.fixture
def guarded(world, home_sentinels, request):
    return guard(world, home_sentinels, request, replicas=1)


@pytest.fixture
def lonely(world, home_sentinels, request):
    """A master without any replica in its DC."""
    return guard(world, home_sentinels, request, replicas=0)


def monitor(cluster, dc=HOME):
    return f"{cluster.name}+s1+{dc}"


def all_watch(sentinels, cluster, address):
    return {s.watched(monitor(cluster)) for s in sentinels} == {address}


def seen(sentinel, cluster):
    """The replicas that it knows, with their priorities."""
    rows = [dict(zip(row[::2], row[1::2])) for row in sentinel.run("SENTINEL", "REPLICAS", monitor(cluster))]
    return {f"{row['ip']}:{row['port']}": row["slave-priority"] for row in rows}


def knows(sentinel, cluster, replica, away):
    """It has seen the replica, and that those of the other DC, if it has found any, are not to be promoted."""
    priorities = seen(sentinel, cluster)
    return priorities.get(replica.address) == "100" and all(priorities.get(a, "0") == "0" for a in away)


def be_quick(sentinels, cluster):
    """A second of silence is enough for them; they know each other."""
    for sentinel in sentinels:
        sentinel.run("SENTINEL", "SET", monitor(cluster), "down-after-milliseconds", "1000")
    wait_until(lambda: all(len(s.run("SENTINEL", "SENTINELS", monitor(cluster))) == 2 for s in sentinels), LIMIT_S,
               "the sentinels to know each other")


def priority(redis):
    return redis.run("CONFIG", "GET", "replica-priority")[1]


def gave_up(sentinel, cluster):
    """It tried to fail over and found nobody fit."""
    return any("-failover-abort-no-good-slave" in line and monitor(cluster) in line
               for line in sentinel.log_path.read_text(errors="replace").splitlines())


def shard_query(cluster):
    return f"/api/shard/sentinels?dc={HOME}&cluster={cluster.name}&shard=s1"


def test_sentinels_promote_and_all_follow(world, home_sentinels, guarded):
    old = guarded.master()
    be_quick(home_sentinels, guarded)
    guarded.write("k", "before")
    guarded.wait_read("k", "before")
    away = {r.address for r in guarded.redises[AWAY]["s1"]}
    replica = next(r for r in guarded.redises[HOME]["s1"] if r is not old)
    wait_until(lambda: all(knows(s, guarded, replica, away) for s in home_sentinels), LIMIT_S, "the sentinels to know the replicas")
    old.kill()
    wait_until(lambda: guarded.master() is replica, 60, "a promotion")
    wait_until(lambda: all_watch(home_sentinels, guarded, guarded.master().address), LIMIT_S, "the sentinels to agree")
    guarded.wait_whole()
    guarded.write("k", "after")
    guarded.wait_read("k", "after")
    old.start()
    guarded.wait_whole()  # the sentinels made it a replica
    assert all_watch(home_sentinels, guarded, guarded.master().address)


def test_the_relay_of_another_dc_is_never_promoted(home_sentinels, lonely):
    """The only replica that is left: sentinels see it, try, and find nobody who may be promoted. With its config file it stays so."""
    master, relay = lonely.master(), lonely.redises[AWAY]["s1"][0]
    wait_until(lambda: all(seen(s, lonely) == {relay.address: "0"} for s in home_sentinels), LIMIT_S, "the sentinels to see the relay")
    be_quick(home_sentinels, lonely)
    relay.kill()
    relay.start()
    assert priority(relay) == "0", "written into its configuration"
    lonely.wait_whole()
    lonely.write("k", "v")
    lonely.wait_read("k", "v")
    master.kill()
    wait_until(lambda: any(gave_up(s, lonely) for s in home_sentinels), 60, "a failover without a candidate")
    stays(lambda: relay.role == "slave" and all_watch(home_sentinels, lonely, master.address), PERIODS_S, "the relay behind a dead master")
    master.start()
    lonely.wait_whole()


def test_who_comes_from_a_backup_dc_may_be_promoted_again(guarded):
    """After a switchover: the 0 of the master shows where it came from. One that an operator gave a replica stays."""
    master = guarded.master()
    replica = next(r for r in guarded.redises[HOME]["s1"] if r is not master)

    def set_and_reconnect(redis, value):  # who connects anew is asked at once
        redis.run("CONFIG", "SET", "replica-priority", value)
        redis.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    set_and_reconnect(replica, "0")
    stays(lambda: priority(replica) == "0", PERIODS_S, "an operator's 0")
    set_and_reconnect(master, "0")
    wait_until(lambda: (priority(replica), priority(master)) == ("100", "100"), LIMIT_S, "both to be fit again")


def test_a_wrong_monitor_is_put_right(world, home_sentinels, guarded):
    one = home_sentinels[0]
    one.run("SENTINEL", "REMOVE", monitor(guarded))
    wait_until(lambda: one.watched(monitor(guarded)), LIMIT_S, "the monitor that was taken away")

    def is_planted():  # the metaserver may be faster between the two
        one.run("SENTINEL", "REMOVE", monitor(guarded))
        return one.run("SENTINEL", "MONITOR", monitor(guarded), "127.0.0.1", "1", "2") == "OK"
    wait_until(is_planted, LIMIT_S, "a wrong monitor to be there")
    wait_until(lambda: all_watch(home_sentinels, guarded, guarded.master().address), LIMIT_S, "the right address")


def test_a_backup_dc_has_no_monitor(world, guarded):
    """What a former primary DC left behind would promote there."""
    left = Sentinel(world.workspace, f"sentinel-{guarded.name}").start()
    dc_id = next(d["dc_id"] for d in world.console.get("/api/dc")["payload"] if d["dc_name"] == AWAY)
    redis = guarded.redises[AWAY]["s1"][0]
    left.run("SENTINEL", "MONITOR", monitor(guarded, AWAY), redis.ip, redis.port, 1)
    world.console.post("/api/sentinels", {"clusterType": "ONE_WAY", "sentinels": [
        {"dcId": dc_id, "sentinelIp": left.ip, "sentinelPort": left.port}]})
    world.console.post(f"/api/shard/sentinels?dc={AWAY}&cluster={guarded.name}&shard=s1")
    wait_until(lambda: left.watched(monitor(guarded, AWAY)) is None, LIMIT_S, "the monitor to go")


def test_who_leaves_takes_its_monitors_along(world, home_sentinels, guarded):
    world.console.delete(shard_query(guarded))
    wait_until(lambda: all_watch(home_sentinels, guarded, None), LIMIT_S, "the monitors to go with the group")
    stays(lambda: all_watch(home_sentinels, guarded, None), PERIODS_S, "no monitor")
    world.console.post(shard_query(guarded))
    wait_until(lambda: all_watch(home_sentinels, guarded, guarded.master().address), LIMIT_S, "the monitors to come back")
    world.console.delete(f"/api/cluster/{guarded.name}?checkEmpty=false")
    wait_until(lambda: all_watch(home_sentinels, guarded, None), LIMIT_S, "the monitors to go with the cluster")
