"""One-way clusters kept right, with real daemons, ZooKeeper and Redis: keepers, trees without keepers, what dies and comes back.

One world for the module: two DCs, two metaservers and two keeper containers each. 'orders' has keepers in both DCs, 'plain' has none.
Each test starts from "everything is as it should be" and leaves it so.
"""
import time

import pytest

from harness.cluster import World
from harness.keepers import SESSION_MS
from harness.processes import Lateness, stays, wait_until

HOME, AWAY = "jq", "fra"
PUT_RIGHT_S = 2.0  # issue 4: what somebody changed by hand is right again
LOADED_S = 3.0     # how much longer a single wait may take on a machine that does other things beside
POLLS_S = 3.0      # long enough to see a command that should not come
SESSION_S = SESSION_MS / 1000


@pytest.fixture(scope="module")
def world(zookeepers):
    with World(dcs=[HOME, AWAY], shards=0, metas=2, containers=2, zookeepers=zookeepers, namespace="one_way") as w:
        yield w.start()


@pytest.fixture(scope="module")
def orders(world):
    cluster = world.one_way("orders", replicas=1).create()
    cluster.wait_whole()
    return cluster


@pytest.fixture(scope="module")
def plain(world):
    cluster = world.one_way("plain", replicas=2, keepers=[]).create()
    cluster.wait_whole()
    return cluster


@pytest.fixture(autouse=True)
def whole_before_and_after(request):
    """Of the clusters that the test uses: whole, and data arrives everywhere."""
    clusters = [request.getfixturevalue(name) for name in ("orders", "plain") if name in request.fixturenames]
    for cluster in clusters:
        cluster.wait_whole()
    yield
    for cluster in clusters:
        cluster.wait_whole()
        value = str(time.time())
        cluster.write("proof", value)
        cluster.wait_read("proof", value)


def tree(world, dc, cluster, shard="s1"):
    return world.dcs[dc].meta.get(f"/api/meta/v2/tree/{cluster.name}/{shard}")


def active_told(world, dc, cluster):
    """getactivekeeper of the DC's metaservers: "ip:port", or None for the empty answer."""
    told = world.dcs[dc].meta.get(f"/api/meta/getactivekeeper/{cluster.name}/s1")
    return f"{told['ip']}:{told['port']}" if told else None


class Passed:
    """Seconds since it was made, without what the machine was late in the waits since."""

    def __init__(self):
        self._began, self._late = time.monotonic(), Lateness()

    @property
    def seconds(self):
        return time.monotonic() - self._began - self._late.allowance_s


def is_whole(cluster):
    return lambda: not cluster.problems()


# topologies


@pytest.mark.parametrize("keepers", [[HOME], [AWAY]], ids=["primary", "backup"])
def test_keepers_in_one_dc_only(world, keepers):
    cluster = world.one_way(f"only-{keepers[0]}", keepers=keepers, replicas=1).create()
    cluster.wait_whole()
    cluster.write("k", "v")
    cluster.wait_read("k", "v")
    world.console.delete(f"/api/cluster/{cluster.name}?checkEmpty=false")


def test_a_type_that_is_not_served_is_let_go_at_once(world):
    """Its metaservers do not wait for their next document; with its old type it is theirs again."""
    cluster = world.one_way("retyped", keepers=[], replicas=1).create()
    cluster.wait_whole()

    def is_served(dc):
        path = f"/api/meta/v2/tree/{cluster.name}/s1"
        return world.dcs[dc].meta.request("GET", path).status_code == 200
    passed = Passed()
    world.console.put("/api/cluster", {"clusterName": cluster.name, "clusterType": "SINGLE_DC"})
    wait_until(lambda: not is_served(HOME) and not is_served(AWAY), 20, "both DCs to let it go")
    assert passed.seconds < PUT_RIGHT_S + LOADED_S
    world.console.put("/api/cluster", {"clusterName": cluster.name, "clusterType": "ONE_WAY"})
    wait_until(lambda: is_served(HOME) and is_served(AWAY), 20, "both DCs to serve it again")
    cluster.wait_whole()
    world.console.delete(f"/api/cluster/{cluster.name}?checkEmpty=false")


@pytest.mark.slow
def test_keepers_pull_through_proxies(zookeepers):
    with World(dcs=[HOME, AWAY], shards=0, containers=2, proxied=[(HOME, AWAY)], zookeepers=zookeepers,
               namespace="one_way_proxied") as w:
        w.start()
        cluster = w.one_way("far", replicas=1).create()
        cluster.wait_whole()
        cluster.write("k", "v")
        cluster.wait_read("k", "v")
        head = wait_until(lambda: next(n for n in tree(w, AWAY, cluster)["nodes"] if n["kind"] == "keeper" and n["state"] == "ACTIVE"), 10,
                          "the metaserver to have seen what it did")
        assert w.dcs[AWAY].proxy.uri in head["routeSent"] and w.dcs[HOME].proxy.tls_uri in head["routeSent"]


def test_a_redis_is_never_sent_around_a_route(zookeepers):
    """A route applies, and a DC without keepers cannot use it: left as it is, and said so (D9)."""
    with World(dcs=[HOME, AWAY], shards=0, proxied=[(HOME, AWAY)], zookeepers=zookeepers, namespace="one_way_direct") as w:
        w.start()
        cluster = w.one_way("near").create()
        relay = cluster.redises[AWAY]["s1"][0]
        wait_until(lambda: "ROUTE_NEEDS_KEEPER" in str(tree(w, AWAY, cluster)), 20, "the verdict")
        stays(lambda: relay.role == "master", POLLS_S, "the Redis that is left as it is")


# what dies


@pytest.mark.parametrize("dc", [HOME, AWAY])
def test_active_keeper_killed(world, orders, dc):
    """The backup one takes over within its session and a second; the dead one is started again and is the backup."""
    old = orders.active_keeper(dc)
    passed = Passed()
    old.kill()
    wait_until(lambda: active_told(world, dc, orders) not in (None, old.address), 20, "another keeper to be told as active")
    told_s = passed.seconds
    wait_until(is_whole(orders), 30, "everything to follow the new active keeper")
    assert orders.active_keeper(dc).address != old.address
    assert told_s < SESSION_S + 1 + LOADED_S, f"told after {told_s:.1f} s"


def test_all_keepers_killed(world, orders):
    """getactivekeeper is empty until they run again; the others keep what they have."""
    for keeper in orders.keepers(HOME):
        keeper.kill()
    wait_until(lambda: active_told(world, HOME, orders) is None, SESSION_S + 3 + LOADED_S, "the empty answer")
    wait_until(lambda: active_told(world, HOME, orders), 30, "a keeper to be active again")
    orders.wait_whole()


def test_container_killed(world, orders):
    """Its keeper dies with it; the other one serves. It is started again when the container is back."""
    active = orders.active_keeper(AWAY)
    container = active.container
    container.kill()
    wait_until(lambda: active_told(world, AWAY, orders) not in (None, active.address), 20, "the other keeper to be active")
    value = str(time.time())
    orders.write("while-away", value)
    orders.wait_read("while-away", value)
    container.start()
    orders.wait_whole()
    assert len([k for k in orders.keepers(AWAY) if k.state]) == 2


def test_relay_killed(plain):
    """Another Redis of the DC takes its place; when it comes back it stands behind that one."""
    old = plain.relay(AWAY)
    passed = Passed()
    old.kill()
    wait_until(lambda: plain.relay(AWAY) is not old, 20, "another relay")
    assert passed.seconds < 3 + PUT_RIGHT_S + LOADED_S
    plain.wait_whole()
    value = str(time.time())
    plain.write("while-away", value)
    plain.wait_read("while-away", value)
    old.start()
    plain.wait_whole()
    assert plain.relay(AWAY) is not old, "nothing fails back"


def test_backup_redis_killed(orders):
    server = orders.redises[AWAY]["s1"][1]
    server.kill()
    server.start()
    orders.wait_whole()


def test_master_fails_over(orders):
    """Sentinels or an operator promote; keepers and the other DC follow."""
    old, new = orders.redises[HOME]["s1"]
    new.replicate(None)
    old.replicate(new, wait=False)
    orders.wait_whole()
    old.replicate(None)
    new.replicate(old, wait=False)
    orders.wait_whole()


# what is changed by hand


@pytest.mark.parametrize("change", ["made-master", "pointed-at-the-primary-dc", "pointed-at-nobody"])
def test_a_redis_changed_by_hand_is_put_right(orders, change):
    server = orders.redises[AWAY]["s1"][1]
    passed = Passed()
    if change == "made-master":
        server.replicate(None)
    elif change == "pointed-at-the-primary-dc":
        server.replicate(orders.master(), wait=False)
    else:
        server.run("SLAVEOF", "127.0.0.1", 1)
    wait_until(is_whole(orders), 20, "the Redis to be put right")
    assert passed.seconds < PUT_RIGHT_S + LOADED_S


def test_redis_of_the_primary_dc_is_left_alone(orders):
    replica = orders.redises[HOME]["s1"][1]
    replica.run("SLAVEOF", "127.0.0.1", 1)
    stays(lambda: replica.run("ROLE")[2] == 1, POLLS_S, "what somebody else decided")
    replica.replicate(orders.master())


def test_a_keeper_changed_by_hand_is_put_right(orders):
    backup = next(k for k in orders.keepers(AWAY) if k.state == "BACKUP")
    backup.setstate("ACTIVE", orders.master())
    wait_until(is_whole(orders), 20, "the keeper to be put right")
    active = orders.active_keeper(HOME)
    active.setstate("BACKUP", orders.keepers(HOME)[0] if orders.keepers(HOME)[0].address != active.address else orders.keepers(HOME)[1])
    wait_until(is_whole(orders), 20, "the active keeper to be put right")


def test_a_chain_turned_upside_down_is_put_right(plain):
    """The relay follows one that follows it: a loop, cut at its head."""
    relay = plain.relay(AWAY)
    other = next(r for r in plain.redises[AWAY]["s1"] if r is not relay)
    relay.run("SLAVEOF", other.ip, other.port)
    wait_until(is_whole(plain), 20, "the loop to be cut")


# metaservers


def test_metaservers_come_and_go_and_no_keeper_notices(world, orders):
    """Slots move, members are killed and restarted: no keeper is stopped, none gets a command, since nothing is wrong."""
    keepers = [k for dc in (HOME, AWAY) for k in orders.keepers(dc)]
    pids = {k.address: k.pid for k in keepers}
    for k in keepers:
        k.clear_log()
    for dc in (HOME, AWAY):
        first, second = world.dcs[dc].metas
        first.kill()
        first.start()
        second.restart()
    orders.wait_whole()
    stays(is_whole(orders), POLLS_S, "a tree at peace")
    assert {k.address: k.pid for k in keepers} == pids
    for k in keepers:
        states = {words[2].upper() for words in k.log("keeper")}
        assert states <= {k.state}, f"{k} was told {k.log('keeper')}"


# metadata


def test_a_keeper_taken_out_and_a_pair_put_in(world, orders):
    """DELETE keepers: they go from their containers, the Redis of the DC form a chain. POST: new ones, and everything behind them."""
    repl_id = orders.db_ids(dc=AWAY)[1]
    orders.remove_keepers(AWAY)
    wait_until(lambda: all(repl_id not in c.keepers() for c in world.dcs[AWAY].containers), 60, "the keepers to be removed")
    orders.wait_whole()
    orders.add_keepers(AWAY)
    orders.wait_whole()
    assert len(orders.keepers(AWAY)) == 2


def test_a_shard_that_is_removed_takes_its_keepers_along(world):
    cluster = world.one_way("brief", shards=2).create()
    cluster.wait_whole()
    repl_ids = {shard: cluster.db_ids(shard)[1] for shard in cluster.shards}
    cluster.remove_shard("s2")

    def have(repl_id):
        return [c for dc in world.dcs.values() for c in dc.containers if repl_id in c.keepers()]
    wait_until(lambda: not have(repl_ids["s2"]), 30, "the keepers of the removed shard to be removed")
    assert len(have(repl_ids["s1"])) == 4
    world.console.delete(f"/api/cluster/{cluster.name}?checkEmpty=false")
    wait_until(lambda: not have(repl_ids["s1"]), 30, "the keepers of the removed cluster to be removed")


def test_the_console_hears_which_keeper_is_active(world, orders):
    def told():
        document = world.console.get(f"/api/dc/{AWAY}/cluster/{orders.name}")
        return [f"{k['ip']}:{k['port']}" for k in document["shards"]["s1"]["keepers"] if k["active"]]
    wait_until(lambda: told() == [orders.active_keeper(AWAY).address], 20, "the report to arrive")


def test_a_higher_priority_moves_the_active_keeper(world, orders):
    page = f"/console/clusters/{orders.name}/dcs/{AWAY}/shards/s1"
    model = world.console.get(page)
    backup = next(k for k in orders.keepers(AWAY) if k.state == "BACKUP")

    def set_priority(value):
        for row in model["keepers"]:
            row["keeperPriority"] = value if (row["redisIp"], row["redisPort"]) == (backup.ip, backup.port) else 1
        assert world.console.request("POST", page, model).status_code == 200
    set_priority(2)
    wait_until(lambda: backup.state == "ACTIVE", 20, "the keeper of the higher priority to be active")
    orders.wait_whole()
    set_priority(1)
    orders.wait_whole()
