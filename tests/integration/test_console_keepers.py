"""Keeper containers, the automatic choice of keepers, reports and pushes: console-api.md 5.0, 5.1, 3.7 against the real binary."""
import json
import re
import signal
import threading
import time

import pytest
import requests

from harness.processes import HOST, Stretch, free_port, wait_until
from harness.scripted import ScriptedServer
from test_console_api import Console, Metaserver, install, one_way_cluster

CHECKS = {"console.keepercontainer.check.period.ms": 100, "console.keepercontainer.check.connect.timeout.ms": 300,
          "console.keepercontainer.check.timeout.ms": 500}


class Container(ScriptedServer):
    """Answers /health as it is told: True, another JSON value, bytes, or a status; hung: not at all until released."""

    def __init__(self, host):
        self.health = True
        self.status = 200
        self.released = threading.Event()
        self.released.set()
        super().__init__(host)

    def answer(self, method, path, body):
        self.released.wait(30)
        return (self.status, self.health) if (method, path) == ("GET", "/health") else (404, None)

    def edit(self, dc="jq", **fields):
        return {"dcName": dc, "keepercontainerIp": self.host, "keepercontainerPort": self.port, "active": True, **fields}

    def close(self):
        self.released.set()
        super().close()


@pytest.fixture
def containers():
    made = []

    def make(count):
        made.extend(Container(f"127.0.0.{10 + len(made) + i}") for i in range(count))
        return made[-count:]
    yield make
    for c in made:
        c.close()


@pytest.fixture
def metas():
    made = {dc: Metaserver() for dc in ("jq", "oy")}
    yield made
    for m in made.values():
        m.close()


@pytest.fixture
def console(workspace, metas):
    c = Console(workspace, metaservers=json.dumps({dc: m.url for dc, m in metas.items()}), **CHECKS).start()
    install(c, ("jq", "oy"))
    return c


def add(console, *containers, dc="jq"):
    for c in containers:
        console.ok("POST", "/api/keepercontainer", c.edit(dc), message="Add KeeperContainer successfully")


def add_shard(console, name, n, dcs=("jq", "oy")):
    return console.call("POST", f"/api/shards/demo/{name}",
                        [{"dcId": dc, "redises": f"10.{n}.{i}.1:6379,10.{n}.{i}.2:6379"} for i, dc in enumerate(dcs, 1)])


def pushed_keepers(metaserver, shard):
    """Of the newest push of demo: the keepers of a shard."""
    pushes = [body for method, path, body in metaserver.told if (method, path) == ("PUT", "/api/meta/clusterchange/demo")]
    return [f"{k['ip']}:{k['port']}" for k in pushes[-1]["shards"][shard]["keepers"]] if pushes else None


def refreshes(metaserver):
    return sum(1 for method, path, _ in metaserver.told if (method, path) == ("POST", "/api/meta/v2/refresh"))


def is_unhealthy(console, container, dc="jq"):
    return {c["keepercontainerPort"]: c["unhealthy"] for c in console.call("GET", f"/api/keepercontainer/{dc}")}[container.port]


def gauge(console, name):
    text = requests.get(console.url("/metrics"), timeout=5).text
    return int(re.search(rf"^{name} (\d+)$", text, re.M).group(1))


def unhealthy_gauge(console):
    return gauge(console, "xpipe_keeper_containers_unhealthy")


def test_one_way_cluster_with_keepers(console, containers, metas):
    """5.1: keepers in jq, none in oy, which has no container (D11)."""
    one, two = containers(2)
    add(console, one, two)
    one_way_cluster(console)
    assert add_shard(console, "s1", 1) == {"state": 0, "message": "Successfully created shard"}
    keepers = [f"{c.host}:6380" for c in (one, two)]
    assert console.call("GET", "/api/keepers/jq/demo/s1") == keepers
    assert console.call("GET", "/api/keepers/oy/demo/s1") == []
    wait_until(lambda: pushed_keepers(metas["jq"], "s1") == keepers, 10, "the keepers are pushed")
    document = console.call("GET", "/api/dc/jq")
    assert [(c["ip"], c["port"]) for c in document["keeperContainers"]] == [(c.host, c.port) for c in (one, two)]
    shard = document["clusters"]["demo"]["shards"]["s1"]
    assert len({k["id"] for k in shard["keepers"]}) == 1 and len(shard["keepers"][0]["id"]) == 40
    assert [(k["active"], k["priority"], k["keeperContainerId"]) for k in shard["keepers"]] == [(False, 1, 1), (False, 1, 2)]
    assert console.call("GET", "/api/dc/oy")["clusters"]["demo"]["shards"]["s1"]["keepers"] == []

    console.ok("DELETE", "/api/keepers/jq/demo/s1", message=f"deleted:[{', '.join(keepers)}]")
    wait_until(lambda: pushed_keepers(metas["jq"], "s1") == [], 10, "the removal is pushed")


def test_report_is_stored_but_not_pushed(console, containers, metas):
    add(console, *containers(2))
    one_way_cluster(console)
    add_shard(console, "s1", 1)
    wait_until(lambda: pushed_keepers(metas["jq"], "s1") is not None, 10, "creation is pushed")
    wait_until(lambda: gauge(console, "xpipe_notify_queue_rows") == 0, 10, "nothing to be left to push, in either DC")
    document = console.call("GET", "/api/dc/jq")
    keeper = document["clusters"]["demo"]["shards"]["s1"]["keepers"][1]
    told = len(metas["jq"].told) + len(metas["oy"].told)
    path = "/api/dc/jq/cluster/demo/shard/s1/keepers/adjustment"
    assert console.call("PUT", path, {**keeper, "active": True}) == ""
    after = console.call("GET", "/api/dc/jq")
    assert [k["active"] for k in after["clusters"]["demo"]["shards"]["s1"]["keepers"]] == [False, True]
    assert after["version"] == document["version"] + 1
    assert console.call("PUT", path, {**keeper, "active": True}) == ""
    assert console.call("GET", "/api/dc/jq")["version"] == after["version"]
    # the next change is pushed: nothing came between
    console.ok("PUT", "/api/cluster/tag/demo/blue")
    wait_until(lambda: len(metas["jq"].told) + len(metas["oy"].told) >= told + 2, 10, "the tag is pushed")
    assert len(metas["jq"].told) + len(metas["oy"].told) == told + 2


@pytest.mark.parametrize("health, status", [(False, 200), ("true", 200), (b"truey", 200), (b"", 200), (True, 503)])
def test_a_container_must_say_true(console, containers, health, status):
    c, = containers(1)
    c.health, c.status = health, status
    refused = {"state": -1, "message": f"Keeper container with ip:{c.host}, port:{c.port} is unhealthy"}
    assert console.call("POST", "/api/keepercontainer", c.edit()) == refused
    assert console.call("GET", "/api/keepercontainer/jq") == []
    c.health, c.status = b" true\r\n", 200
    add(console, c)


def test_a_silent_or_dead_container_is_refused_in_time(console, containers):
    c, = containers(1)
    c.released.clear()
    stretch = Stretch()
    assert "unhealthy" in console.call("POST", "/api/keepercontainer", c.edit())["message"]
    assert stretch.took_s < 3  # time-outs of 300 and 500 ms
    dead = {**c.edit(), "keepercontainerIp": HOST, "keepercontainerPort": free_port()}
    assert "unhealthy" in console.call("POST", "/api/keepercontainer", dead)["message"]
    # what is wrong anyway is found before anybody is asked
    seen = len(c.requests)
    assert console.call("POST", "/api/keepercontainer", c.edit("xx"))["message"] == "DC name does not exist"
    assert len(c.requests) == seen


def test_health_settings_are_applied_by_sighup(workspace, metas, containers):
    """The running wait, of an hour, is cut short; then a hung container is given up after the new time."""
    console = Console(workspace, metaservers=json.dumps({dc: m.url for dc, m in metas.items()}),
                      **{**CHECKS, "console.keepercontainer.check.period.ms": 3600000,
                         "console.keepercontainer.check.timeout.ms": 60000}).start()
    install(console, ("jq", "oy"))
    one, = containers(1)
    add(console, one)
    one.released.clear()
    console.settings.update(CHECKS)
    console.write_config()
    console.signal(signal.SIGHUP)
    wait_until(lambda: is_unhealthy(console, one), 10, "the container is seen as unhealthy")
    assert "config.not_applied" not in console.log()


def test_unhealthy_containers_are_not_chosen(console, containers):
    one, two, three = containers(3)
    add(console, one, two, three)
    one_way_cluster(console)
    two.health = False
    wait_until(lambda: is_unhealthy(console, two), 10, "the second one is seen as unhealthy")
    assert add_shard(console, "s1", 1)["state"] == 0
    assert console.call("GET", "/api/keepers/jq/demo/s1") == [f"{one.host}:6380", f"{three.host}:6380"]
    three.released.clear()  # hangs
    wait_until(lambda: is_unhealthy(console, three), 10, "the third one, too")
    assert add_shard(console, "s2", 2) == {"state": -1, "message": "Organization keepers size:1, but we need:2"}
    assert "s2" not in [s["shardName"] for s in console.call("GET", "/api/shards/demo")]
    assert unhealthy_gauge(console) == 2
    two.health = True
    wait_until(lambda: not is_unhealthy(console, two), 10, "the second one is well again")
    assert add_shard(console, "s2", 2)["state"] == 0
    assert console.call("GET", "/api/keepers/jq/demo/s2") == [f"{two.host}:6380", f"{one.host}:6381"]
    console.call("PUT", "/api/keepercontainer", three.edit(active=False))
    wait_until(lambda: unhealthy_gauge(console) == 0, 10, "one that is out of service is not looked after")


def test_changes_of_containers_reach_the_metaserver(console, containers, metas):
    one, two = containers(2)
    add(console, one)
    wait_until(lambda: refreshes(metas["jq"]) >= 1, 10, "the metaserver is told to fetch")
    before = console.call("GET", "/api/dc/jq")
    console.ok("PUT", "/api/keepercontainer", one.edit(tag="t", diskType="ssd"))
    after = console.call("GET", "/api/dc/jq")
    assert [(c["tag"], c["diskType"]) for c in after["keeperContainers"]] == [("t", "SSD")]
    assert after["version"] > before["version"]
    count = refreshes(metas["jq"])
    console.ok("DELETE", f"/api/keepercontainer/{one.host}/{one.port}")
    wait_until(lambda: refreshes(metas["jq"]) > count, 10, "again")
    assert console.call("GET", "/api/dc/jq")["keeperContainers"] == []
    assert refreshes(metas["oy"]) == 0


def test_parallel_creations_share_no_port(console, containers):
    """Step 8 of the choice races in x-pipe: here it is inside the write transaction."""
    add(console, *containers(2))
    one_way_cluster(console)
    answers = []
    threads = [threading.Thread(target=lambda n=n: answers.append(add_shard(console, f"s{n}", n))) for n in range(1, 25)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [a["state"] for a in answers] == [0] * 24
    keepers = [k for n in range(1, 25) for k in console.call("GET", f"/api/keepers/jq/demo/s{n}")]
    assert len(set(keepers)) == 48
    ports = sorted(int(k.rsplit(":", 1)[1]) for k in keepers)
    assert ports == sorted(list(range(6380, 6404)) * 2)


def test_a_priority_set_by_a_page_is_pushed(console, containers, metas):
    """5.4 of metaserver.md: a changed priority makes the metaserver elect anew."""
    add(console, *containers(2))
    one_way_cluster(console)
    add_shard(console, "s1", 1)
    path = "/console/clusters/demo/dcs/jq/shards/s1"
    page = console.call("GET", path)
    page["keepers"][1]["keeperPriority"] = 3
    assert console.call("POST", path, page) == ""

    def priorities():
        pushes = [body for method, p, body in metas["jq"].told if (method, p) == ("PUT", "/api/meta/clusterchange/demo")]
        return pushes and [k["priority"] for k in pushes[-1]["shards"]["s1"]["keepers"]]
    wait_until(lambda: priorities() == [1, 3], 10, "the priority is pushed")
    assert console.call("GET", path)["keepers"][1]["keeperPriority"] == 3
