"""One-way clusters over three DCs when keepers freeze, containers answer nonsense, and keepers register on the older path.

One world for the module; 'fra' has keepers of the older kind and a route, 'oy' keepers without a route.
"""
import time

import pytest

from harness.cluster import World
from harness.keepers import SESSION_MS
from harness.processes import stays, wait_until

DCS = ["jq", "fra", "oy"]
SOON = {"meta.keeper.retry.first.milli": 500, "meta.keeper.retry.max.milli": 2000}
SESSION_LIMIT_S = SESSION_MS / 1000 + 8


@pytest.fixture(scope="module")
def world(zookeepers):
    with World(dcs=DCS, shards=0, containers=2, proxied=[("jq", "fra")], zookeepers=[zookeepers[0]] * 3, meta_settings=SOON) as w:
        for dc in w.dcs.values():  # one ZooKeeper for all: a namespace each
            dc.meta.settings["zk.namespace"] = f"trouble-{dc.name}"
            for container in dc.containers:
                container.namespace = f"trouble-{dc.name}"
                container.layout = "shard" if dc.name == "fra" else "repl"
        yield w.start()


@pytest.fixture(scope="module")
def created(world):
    return world.one_way("orders", replicas=1).create()


@pytest.fixture
def orders(created):
    created.wait_whole()
    yield created
    created.wait_whole()
    value = str(time.time())
    created.write("proof", value)
    created.wait_read("proof", value)


def test_older_and_newer_election_path(world, orders):
    paths = {dc: f"/trouble-{dc}/keepers" for dc in DCS}
    with world.dcs["jq"].zookeeper.client() as client:
        wait_until(lambda: all(client.exists(p) for p in paths.values()), 5, "the elections")
        kinds = {dc: [name.split("_")[0] for name in client.get_children(path)] for dc, path in paths.items()}
    assert "cluster" in kinds["fra"] and "cluster" not in kinds["jq"] + kinds["oy"]
    assert all(orders.active_keeper(dc).link == "connected" for dc in DCS)


@pytest.mark.parametrize("dc", DCS)
def test_frozen_active_keeper_is_replaced_and_comes_back_as_backup(orders, dc):
    frozen, other = orders.active_keeper(dc), next(k for k in orders.keepers(dc) if k.state != "ACTIVE")
    frozen.pause()
    try:
        other.wait_state("ACTIVE", SESSION_LIMIT_S)
    finally:
        frozen.resume()
    frozen.wait_state("BACKUP", 20)
    assert orders.active_keeper(dc).address == other.address, "no fail-back"


@pytest.mark.parametrize("answer", ["garbage", "error"])
def test_container_that_answers_nonsense(orders, answer):
    """The other keeper takes over; the dead one is asked for again until its container has come to its senses."""
    dead = orders.active_keeper("fra")
    dead.container.play(answer)
    try:
        dead.kill()
        wait_until(lambda: orders.active_keeper("fra").address != dead.address, SESSION_LIMIT_S, "another active keeper")
        stays(lambda: dead.state is None, 2.0, "the container starting nothing")
    finally:
        dead.container.play()
    dead.wait_state("BACKUP", 20)


def test_silence_while_everything_is_right(orders):
    keepers = [k for dc in DCS for k in orders.keepers(dc)]
    for keeper in keepers:
        keeper.clear_log()
    stays(lambda: not any(k.log() for k in keepers), 3.0, "no command to any keeper")


def test_slow_container_holds_up_nobody(orders):
    """Its calls take longer than a keeper's session; the tree heals without it."""
    slow = orders.active_keeper("oy")
    slow.container.play("right", delay_ms=8000)
    try:
        slow.kill()
        wait_until(lambda: orders.active_keeper("oy").address != slow.address, SESSION_LIMIT_S, "another active keeper")
        orders.write("meanwhile", "1")
        orders.wait_read("meanwhile", "1")
    finally:
        slow.container.play()
    slow.wait_state("BACKUP", 30)
