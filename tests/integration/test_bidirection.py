"""Bi-direction clusters kept right over proxies: the main job, with real daemons, ZooKeeper and Redis.

One world for the module: two DCs with their own ZooKeeper and two metaservers each; cluster 'demo' of 4 shards, linked through a proxy
in each DC. Each test starts from "everything is right" and leaves it so.
"""
import time

import pytest

from harness.cluster import World
from harness.processes import Lateness, stays, wait_until
from harness.proxy import Proxy

HOME, AWAY = "jq", "fra"
CORRECTED_S = 2.0     # design.md 7: a wrong peer is corrected within 2 s
LOADED = 3.0          # how much longer a single wait may take on a machine that compiles beside the tests
POLLS_S = 3.0         # three polls: long enough to see a command that should not come


@pytest.fixture(scope="module")
def world(zookeepers):
    w = World(dcs=[HOME, AWAY], shards=4, replicas=1, metas=2, proxied=[(HOME, AWAY)], zookeepers=zookeepers,
              namespace="bidirection", redis_times={"tick_ms": 200, "lazy_ms": 0})
    with w:
        w.start()
        w.create_cluster()
        w.wait_linked(timeout=60)
        yield w


@pytest.fixture(autouse=True)
def right_before_and_after(world):
    world.wait_linked(timeout=60)
    world.clear_logs()
    yield
    world.wait_linked(timeout=60)
    for redis in world.redises():
        if redis.running:
            assert not redis.would_have_crashed()


def gid(world, dc):
    return world.dcs[dc].gid


def is_right(world):
    return lambda: not world.link_problems()


def commands(world, dc=HOME, shard="s1"):
    return [" ".join(words) for words in world.peerofs(dc, shard)]


def proxied_words(world, puller, upstream, shard="s1"):
    target = world.master(upstream, shard)
    return (f"{gid(world, upstream)} {target.address.replace(':', ' ')} proxy-type XPIPE-PROXY "
            f"proxy-servers {world.dcs[puller].proxy.uri} proxy-params {world.dcs[upstream].proxy.tls_uri}")


def same(command, words):
    return command.lower().replace("peerof ", "", 1) == words.lower()


def owner(world, dc, shard="s1"):
    """The metaserver that works on the shard now."""
    for meta in world.dcs[dc].metas:
        if meta.running:
            shards = meta.get("/api/current/debug")["shards"]
            if any(s["cluster"] == world.cluster and s["shard"] == shard for s in shards):
                return meta
    return None


def peers_state(world, dc, shard="s1"):
    return world.dcs[dc].meta.get(f"/api/meta/v2/peers/{world.cluster}/{shard}")


def verdicts(world, dc, shard="s1"):
    return [p["verdict"] for p in peers_state(world, dc, shard)["peers"]]


def break_and_measure(world, *words, dc=HOME, shard="s1", limit=CORRECTED_S * LOADED):
    """Sends a PEEROF as somebody by hand would, waits until all is right, returns the seconds until the correction came; without what the
    machine itself was late."""
    master = world.master(dc, shard)
    by_hand = len(master.log("peerof")) + 1
    began, late = time.monotonic(), Lateness()
    master.run("PEEROF", *words)
    wait_until(lambda: len(master.log("peerof")) > by_hand, limit, "the metaserver's PEEROF")
    took = time.monotonic() - began - late.allowance_s
    wait_until(is_right(world), 30, "the links to be right")
    return took


# peers appear, and are put right


def test_every_master_got_its_peer_through_the_route(world):
    for dc, other in ((HOME, AWAY), (AWAY, HOME)):
        for shard in world.shard_names:
            peer = world.peers(dc, shard)[gid(world, other)]
            assert peer.address == world.master(other, shard).address
            assert peer.proxy_servers == world.dcs[dc].proxy.uri
            assert peer.proxy_params == world.dcs[other].proxy.tls_uri
            assert verdicts(world, dc, shard) == ["OK"]


def test_the_proxies_saw_the_route_line(world):
    master = world.master(AWAY)
    wanted = f"ROUTE {world.dcs[AWAY].proxy.tls_uri} TCP://{master.address}"
    world.dcs[HOME].proxy.cut()
    wait_until(lambda: any(wanted in line for line in world.dcs[HOME].proxy.lines()), 10, wanted)
    wait_until(is_right(world), 20, "the link through the proxies")


def test_data_replicates_both_ways(world):
    for source, target in ((HOME, AWAY), (AWAY, HOME)):
        world.master(source).run("SET", f"from-{source}", "1")
        wait_until(lambda: world.master(target).run("GET", f"from-{source}") == "1", 10, f"the key from {source}")


def test_removed_peer_is_set_again_with_one_command(world):
    break_and_measure(world, gid(world, AWAY), "no", "one")
    ours = commands(world)
    assert len(ours) == 2 and same(ours[1], proxied_words(world, HOME, AWAY)), ours


def test_peer_without_proxy_is_corrected(world):
    break_and_measure(world, gid(world, AWAY), *world.master(AWAY).address.split(":"))
    assert same(commands(world)[1], proxied_words(world, HOME, AWAY)), commands(world)


def test_peer_with_wrong_endpoint_is_corrected(world):
    break_and_measure(world, gid(world, AWAY), "127.0.0.1", "1")
    assert same(commands(world)[1], proxied_words(world, HOME, AWAY)), commands(world)


@pytest.mark.serial
def test_corrections_come_within_two_seconds(world):
    took = sorted(break_and_measure(world, gid(world, AWAY), "no", "one", shard=shard)
                  for _ in range(3) for shard in world.shard_names)
    print("break to correction, s:", [round(t, 2) for t in took])
    assert took[-2] <= CORRECTED_S, "one of twelve may be the machine's fault, two are ours"


def test_nothing_is_sent_while_all_is_right(world):
    stays(lambda: not any(world.peerofs(dc, s) for dc in (HOME, AWAY) for s in world.shard_names), POLLS_S, "silence")


def test_stranger_peer_is_shown_and_kept(world):
    stranger = 9
    world.master(HOME).run("PEEROF", stranger, "127.0.0.1", "1")
    wait_until(lambda: "SUPERFLUOUS" in verdicts(world, HOME), 10, "the verdict")
    world.clear_logs()
    stays(lambda: not commands(world), POLLS_S, "no removal while the switch is off")
    assert stranger in world.peers(HOME)
    world.master(HOME).run("PEEROF", stranger, "no", "one")
    wait_until(lambda: verdicts(world, HOME) == ["OK"], 10, "the verdict")


def test_suspended_shard_is_left_alone(world):
    path = f"/api/meta/v2/correction/{world.cluster}/s1"
    assert world.dcs[HOME].meta.request("PUT", f"{path}/off?ttlSeconds=600").status_code == 200
    try:
        world.master(HOME).run("PEEROF", gid(world, AWAY), "no", "one")
        wait_until(lambda: verdicts(world, HOME) == ["MISSING"], 10, "the verdict")
        stays(lambda: len(commands(world)) == 1, POLLS_S, "no command")
        state = peers_state(world, HOME)
        assert state["correction"] == "off" and "suspended" in state["held"]
    finally:
        assert world.dcs[HOME].meta.request("PUT", f"{path}/on").status_code == 200
    wait_until(is_right(world), 20, "the correction after the suspension")


# routes


@pytest.fixture
def second_proxy(world):
    """A second near proxy in HOME, known to the console. Yields (proxy, its id)."""
    proxy = Proxy(world.workspace, f"proxy-{HOME}-2-{time.monotonic_ns()}").start()
    world.console.post("/api/proxy", {"uri": proxy.uri, "dcName": HOME, "active": True, "monitorActive": False})
    yield proxy, world.proxy_ids()[proxy.uri]
    proxy.stop()


def route_of(world, src):
    return next(r for r in world.console.get("/api/routes/active") if r["srcDcName"] == src)


def put_route(world, route, **changes):
    world.console.put("/api/route", {**route, "public": True, **changes})


def document_routes(world, dc):
    return [r["routeInfo"] for r in world.console.get(f"/api/dc/{dc}?types=bi_direction")["routes"]]


def test_added_proxy_leads_to_one_command_and_permutation_to_none(world, second_proxy):
    proxy, proxy_id = second_proxy
    route = route_of(world, HOME)
    first = route["srcProxyIds"]
    put_route(world, route, srcProxyIds=f"{first},{proxy_id}")
    both = f"{world.dcs[HOME].proxy.uri},{proxy.uri}"
    for shard in world.shard_names:
        wait_until(lambda: world.peers(HOME, shard)[gid(world, AWAY)].proxy_servers == both, 15, f"the new list in {shard}")
        assert len(commands(world, HOME, shard)) == 1, commands(world, HOME, shard)
        assert world.peers(HOME, shard)[gid(world, AWAY)].up, "the link stays up when only the list grows"
        wait_until(lambda: world.master(HOME, shard).log("config"), 5, "CONFIG REWRITE, which a list-only change needs")
    world.clear_logs()
    put_route(world, route, srcProxyIds=f"{proxy_id},{first}")
    wait_until(lambda: document_routes(world, HOME)[0].startswith(proxy.uri), 5, "the permuted route in the document")
    stays(lambda: not any(commands(world, HOME, s) for s in world.shard_names), POLLS_S, "no command for a permutation")
    put_route(world, route)
    wait_until(is_right(world), 20, "the first route again")


def test_removed_route_goes_back_to_direct(world):
    route = route_of(world, HOME)
    words = f"{gid(world, AWAY)} {world.master(AWAY).address.replace(':', ' ')}"
    put_route(world, route, active=False, force=True)
    try:
        wait_until(lambda: commands(world), 15, "a command")
        assert same(commands(world)[0], words), commands(world)
        wait_until(lambda: all(world.peers(HOME, s)[gid(world, AWAY)].proxy_servers is None for s in world.shard_names), 20,
                   "every shard to be direct")
    finally:
        put_route(world, route)
    wait_until(is_right(world), 20, "the proxied links again")


def test_unusable_route_changes_nothing_and_is_reported(world):
    proxies = world.console.get("/api/proxies/all")
    near = next(p for p in proxies if p["uri"] == world.dcs[HOME].proxy.uri)
    world.console.put("/api/proxy", {**near, "active": False, "force": True})
    try:
        wait_until(lambda: all(verdicts(world, HOME, s) == ["BAD_ROUTE"] for s in world.shard_names), 15, "the verdict")
        stays(lambda: not any(commands(world, HOME, s) for s in world.shard_names), POLLS_S, "no command, least of all direct")
        assert is_right(world)(), world.link_problems()
        metrics = owner(world, HOME).metrics()
        assert metrics['xpipe_meta_peers{verdict="BAD_ROUTE"}'] >= 1
    finally:
        world.console.put("/api/proxy", {**near, "active": True})
    wait_until(lambda: all(verdicts(world, HOME, s) == ["OK"] for s in world.shard_names), 15, "the verdict")


# failover inside a DC


@pytest.mark.serial
@pytest.mark.parametrize("kill", [True, False], ids=["killed", "demoted"])
def test_failover_repoints_the_other_dc(world, kill):
    took = []
    for shard in world.shard_names[:2]:
        old = world.master(HOME, shard)
        new = world.fail_over(HOME, shard, kill_master=kill)
        shown, late = time.monotonic(), Lateness()
        wait_until(lambda: world.peers(AWAY, shard)[gid(world, HOME)].address == new.address, 10 * LOADED, "the new endpoint")
        took.append(time.monotonic() - shown - late.allowance_s)
        if kill:
            old.start()
            old.replicate(new)
    print("new master shown to re-pointed, s:", [round(t, 2) for t in took])
    assert min(took) <= CORRECTED_S, "one of two may be the machine's fault"
    wait_until(is_right(world), 30, "all links")


def test_two_masters_change_nothing(world):
    """Until one of them goes: nobody is re-pointed to either."""
    master, replica = world.master(HOME), world.replica(HOME)
    replica.replicate(None)
    try:
        wait_until(lambda: peers_state(world, HOME)["masterVerdict"] == "MULTI_MASTER", 10, "the verdict")
        stays(lambda: not commands(world, AWAY), POLLS_S, "no re-pointing while two masters are seen")
        assert world.master(AWAY).peers[gid(world, HOME)].address == master.address
    finally:
        replica.replicate(master)
    wait_until(lambda: peers_state(world, HOME)["masterVerdict"] == "OK", 10, "one master")


# metaservers die, freeze, lose ZooKeeper or the console


def leader(world, dc):
    for meta in world.dcs[dc].metas:
        if meta.running and meta.get("/api/metacluster/debug")["leader"]:
            return meta
    return None


def wait_served(world, dc, seconds):
    began, late = time.monotonic(), Lateness()
    wait_until(lambda: all(owner(world, dc, s) for s in world.shard_names), seconds, "every shard to be served")
    return time.monotonic() - began - late.allowance_s


SESSION_S = 5.0       # zk.session.timeout.milli
TAKEOVER_S = SESSION_S + 1.0


@pytest.mark.serial
@pytest.mark.parametrize("who", ["owner", "leader"])
def test_killed_metaserver_is_replaced(world, who):
    victim = owner(world, HOME) if who == "owner" else wait_until(lambda: leader(world, HOME), 15, "a leader")
    victim.kill()
    took = wait_served(world, HOME, TAKEOVER_S + LOADED)
    print(f"{who} killed to every shard served, s: {took:.2f}")
    assert took <= TAKEOVER_S
    survivor = next(m for m in world.dcs[HOME].metas if m is not victim)
    wait_until(lambda: survivor.get("/api/metacluster/debug")["inchargeSlotsSize"] == 256, LOADED,
               "the survivor to have every slot, also those without a cluster")
    world.master(HOME).run("PEEROF", gid(world, AWAY), "no", "one")
    wait_until(is_right(world), 15, "a correction by the new owner")
    victim.start()


def test_both_killed_and_back(world):
    for meta in world.dcs[HOME].metas:
        meta.kill()
    world.master(HOME).run("PEEROF", gid(world, AWAY), "no", "one")
    for meta in world.dcs[HOME].metas:
        meta.start(wait=False)
    for meta in world.dcs[HOME].metas:
        meta.wait_ready()
    wait_served(world, HOME, TAKEOVER_S + LOADED)
    wait_until(is_right(world), 15, "a correction after the restart")


@pytest.mark.slow
def test_frozen_owner_sends_nothing_for_slots_it_lost(world):
    frozen = owner(world, HOME)
    other = next(m for m in world.dcs[HOME].metas if m is not frozen)
    frozen.pause()
    frozen_at = time.monotonic()
    wait_until(lambda: owner_among(world, [other]), TAKEOVER_S + 2 * LOADED, "the other metaserver to own every shard")
    world.master(HOME).run("PEEROF", gid(world, AWAY), "no", "one")
    wait_until(is_right(world), 15, "a correction by the other metaserver")
    wait_until(lambda: time.monotonic() - frozen_at >= 20, 25, "20 s of standstill")
    world.clear_logs()
    frozen.resume()
    world.master(HOME).run("PEEROF", gid(world, AWAY), "no", "one")
    wait_until(lambda: len(commands(world)) == 2, 15, "one correction")
    stays(lambda: len(commands(world)) == 2, POLLS_S, "no second correction")
    assert world.master(HOME).senders("peerof")[1:] == [f"xpipe-meta-{HOME}-{other.server_id}"]


def owner_among(world, metas):
    served = [s["shard"] for m in metas for s in m.get("/api/current/debug")["shards"]]
    return sorted(served) == sorted(world.shard_names)


def test_console_down_does_not_matter_even_after_a_restart(world):
    world.console.kill()
    try:
        world.master(HOME).run("PEEROF", gid(world, AWAY), "no", "one")
        wait_until(is_right(world), 15, "a correction without the console")
        for meta in world.dcs[HOME].metas:
            meta.kill()
        for meta in world.dcs[HOME].metas:
            meta.start(wait=False)
        wait_served(world, HOME, TAKEOVER_S + 2 * LOADED)
        world.master(HOME).run("PEEROF", gid(world, AWAY), "no", "one")
        wait_until(is_right(world), 15, "a correction from the document on disk")
    finally:
        world.console.start()
    wait_until(lambda: all(m.readiness()[0] for m in world.metas()), 30, "every metaserver to be ready")


@pytest.mark.slow
@pytest.mark.parametrize("down, up", [("pause", "resume"), ("kill", "start")], ids=["frozen", "killed"])
def test_zookeeper_down_stops_every_command_and_heals(world, down, up):
    """Killed: sessions are gone, the slots are on its disk."""
    zookeeper = world.dcs[HOME].zookeeper
    getattr(zookeeper, down)()
    try:
        for meta in world.dcs[HOME].metas:
            wait_until(lambda: meta.request("GET", "/ready").status_code == 503, TAKEOVER_S + LOADED, f"{meta.name} not ready")
        world.clear_logs()
        world.master(HOME).run("PEEROF", gid(world, AWAY), "no", "one")
        stays(lambda: len(commands(world)) == 1, POLLS_S, "no command without ZooKeeper")
    finally:
        getattr(zookeeper, up)()
    wait_until(lambda: all(m.readiness()[0] for m in world.dcs[HOME].metas), 30, "the metaservers to be ready again")
    wait_until(is_right(world), 20, "the correction after ZooKeeper came back")


# the life of a cluster


def test_new_redis_and_removed_shard_reach_the_metaservers_by_push(world):
    """Far below meta.refresh.milli (60 s): pushes do it."""
    world.console.post(f"/api/shards/{world.cluster}/s9", [
        {"dcId": HOME, "redises": "127.0.0.1:1"}, {"dcId": AWAY, "redises": "127.0.0.1:2"}])
    wait_until(lambda: owner(world, HOME, "s9") and owner(world, AWAY, "s9"), 10, "the new shard")
    world.console.delete(f"/api/shards/{world.cluster}/s9")
    wait_until(lambda: not owner(world, HOME, "s9") and not owner(world, AWAY, "s9"), 10, "the shard to be gone")


def test_getcurrentmaster_is_answered_by_any_member(world):
    for meta in world.dcs[HOME].metas:
        answer = meta.get(f"/api/meta/getcurrentmaster/{world.cluster}/s1")
        assert f"{answer['ip']}:{answer['port']}" == world.master(HOME).address
        assert answer["gid"] == gid(world, HOME)


def test_metrics_pass_promtool(world):
    import subprocess
    for daemon in [world.console, *world.metas()]:
        text = daemon.request("GET", "/metrics").text
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr
