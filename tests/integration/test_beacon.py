"""A monitor asks for a switch and is answered when it is over (dr-switchover.md 5.4): real console, metaservers and Redis."""
import threading
import time

import pytest

from harness.cluster import World
from harness.events import Clients
from harness.processes import wait_until

HOME, AWAY = "jq", "fra"
WORKERS = 2
WAIT_S = 4.0      # of the monitors that are answered before the end
PATIENT_S = 15.0  # of the others
SYNC = "/api/beacon/migration/sync"


@pytest.fixture(scope="module")
def world(zookeepers):
    settings = {"migration.timeout.milli": int(PATIENT_S * 1000), "console.migration.check.timeout.ms": 10000, "console.workers": WORKERS}
    with World(dcs=[HOME, AWAY], shards=0, metas=1, zookeepers=zookeepers, namespace="beacon", console_settings=settings) as w:
        yield w.start()


@pytest.fixture(scope="module")
def orders(world):
    cluster = world.one_way("orders", shards=2, replicas=1).create()
    cluster.wait_whole()
    return cluster


def groups(cluster, down=()):
    """What the monitor looks at: the cluster's Redis, as the console has them."""
    return [{"name": f"{shard}+{dc}", "idc": dc, "nodes": [r.address for r in redises], "down": dc in down, "masterGroup": dc == cluster.primary}
            for dc in cluster.dcs for shard, redises in cluster.redises[dc].items()]


def ask(world, cluster, down=(), **more):
    """(status, body, seconds) of a monitor that finds these DCs down."""
    failing = [g["name"] for g in groups(cluster, down) if g["down"]]
    body = {"clusterName": cluster.name, "isForced": False, "targetIDC": None, "failoverGroups": failing, "recoverGroups": [],
            "groups": groups(cluster, down), "checkResults": [], "extra": {}, **more}
    begin = time.monotonic()
    answer = world.console.request("POST", SYNC, body, timeout=30)
    return answer.status_code, answer.json(), time.monotonic() - begin


def set_wait(world, seconds):
    """How long a monitor waits for its answer."""
    value = int(seconds * 1000)
    world.console.more_settings["migration.timeout.milli"] = value
    world.console.reload()
    wait_until(lambda: world.console.get("/config")["migration.timeout.milli"]["value"] == str(value), 10, "the new setting")


def waiting(world):
    return world.console.metrics()["xpipe_migration_waiting_requests"]


def active_dc(world, cluster):
    return world.console.get(f"/api/dc/{HOME}/cluster/{cluster.name}")["activeDc"].lower()


def wait_followed(world, cluster):
    def settled():
        return all(r.run("CONFIG", "GET", "min-slaves-to-write")[1] == "0" for r in cluster.all_redises())
    wait_until(settled, 20, "the settings of the fence to be put back")
    cluster.wait_whole()


def switched(world, cluster):
    cluster.primary = AWAY if cluster.primary == HOME else HOME
    assert active_dc(world, cluster) == cluster.primary


def test_a_monitor_switches_and_is_answered_at_the_end(world, orders):
    done = {"code": 0, "msg": "success", "success": True}
    with Clients([orders]) as clients:
        assert ask(world, orders, [HOME])[:2] == (200, done)
        switched(world, orders)
        for shard in orders.shards:
            clients.follow(orders, shard, orders.master(shard).address)
        clients.wait_acked()
    assert clients.lost() == 0
    event = world.console.get("/console/migration/events?page=0&size=1")["data"][0]
    assert (event["event"]["operator"], event["event"]["eventTag"], event["status"], event["clusters"]) == ("Beacon", "Beacon", "Success", ["orders"])
    assert ask(world, orders, [HOME])[:2] == (200, done)  # again: it is away already
    assert world.console.get("/console/migration/events?page=0&size=1")["totalSize"] == 1
    wait_followed(world, orders)


def test_the_answer_is_503_while_it_goes_on_and_holds_no_thread(world, orders):
    """The destination's metaserver stands still: the check takes longer than the monitor waits. Ten monitors, two workers."""
    meta = world.dcs[HOME].meta
    answers = []
    set_wait(world, WAIT_S)
    threads = [threading.Thread(target=lambda: answers.append(ask(world, orders, [AWAY]))) for _ in range(10)]
    meta.pause()
    try:
        for thread in threads:
            thread.start()
        wait_until(lambda: waiting(world) > WORKERS, WAIT_S, "more of them to wait than there are workers")
        assert active_dc(world, orders) == AWAY  # a worker reads this
        assert waiting(world) > WORKERS, "it was read when they were over"
        wait_until(lambda: len(answers) == 10, WAIT_S + 3, "the answers")
    finally:
        meta.resume()
        for thread in threads:
            thread.join()
        set_wait(world, PATIENT_S)
    assert {status for status, _, _ in answers} == {503}
    assert all("goes on" in body["message"] and sorted(body) == ["exception", "message"] for _, body, _ in answers)
    assert all(seconds >= WAIT_S for _, _, seconds in answers), [seconds for _, _, seconds in answers]
    assert waiting(world) == 0
    assert world.console.get("/console/migration/events?page=0&size=1")["totalSize"] == 2  # one event for all of them

    def over():
        status, body, _ = ask(world, orders, [AWAY])  # the monitor's next call: what was paused goes on
        assert status in (200, 503), body
        return status == 200 and body["code"] == 0
    wait_until(over, 40, "the switch back")
    switched(world, orders)
    wait_followed(world, orders)


def test_a_check_that_fails_is_told_and_an_operator_ends_it(world, orders):
    meta = world.dcs[AWAY].meta
    meta.kill()
    status, body, _ = ask(world, orders, [HOME])
    assert (status, body) == (200, {"code": 1, "msg": "orders migration stopped with CheckingFail", "success": False})
    meta.start()
    event = world.console.get("/console/migration/events?page=0&size=1")["data"][0]["event"]["id"]
    world.console.request("POST", "/api/migration/rollback", {"ticketId": event, "clusters": ["orders"]})
    wait_until(lambda: world.console.get(f"/api/dc/{HOME}/cluster/orders")["status"] == "Normal", 10, "the cluster to be unlocked")
    assert active_dc(world, orders) == HOME
