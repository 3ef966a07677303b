"""Crashes and errors at the fault points of shared/base/fault.h, in the daemons that a build with fault points makes
(MODE=debug, asan, tsan; `make test` runs this file with asan): afterwards everything wanted is actual, and nothing was sent twice.
"""
import pytest
import requests

from harness.cluster import World
from harness.processes import wait_until

HOME, AWAY = "jq", "fra"
TAKEOVER_S = 30.0  # session time-out 5 s, hand-over, and a machine that compiles beside the tests


@pytest.fixture(scope="module")
def world(zookeepers):
    w = World(dcs=[HOME, AWAY], metas=2, zookeepers=zookeepers, namespace="faults", redis_times={"tick_ms": 200, "lazy_ms": 0},
              meta_settings={"meta.refresh.milli": 1000})
    with w:
        w.start()
        if w.dcs[HOME].meta.request("POST", "/debug/fault", {"points": ""}).status_code == 404:
            pytest.skip("this build has no fault points")
        w.create_cluster()
        w.wait_linked(timeout=60)
        yield w


@pytest.fixture(autouse=True)
def right_before_and_after(world):
    world.wait_linked(timeout=60)
    world.clear_logs()
    yield
    for meta in world.metas():
        if not meta.running:
            meta.start()
        set_fault(meta, "")
    world.wait_linked(timeout=60)


def set_fault(daemon, points):
    answer = daemon.request("POST", "/debug/fault", {"points": points})
    assert answer.status_code == 200, answer.text


def owner(world):
    """The metaserver of HOME that works on the shard now."""
    for meta in world.dcs[HOME].metas:
        if meta.running and meta.get("/api/current/debug")["shards"]:
            return meta
    return None


def gid_away(world):
    return world.dcs[AWAY].gid


def remove_peer(world):
    world.master(HOME).run("PEEROF", gid_away(world), "no", "one")


def sent(world):
    """The PEEROF that set the peer; the one by hand that removed it is left out."""
    return [words for words in world.peerofs(HOME) if "no" not in words]


def test_fault_points_are_refused_by_name(world):
    answer = world.dcs[HOME].meta.request("POST", "/debug/fault", {"points": "no_such_point=crash"})
    assert answer.status_code == 400 and "no_such_point" in answer.text


@pytest.mark.parametrize("point", ["meta_before_peerof", "meta_after_peerof"])
def test_a_crash_around_a_command_is_made_good_by_the_next_owner(world, point):
    victim = wait_until(lambda: owner(world), TAKEOVER_S, "an owner")
    set_fault(victim, f"{point}=crash")
    remove_peer(world)
    assert victim.wait_exit(TAKEOVER_S) != 0
    wait_until(lambda: not world.link_problems() and owner(world), TAKEOVER_S, "the next owner to set the peer")
    assert len(sent(world)) == 1, world.peerofs(HOME)


@pytest.mark.parametrize("point", ["meta_before_peerof", "meta_after_peerof"])
def test_a_loop_that_hangs_around_a_command_loses_its_lease_and_sends_nothing_late(world, point):
    """Longer than the session: another one owns the slot when the loop goes on."""
    victim = wait_until(lambda: owner(world), TAKEOVER_S, "an owner")
    set_fault(victim, f"{point}=delay:12000@1")
    remove_peer(world)
    wait_until(lambda: not world.link_problems(), TAKEOVER_S, "the peer to be set")
    wait_until(lambda: victim.request("GET", "/health", timeout=1).status_code == 200, TAKEOVER_S, "the loop to go on")
    wait_until(lambda: victim.readiness()[0], TAKEOVER_S, "the victim to be ready again")
    assert len({tuple(words) for words in sent(world)}) == 1, world.peerofs(HOME)
    assert not world.master(HOME).would_have_crashed()


def test_a_document_that_cannot_be_read_is_fetched_again(world):
    meta = world.dcs[HOME].meta
    set_fault(meta, "meta_document_fetched=error:2")
    meta.request("POST", "/api/meta/v2/refresh")
    wait_until(lambda: "meta_document_fetched" in meta.get("/api/meta/v2/quarantine")["lastError"], 10, "the error to be shown")
    wait_until(lambda: meta.get("/api/meta/v2/quarantine")["lastError"] == "", 10, "a good fetch")
    assert not world.link_problems()


def test_a_crash_while_fetching_is_outlived(world):
    for meta in world.dcs[HOME].metas:
        set_fault(meta, "meta_document_fetched=crash")
        assert meta.wait_exit(TAKEOVER_S) != 0, "it fetches every second by itself"
    remove_peer(world)
    for meta in world.dcs[HOME].metas:
        meta.start()
    wait_until(lambda: not world.link_problems(), TAKEOVER_S, "the peer to be set after the restart")


def pushes(world, result):
    return sum(v for name, v in world.console.metrics().items() if name.startswith("xpipe_notify_pushes_total") and result in name)


def test_a_lost_answer_to_the_console_is_repeated_and_changes_nothing_twice(world):
    """Each push is carried out, its answer is lost: the console repeats it until it hears one."""
    failed, ok = pushes(world, "failed"), pushes(world, "told")
    for dc in world.dcs.values():
        set_fault(dc.meta, "http_reply_lost=error@2")  # the first one is the answer to this
    world.console.post("/api/organizations", {"orgId": 90, "orgName": "other"})
    world.console.put("/api/cluster", {"clusterName": world.cluster, "organizationId": 90})
    wait_until(lambda: pushes(world, "failed") > failed and pushes(world, "told") > ok, 20, "a push that is repeated")
    wait_until(lambda: world.console.metrics()["xpipe_notify_queue_rows"] == 0, 20, "every push to be taken")
    world.wait_linked()
    assert not sent(world), "a repeated push is no reason for a command"


def organizations(world):
    return [o["orgId"] for o in world.console.get("/api/organizations/all")]


def try_organization(world, org_id):
    return world.console.request("POST", "/api/organizations", {"orgId": org_id, "orgName": f"o{org_id}"})


def test_a_commit_that_is_refused_is_told_and_nothing_is_stored(world):
    set_fault(world.console, "db_before_commit=error:1")
    assert try_organization(world, 77).status_code == 503
    assert 77 not in organizations(world)
    assert try_organization(world, 77).json()["state"] == 0


def test_a_commit_whose_answer_is_lost_is_unknown_and_never_told_as_done(world):
    set_fault(world.console, "db_commit=error:1")
    assert try_organization(world, 76).status_code == 500
    assert 76 in organizations(world)


@pytest.mark.parametrize(("point", "org_id", "is_there"), [("db_before_commit", 78, False), ("db_commit", 79, True)])
def test_a_crash_around_a_commit_leaves_all_or_nothing(world, point, org_id, is_there):
    set_fault(world.console, f"{point}=crash")
    with pytest.raises(requests.ConnectionError):
        try_organization(world, org_id)
    assert world.console.wait_exit() != 0
    world.console.start()
    assert (org_id in organizations(world)) == is_there
    assert world.console.readiness()[0]
