"""Keepers that nobody wants any more on their containers: the removal of a deleted shard got lost with its metaserver; somebody else's.

One world: two DCs with two metaservers each, keepers in 'jq' only. The grace is seconds here.
"""
import pytest

from harness.cluster import World
from harness.processes import stays, wait_until

HOME, AWAY = "jq", "fra"
GRACE_S = 3.0
ORPHANS = {"meta.refresh.milli": 1000, "meta.keeper.orphan.check.milli": 500, "meta.keeper.orphan.grace.milli": int(GRACE_S * 1000)}
FOREIGN, FOREIGN_PORT = 990001, 7990


@pytest.fixture(scope="module")
def world(zookeepers):
    with World(dcs=[HOME, AWAY], shards=0, metas=2, containers={HOME: 2, AWAY: 0}, zookeepers=zookeepers, namespace="orphans",
               meta_settings=ORPHANS) as w:
        yield w.start()


def inventory(meta):
    return meta.get("/api/meta/v2/keeperinventory")


def orphan(meta, shard):
    """The first orphan of the shard as this metaserver sees it, or None."""
    return next((o for o in inventory(meta)["orphans"] if o["shardDbId"] == shard), None)


def containers_with(world, shard):
    return [c for c in world.dcs[HOME].containers if shard in c.keepers()]


def owner_of(world, cluster, shard):
    def find():
        for meta in world.dcs[HOME].metas:
            shards = meta.get("/api/current/debug")["shards"] if meta.running else []
            if any(s["cluster"] == cluster.name and s["shard"] == shard for s in shards):
                return meta
        return None
    return wait_until(find, 20, f"an owner of {shard}")


def test_the_owner_dies_as_the_shard_is_deleted(world):
    """Nobody owns the slot while the shard goes, so nobody is told: the next owner finds its keepers, and leaves the others alone."""
    cluster = world.one_way("brief", shards=2, keepers=[HOME]).create()
    cluster.wait_whole()
    stays_id, gone_id = cluster.db_ids("s1")[1], cluster.db_ids("s2")[1]
    pids = {k.address: k.pid for k in cluster.keepers(HOME, "s1")}
    owner = owner_of(world, cluster, "s2")
    survivor = next(m for m in world.dcs[HOME].metas if m is not owner)
    owner.kill()
    cluster.remove_shard("s2")
    found = wait_until(lambda: orphan(survivor, gone_id), 20, "the keepers to be found")
    assert found["wasOurs"] and len(containers_with(world, gone_id)) == 2
    wait_until(lambda: not containers_with(world, gone_id), 40, "the keepers of the deleted shard to be removed")
    assert len(containers_with(world, stays_id)) == 2
    assert {k.address: k.pid for k in cluster.keepers(HOME, "s1")} == pids
    wait_until(lambda: orphan(survivor, gone_id) is None, 10, "the orphans to be forgotten")
    assert survivor.metrics()["xpipe_keeper_orphans_removed_total"] == 2
    owner.start()
    world.console.delete(f"/api/cluster/{cluster.name}?checkEmpty=false")
    wait_until(lambda: not containers_with(world, stays_id), 30, "the keepers of the removed cluster to be removed")


def test_keepers_of_another_console_are_left_alone_and_reported(world):
    container = world.dcs[HOME].containers[0]
    foreign = container.add(FOREIGN, FOREIGN_PORT)
    pid = foreign.pid
    for meta in world.dcs[HOME].metas:
        wait_until(lambda m=meta: (orphan(m, FOREIGN) or {}).get("verdict") == "reported", 30, f"{meta.name} to report it")
        assert orphan(meta, FOREIGN)["keeper"] == foreign.address and not orphan(meta, FOREIGN)["wasOurs"]
        assert meta.metrics()['xpipe_keeper_orphans{verdict="reported"}'] == 1
    stays(lambda: foreign.pid == pid and container.keepers().get(FOREIGN), GRACE_S, "the keeper of another console to live")


def test_an_operator_may_have_them_removed(world):
    container = world.dcs[HOME].containers[0]
    if FOREIGN not in container.keepers():
        container.add(FOREIGN, FOREIGN_PORT)
    for meta in world.dcs[HOME].metas:
        meta.settings["meta.keeper.orphans"] = "remove"
        meta.reload()
    wait_until(lambda: FOREIGN not in container.keepers(), 40, "it to be removed")


def test_a_container_that_answers_nonsense_says_nothing(world):
    """Neither its list nor its consent counts: keepers are added once it makes sense again."""
    first, second = world.dcs[HOME].containers
    for container in (first, second):
        container.play("garbage")
    cluster = world.one_way("late", keepers=[HOME]).create()
    repl_id = cluster.db_ids("s1")[1]
    metas = world.dcs[HOME].metas
    wait_until(lambda: all(not c["answered"] for m in metas for c in inventory(m)["containers"]), 20, "the lists to be refused")
    wait_until(lambda: sum(m.metrics()["xpipe_container_garbage_total"] for m in metas) >= 2, 20, "the consents to be refused")
    assert not any(f"keeper.started repl_id={repl_id} " in c.log_path.read_text() for c in (first, second))
    for container in (first, second):
        container.play()
    cluster.wait_whole()
    assert any(f"keeper.started repl_id={repl_id} " in c.log_path.read_text() for c in (first, second))
    assert len(containers_with(world, repl_id)) == 2
