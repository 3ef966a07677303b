"""The change of a primary DC, driven by HTTP at the metaservers as a console does it: as Java's (no epoch, no phase) and as ours. Real
redis-servers, keepers (stand-in) and metaservers of two DCs. The console itself knows nothing of it here: what was ordered holds in the memory of
the metaservers, and those that restart are ordered again.
"""
import itertools
import threading
import time

import pytest
import redis

from harness.cluster import World
from harness.processes import stays, wait_until
from harness.redis_server import RedisServer, redis_programs, redis_version

HOME, AWAY = "jq", "fra"
REASSERT_S = 1.0  # dr-switchover.md F34, F14: after it answers
LOADED_S = 1.5    # how much longer a single wait may take on a machine that does other things beside
HELD = "2147483647"


@pytest.fixture(scope="module")
def world(zookeepers):
    with World(dcs=[HOME, AWAY], shards=0, metas=2, containers=2, zookeepers=zookeepers, namespace="switch") as w:
        yield w.start()


_names = itertools.count(1)


@pytest.fixture(params=redis_programs(), ids=redis_version)
def program(request):
    """redis-server; with XPIPE_REDIS_SERVERS each of those programs."""
    return request.param


def make(world, keepers, replicas=1, program=RedisServer.program):
    server = type("Server", (RedisServer,), {"program": program})
    cluster = world.one_way(f"sw{next(_names)}", replicas=replicas, keepers=None if keepers else [], server=server).create()
    cluster.wait_whole()
    return cluster


@pytest.fixture(params=[True, False], ids=["keepers", "plain"])
def cluster(world, request, program):
    if request.param and program != RedisServer.program:
        pytest.skip("keepers are stand-ins on the redis-server of the PATH: others do not read its snapshots, or it not theirs")
    c = make(world, request.param, program=program)
    yield c
    for dc in world.dcs.values():
        for meta in dc.metas:
            if not meta.running:
                meta.start()
    world.console.delete(f"/api/cluster/{c.name}?checkEmpty=false")


# what a console says

def put(world, dc, path, body=None, meta=0, ok=True, **query):
    text = "&".join(f"{k}={v}" for k, v in query.items())
    answer = world.dcs[dc].metas[meta].request("PUT", f"/api/meta/{path}" + (f"?{text}" if text else ""), body,
                                               headers={"Content-Type": "application/json"})
    if ok:
        assert answer.status_code == 200, answer.text
        return answer.json() if answer.content else None
    return answer


def check(world, dc, cluster, new_dc, shard="s1"):
    return world.dcs[dc].meta.get(f"/api/meta/changeprimarydc/check/{cluster.name}/{shard}/{new_dc}")


def read_only(world, dc, cluster, on, shard="s1", **more):
    return put(world, dc, f"masterreadonly/{cluster.name}/{shard}/{'true' if on else 'false'}", **more)


def change(world, dc, cluster, new_dc, body=None, shard="s1", **more):
    return put(world, dc, f"changeprimarydc/{cluster.name}/{shard}/{new_dc}", body, **more)


def changes(world, dc, cluster, new_dc):
    """change() that must go well; a failure shows what the metaserver logged."""
    answer = change(world, dc, cluster, new_dc)
    assert answer["errorType"] == "SUCCESS", answer


def state(world, dc, cluster, shard="s1", meta=0):
    return world.dcs[dc].metas[meta].get(f"/api/meta/v2/tree/{cluster.name}/{shard}")


def owner(world, dc, cluster):
    """The metaserver that works on the shard, and its place in the list."""
    number = state(world, dc, cluster, meta=0)["server"]
    return next((m, i) for i, m in enumerate(world.dcs[dc].metas) if m.get("/api/metacluster/serverid") == number)


def refuses(server):
    try:
        server.run("SET", "probe", "x")
    except (redis.exceptions.ReadOnlyError, redis.exceptions.ResponseError):
        return True
    return False


def min_slaves(server):
    return server.run("CONFIG", "GET", "min-slaves-to-write")[1]


def new_master(cluster, answer, dc):
    found = [r for r in cluster.redises[dc]["s1"] if r.address == f"{answer['newMasterIp']}:{answer['newMasterPort']}"]
    assert found, answer
    return found[0]


def java_switch(world, cluster, old, new):
    """As a Java console does it: check, fence, promote with what the fence said, the other DCs follow."""
    assert check(world, new, cluster, new)["errorType"] == "SUCCESS"
    assert check(world, old, cluster, new)["errorType"] == "SUCCESS"
    fenced = read_only(world, old, cluster, True)
    assert fenced["masterInfo"]["replId"] and fenced["masterAddr"]
    answer = change(world, new, cluster, new, {"masterInfo": fenced["masterInfo"]})
    assert answer["errorType"] == "SUCCESS", answer
    followed = change(world, old, cluster, new)
    assert followed["errorType"] == "SUCCESS" and followed["newMasterIp"] is None, followed
    cluster.primary = new
    return fenced, answer


# the whole way, and back

def test_a_java_console_switches_there_and_back(world, cluster):
    old = cluster.master()
    cluster.write("before", "1")
    began = time.monotonic()
    fenced, answer = java_switch(world, cluster, HOME, AWAY)
    print(f"there: {time.monotonic() - began:.3f} s")
    assert fenced["masterAddr"] in ({"host": old.ip, "port": old.port}, old.address)
    master = new_master(cluster, answer, AWAY)
    assert master.run("GET", "before") == "1"
    assert not refuses(master)
    cluster.wait_whole()
    cluster.write("after", "2")
    cluster.wait_read("after", "2")
    # Nobody keeps what the fence set, neither in memory nor in the file: the way back would refuse writes.
    wait_until(lambda: min_slaves(old) == "0", 15, "the old master's own setting")
    java_switch(world, cluster, AWAY, HOME)
    assert not refuses(cluster.master())
    cluster.wait_whole()
    cluster.write("back", "3")
    cluster.wait_read("back", "3")


def test_our_console_with_epochs(world, cluster):
    old = cluster.master()
    old.run("CONFIG", "SET", "slave-read-only", "no")
    held = read_only(world, HOME, cluster, True, phase="hold", epoch=7, deadline_ms=2000)
    assert held["fence"] == "held" and refuses(old) and held["epoch"] == 7, held
    assert old.role == "master"  # replication goes on
    order = {"masterInfo": held["masterInfo"], "epoch": 7, "mode": "planned", "drainMs": 3000}
    drained = world.dcs[AWAY].meta.request("POST", f"/api/meta/v2/drain/{cluster.name}/s1", order).json()
    assert drained["errorType"] == "SUCCESS", drained
    frozen = read_only(world, HOME, cluster, True, phase="freeze", epoch=7)
    assert frozen["fence"] == "frozen" and refuses(old), frozen
    # A console that lost its lease comes too late.
    stale = read_only(world, HOME, cluster, False, epoch=6, ok=False)
    assert stale.status_code == 500 and "stale epoch" in stale.text
    assert refuses(old)
    order["masterInfo"] = frozen["masterInfo"]
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(change(world, AWAY, cluster, AWAY, order, epoch=7, meta=m % 2)))
               for m in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(answers) == 4 and len({(a["newMasterIp"], a["newMasterPort"]) for a in answers}) == 1, answers
    assert all(a["errorType"] == "SUCCESS" and a["drained"] for a in answers), answers
    late = change(world, AWAY, cluster, AWAY, {"epoch": 6, "mode": "planned"}, epoch=6)
    assert late["errorType"] == "FAIL" and "stale epoch" in late["errorMessage"], late
    followed = change(world, HOME, cluster, AWAY, epoch=7)
    assert followed["errorType"] == "SUCCESS", followed
    cluster.primary = AWAY
    cluster.wait_whole()
    wait_until(lambda: old.run("CONFIG", "GET", "slave-read-only")[1] == "no", 15, "its own setting")
    assert min_slaves(old) == "0"
    again = check(world, AWAY, cluster, AWAY)
    assert again["errorType"] == "PRIMARY_DC_ALREADY_IS_NEW" and again["errorMessage"] == f"{AWAY} already primary dc"
    assert check(world, HOME, cluster, HOME)["errorType"] == "SUCCESS"


def test_rollback_after_the_fence(world, cluster):
    old = cluster.master()
    old.run("CONFIG", "SET", "min-slaves-to-write", "1")
    assert read_only(world, HOME, cluster, True, phase="hold", epoch=3)["fence"] == "held"
    assert read_only(world, HOME, cluster, True, phase="freeze", epoch=3)["fence"] == "frozen"
    released = read_only(world, HOME, cluster, False, epoch=3)
    assert released["fence"] == "released", released
    assert old.role == "master" and min_slaves(old) == "1"
    old.run("CONFIG", "SET", "min-slaves-to-write", "0")
    cluster.wait_whole()
    cluster.write("k", "v")
    cluster.wait_read("k", "v")
    record = state(world, HOME, cluster)["switch"]["record"]
    assert record["fence"] == "none" and record["epoch"] == 3
    # and once more with the same epoch, as a retry does: nothing is answered from memory
    assert read_only(world, HOME, cluster, True, phase="hold", epoch=3)["fence"] == "held"
    assert refuses(old)
    assert read_only(world, HOME, cluster, False, epoch=3)["fence"] == "released"
    assert not refuses(old)


def test_rollback_after_the_promotion(world, cluster):
    """The promoted one is fenced, follows again, then the old one is released."""
    old = cluster.master()
    java_held = read_only(world, HOME, cluster, True)
    answer = change(world, AWAY, cluster, AWAY, {"masterInfo": java_held["masterInfo"]})
    promoted = new_master(cluster, answer, AWAY)
    fenced = read_only(world, AWAY, cluster, True)
    assert fenced["masterAddr"] in ({"host": promoted.ip, "port": promoted.port}, promoted.address) and refuses(promoted)
    released = read_only(world, HOME, cluster, False)
    assert released["message"] and not refuses(old)
    changes(world, AWAY, cluster, HOME)
    cluster.wait_whole()
    cluster.write("k", "v")
    cluster.wait_read("k", "v")
    wait_until(lambda: min_slaves(promoted) == "0", 15, "the settings of the one that was promoted")


def test_what_is_refused(world, cluster):
    answer = read_only(world, AWAY, cluster, True, ok=False)
    assert answer.status_code == 500 and "is not the primary dc" in answer.text, answer.text
    answer = put(world, HOME, f"masterreadonly/{cluster.name}/nosuch/true", ok=False)
    assert answer.status_code == 500 and "unknown clusterId shardId" in answer.text
    answer = change(world, HOME, cluster, "nowhere")
    assert answer["errorType"] == "FAIL" and "none of the cluster" in answer["errorMessage"]
    assert not refuses(cluster.master())
    answer = put(world, AWAY, f"changeprimarydc/{cluster.name}/s1/{AWAY}", ok=False, epoch="x")
    assert answer.status_code == 500


# who dies

def test_the_owner_dies_between_fence_and_promotion(world, cluster):
    """F33: the next owner reads the record and keeps the fence, also against what somebody does by hand."""
    old = cluster.master()
    fenced = read_only(world, HOME, cluster, True, phase="hold", epoch=5)
    meta, index = owner(world, HOME, cluster)
    meta.kill()
    other = 1 - index
    wait_until(lambda: state(world, HOME, cluster, meta=other)["switch"]["stance"] == "fenced", 40, "the next owner")
    assert refuses(old)
    old.run("CONFIG", "SET", "min-slaves-to-write", "0")
    wait_until(lambda: refuses(old), REASSERT_S + LOADED_S, "the fence to be asserted again")
    released = read_only(world, HOME, cluster, False, epoch=5, meta=other)
    assert released["fence"] == "released" and min_slaves(old) == "0", released
    assert fenced["epoch"] == 5
    meta.start()
    cluster.wait_whole()


@pytest.mark.parametrize("phase", ["hold", "freeze"])
def test_a_fenced_master_that_restarts_comes_back_fenced(world, phase):
    """F34. Its file says nothing of a hold; a freeze was written to it."""
    cluster = make(world, False)
    old = cluster.master()
    read_only(world, HOME, cluster, True, phase="hold", epoch=2)
    if phase == "freeze":
        read_only(world, HOME, cluster, True, phase="freeze", epoch=2)
    old.kill()
    old.start()
    answers_at = time.monotonic()

    wait_until(lambda: refuses(old), REASSERT_S + LOADED_S, "the fence")
    print(f"{phase}: fenced {time.monotonic() - answers_at:.3f} s after it answered")
    stays(lambda: refuses(old), 1.5, "the fence")
    assert read_only(world, HOME, cluster, False, epoch=2)["fence"] == "released"
    assert not refuses(old)
    world.console.delete(f"/api/cluster/{cluster.name}?checkEmpty=false")


def test_a_dead_master_is_fenced_when_it_returns(world, cluster):
    """F03: nobody answers at the fence; the promotion goes on without it."""
    for server in cluster.redises[HOME]["s1"]:
        server.kill()
    old = cluster.redises[HOME]["s1"][0]
    answer = read_only(world, HOME, cluster, True)
    assert answer["masterInfo"] is None and answer["fence"] == "unreachable", answer
    promoted = change(world, AWAY, cluster, AWAY, {"masterInfo": None})
    assert promoted["errorType"] == "SUCCESS", promoted
    for server in cluster.redises[HOME]["s1"]:
        server.start()
    old.run("SLAVEOF", "NO", "ONE")
    wait_until(lambda: refuses(old), REASSERT_S + LOADED_S, "the fence")
    changes(world, HOME, cluster, AWAY)
    cluster.primary = AWAY
    cluster.wait_whole()


def test_metaservers_of_the_new_dc_restart_before_it_is_published(world, cluster):
    """F32: they read that the other DC is the primary one, and leave the promoted one alone."""
    fenced = read_only(world, HOME, cluster, True)
    master = new_master(cluster, change(world, AWAY, cluster, AWAY, {"masterInfo": fenced["masterInfo"]}), AWAY)
    for meta in world.dcs[AWAY].metas:
        meta.kill()
    for meta in world.dcs[AWAY].metas:
        meta.start()
    wait_until(lambda: state(world, AWAY, cluster)["switch"]["record"], 40, "the record to be read")
    def is_master():
        assert master.role == "master" and not refuses(master), state(world, AWAY, cluster)
        return True
    stays(is_master, 6, "the promoted one")
    again = change(world, AWAY, cluster, AWAY)  # as a console that goes on: it is there already
    assert again["errorType"] == "SUCCESS" and new_master(cluster, again, AWAY) is master, again
    changes(world, HOME, cluster, AWAY)
    cluster.primary = AWAY
    cluster.wait_whole()


def test_an_old_primary_returns_while_nobody_knows_what_to_follow(world, cluster):
    """It is a writable master in what is a backup DC now: held within a second, and released from that by following."""
    old = cluster.master()
    for meta in world.dcs[HOME].metas:
        meta.stop()
    promoted = change(world, AWAY, cluster, AWAY, {"masterInfo": None})
    assert promoted["errorType"] == "SUCCESS" and not refuses(old)
    for meta in world.dcs[AWAY].metas:
        meta.kill()
    for meta in world.dcs[HOME].metas:
        meta.start()
    wait_until(lambda: state(world, HOME, cluster)["switch"]["record"] and
               state(world, HOME, cluster)["place"] == "PRIMARY", 40, "the metaservers of the old primary DC")
    follow = threading.Thread(target=lambda: change(world, HOME, cluster, AWAY))  # nobody can say what to follow: FAIL, later
    follow.start()
    wait_until(lambda: refuses(old), REASSERT_S + LOADED_S, "the hold")
    assert old.role == "master" and min_slaves(old) == HELD
    follow.join()
    for meta in world.dcs[AWAY].metas:
        meta.start()
    wait_until(lambda: change(world, AWAY, cluster, AWAY)["errorType"] == "SUCCESS", 40, "the order to the new primary DC")
    cluster.primary = AWAY
    cluster.wait_whole()
    wait_until(lambda: min_slaves(old) == "0", 15, "its own setting")
    java_switch(world, cluster, AWAY, HOME)
    assert not refuses(cluster.master())


def test_a_member_that_hangs_delays_nobody(world, cluster):
    """F36: the owner acts first, the others get their copies behind."""
    _, index = owner(world, AWAY, cluster)
    other = world.dcs[AWAY].metas[1 - index]
    fenced = read_only(world, HOME, cluster, True)
    answers = []
    order = threading.Thread(target=lambda: answers.append(change(world, AWAY, cluster, AWAY, {"masterInfo": fenced["masterInfo"]}, meta=index)))
    other.pause()
    try:
        order.start()
        wait_until(lambda: answers, 1.0, "the owner's answer")  # whoever waited for a copy would take 2 s
    finally:
        other.resume()
        order.join()
    assert answers[0]["errorType"] == "SUCCESS", answers
    changes(world, HOME, cluster, AWAY)
    cluster.primary = AWAY
    cluster.wait_whole()
