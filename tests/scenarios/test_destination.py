"""The destination DC, or one of its Redis, is broken: F05 to F13, F19, F20, F32, F37."""
import time

import pytest

from harness import events
from harness.processes import stays, wait_until
from harness.switch import LOADED_S, set_fault

HOME, AWAY = "jq", "fra"
PROMOTE_S = 2.0  # console.migration.promote.timeout.ms


@pytest.mark.scenario("F05")
def test_the_destinations_metaserver_is_down_at_the_check(site, drill):
    d = drill(site)
    meta = site.dcs[AWAY].meta
    meta.kill()
    begin = time.monotonic()
    ticket = d.switch()
    assert d.wait_rest(ticket, 10) == "CheckingFail"
    assert time.monotonic() - begin < 2 + LOADED_S
    assert AWAY in d.reason(ticket)
    d.wait_acks()
    assert d.i5() == []
    meta.start()
    wait_until(lambda: meta.readiness()[0], 20, "the metaserver to be ready")
    d.go(ticket)
    assert d.wait_rest(ticket, wanted=("Success", "CheckingFail")) == "Success", d.timeline(ticket)
    d.check(ticket)


@pytest.mark.scenario("F05")
def test_a_failed_check_can_be_cancelled(site, drill):
    d = drill(site)
    site.meta_relay[AWAY].set("refuse")
    ticket = d.switch()
    assert d.wait_rest(ticket, 10) == "CheckingFail"
    assert d.ask(ticket, "cancel").status_code == 200
    assert d.wait_rest(ticket, wanted="Aborted") == "Aborted"
    d.check(ticket)


@pytest.mark.scenario("F06")
def test_the_destinations_metaserver_dies_before_the_promotion(any_site, drill):
    """It dies when the sources are held: a planned switch goes back by itself, and the writers go on."""
    site = any_site
    d = drill(site)
    meta = site.dcs[AWAY].meta
    ticket = d.ticket(mode="planned")
    site.meta_relay[AWAY].set("delay", amount=100)
    d.go(ticket)
    wait_until(lambda: d.status(ticket) == "Migrating", 10, "it to migrate")
    meta.kill()
    begin = time.monotonic()
    status = d.wait_rest(ticket)
    took = time.monotonic() - begin
    assert status == "Aborted", d.timeline(ticket)
    meta.start()
    d.check(ticket)
    print(f"back after {took:.1f} s, gap {d.gap_ms():.0f} ms")
    assert took < 5 + LOADED_S, d.timeline(ticket)


@pytest.mark.scenario("F07")
@pytest.mark.fast
def test_the_answer_to_the_promotion_is_lost(any_site, drill):
    site = any_site
    d = drill(site, shards=1)
    ticket = d.ticket()
    if not set_fault(site.console, "migration_before_promote=delay:1500@1"):
        pytest.skip("this build has no fault points")
    d.go(ticket)
    wait_until(lambda: d.count(ticket, "promote")["s1"], 15, "the intent of the promotion")
    site.meta_relay[AWAY].set("deaf")
    wait_until(lambda: any(r.role == "master" for r in d.redises("s1", AWAY)), 10, "the promotion")
    begin = time.monotonic()
    site.meta_relay[AWAY].cut()
    site.meta_relay[AWAY].set("open")
    assert d.wait_rest(ticket) == "Success", d.timeline(ticket)
    took = time.monotonic() - begin
    print(f"{took:.1f} s after the promotion")
    set_fault(site.console, "")
    assert took < PROMOTE_S + LOADED_S, d.timeline(ticket)
    masters = [r for r in d.redises("s1", AWAY) if r.role == "master"]
    assert len(masters) == 1
    log = masters[0].log_path.read_text(errors="replace")
    assert log.count("MASTER MODE enabled") == 1, "promoted more than once"
    d.check(ticket)


@pytest.mark.scenario("F08")
def test_all_redis_of_the_destination_are_down(site, drill):
    """Of one shard of one cluster; the other cluster of the event is switched."""
    d, other = drill(site), drill(site, shards=1, replicas=0)
    for r in d.redises("s1", AWAY):
        r.kill()
    ticket = d.ticket(clusters=[d.name, other.name], policy="all")
    other.tickets.append(ticket)
    d.go(ticket)
    assert other.wait_rest(ticket) == "Success", other.timeline(ticket)
    assert d.wait_rest(ticket) == "CheckingFail", d.timeline(ticket)
    assert "s1" in d.reason(ticket) and "all redises dead" in d.texts(ticket, "CHECK")
    d.wait_acks()
    for r in d.redises("s1", AWAY):
        r.start()
    d.cluster.wait_whole()
    d.wait_unfenced()
    d.go(ticket)
    assert d.wait_rest(ticket, wanted="Success") == "Success"
    other.check(ticket, repeat=False)
    d.check(ticket)


@pytest.mark.scenario("F09")
@pytest.mark.parametrize("forward", [False, True], ids=["back", "forward"])
def test_a_redis_of_the_destination_dies_after_the_check(any_site, drill, forward):
    """The other shard is promoted or goes back with it; what was promoted is fenced before its source is released."""
    site = any_site
    d = drill(site)
    ticket = d.ticket(mode="planned")
    if not set_fault(site.console, "migration_before_promote=delay:300@1"):
        pytest.skip("this build has no fault points")
    d.go(ticket)
    wait_until(lambda: d.shard_detail(ticket, "s1")["fence"] == "frozen", 15, "the fence")
    begin = time.monotonic()
    for r in d.redises("s1", AWAY):
        r.run("SAVE")
        r.kill()
    status = d.wait_rest(ticket)
    took = time.monotonic() - begin
    set_fault(site.console, "")
    assert status in ("Aborted", "PartialRetryFail", "RollBackFail"), d.timeline(ticket)
    assert "s1" in d.reason(ticket), d.reason(ticket)
    print(f"{status} after {took:.1f} s")
    assert took < 2 * (PROMOTE_S + 1) + LOADED_S, d.timeline(ticket)
    for r in d.redises("s1", AWAY):
        r.start()
    if status == "PartialRetryFail" and forward:
        d.go(ticket)
        assert d.wait_rest(ticket, wanted="Success") == "Success", d.timeline(ticket)
    elif status != "Aborted":
        d.roll_back(ticket) if status == "PartialRetryFail" else d.go(ticket)
        assert d.wait_rest(ticket, wanted="Aborted") == "Aborted", d.timeline(ticket)
    d.check(ticket)


@pytest.mark.scenario("F10")
def test_two_masters_in_the_destination(site, drill):
    """The cluster is locked, so that no duty corrects what is done by hand, once the metaserver knows of the lock."""
    d = drill(site, shards=1, prober=False)
    ticket = d.ticket(mode="planned")
    strays = d.redises("s1", AWAY)

    def are_left_alone():
        for r in strays:
            if r.role != "master":
                r.run("SLAVEOF", "NO", "ONE")
        held = site.dcs[AWAY].meta.get(f"/api/meta/v2/tree/{d.name}/s1")["held"]
        return held and all(r.role == "master" for r in strays)
    wait_until(are_left_alone, 15, "the masters to be left alone")
    d.go(ticket)
    assert d.wait_rest(ticket) == "CheckingFail", d.timeline(ticket)
    assert all(r.address in d.step(ticket, "s1", "CHECK")[1] for r in strays), d.timeline(ticket)
    assert d.active_dc() == HOME
    d.roll_back(ticket)
    d.wait_rest(ticket, wanted="Aborted")
    d.cluster.wait_whole()
    d.check(ticket)


def throttle_replication(d, dc, amount):
    """What comes from the Redis of the DC to other Redis (and keepers) comes slowly; to daemons it comes at once."""
    for s in d.cluster.shards:
        for r in d.redises(s, dc):
            r.relay.set("throttle", amount=amount, of=lambda name: name.startswith(("redis-", "container-")))


def pile_up(d, shard, megabytes):
    master = d.old_master(shard)
    for i in range(megabytes):
        master.run("SET", f"big:{i}", "x" * 1_000_000)


@pytest.mark.scenario("F11")
def test_a_destination_that_is_far_behind_is_refused(site, drill):
    """70 MB behind: above console.migration.max.lag.bytes. Started anyway it waits for the drain, and goes back."""
    d = drill(site, shards=1, prober=False)
    throttle_replication(d, HOME, 200_000)
    pile_up(d, "s1", 75)
    ticket = d.switch("planned")
    assert d.wait_rest(ticket) == "CheckingFail", d.timeline(ticket)
    assert "behind" in d.reason(ticket), d.reason(ticket)
    d.wait_acks()
    assert d.ask(ticket, "forceProcess").status_code == 200
    assert d.wait_rest(ticket, 40, wanted=("Aborted", "Success")) == "Aborted", d.timeline(ticket)
    assert d.count(ticket, "promote") == {"s1": 0}
    site.heal(d.cluster)
    d.check(ticket)


@pytest.mark.scenario("F11")
def test_a_lag_that_does_not_drain_in_time_rolls_a_planned_switch_back(site, drill, redis_program):
    """It comes up after the check."""
    d = drill(site, shards=1, program=redis_program)
    ticket = lag_after_the_check(d, "planned")
    assert d.wait_rest(ticket, 40) == "Aborted", d.timeline(ticket)
    assert d.count(ticket, "promote") == {"s1": 0}
    site.heal(d.cluster)
    d.check(ticket)


@pytest.mark.scenario("F11")
def test_a_lag_that_does_not_drain_in_time_is_told_in_a_disaster(site, drill, redis_program):
    d = drill(site, shards=1, program=redis_program)
    ticket = lag_after_the_check(d, "disaster")
    assert d.wait_rest(ticket, 40) == "Success", d.timeline(ticket)
    state = d.shard_detail(ticket, "s1")
    assert not state["drained"] and state["lostBytes"] > 5_000_000, state
    site.heal(d.cluster)
    d.check(ticket)


def lag_after_the_check(d, mode):
    """A started ticket; 20 MB come up between its check and its fence."""
    ticket = d.ticket(mode=mode)
    if not set_fault(d.console, "migration_before_hold=delay:3000@1"):
        pytest.skip("this build has no fault points")
    d.go(ticket)
    wait_until(lambda: d.status(ticket) == "Migrating", 15, "the check to be over")
    throttle_replication(d, HOME, 200_000)
    pile_up(d, "s1", 20)
    return ticket


@pytest.mark.scenario("F12")
def test_a_destination_that_never_synchronized_is_refused(site, drill):
    d = drill(site, shards=1)
    for r in d.redises("s1", HOME):
        r.relay.set("silent", of=lambda name: name.startswith("redis-") and "-fra-" in name)
    for r in d.redises("s1", AWAY):
        r.kill()
        r.start()  # empty: a new replication history, and the link stays down
    ticket = d.switch("planned")
    assert d.wait_rest(ticket) == "CheckingFail", d.timeline(ticket)
    assert "link down" in d.texts(ticket, "CHECK"), d.texts(ticket, "CHECK")
    assert d.ask(ticket, "forceProcess").status_code == 200  # beyond the check, but still planned
    assert d.wait_rest(ticket, 40, wanted=("Aborted", "Success", "PartialRetryFail")) == "Aborted", d.timeline(ticket)
    assert d.count(ticket, "promote") == {"s1": 0}
    site.heal(d.cluster)
    d.cluster.wait_whole()
    d.check(ticket)


@pytest.mark.scenario("F13")
def test_the_most_advanced_replica_is_promoted(keeper_site, drill):
    """With keepers both follow the keeper; the first one stands still while the second one goes on."""
    d = drill(keeper_site, shards=1)
    first, second = d.redises("s1", AWAY)
    first.run("CONFIG", "SET", "repl-timeout", "3600")
    first.pause()
    d.wait_acks()
    ticket = d.ticket(mode="disaster")
    d.go(ticket)
    status = d.wait_rest(ticket)
    first.resume()
    assert status == "Success", d.timeline(ticket)
    assert second.role == "master", d.timeline(ticket)
    d.check(ticket)


@pytest.mark.scenario("F19")
def test_a_partition_between_the_dcs(site, drill):
    """The console sees both: nothing arrives, so a planned switch is refused or goes back."""
    d = drill(site)
    site.part(HOME, AWAY, d.cluster)
    d.wait_acks()
    ticket = d.switch("planned")
    status = d.wait_rest(ticket, 40)
    assert status in ("CheckingFail", "Aborted"), d.timeline(ticket)
    site.heal(d.cluster)
    if status == "CheckingFail":
        assert d.roll_back(ticket)["success"]
        d.wait_rest(ticket, wanted="Aborted")
    d.check(ticket)


@pytest.mark.scenario("F19")
def test_a_partition_between_the_dcs_in_a_disaster(site, drill):
    d = drill(site)
    site.part(HOME, AWAY, d.cluster)
    d.wait_acks()
    ticket = d.switch("disaster")
    assert d.wait_rest(ticket, 40) == "Success", d.timeline(ticket)
    for s in d.cluster.shards:
        state = d.shard_detail(ticket, s)
        assert not state["drained"] and state["lostBytes"] > 0, state
    site.heal(d.cluster)
    d.check(ticket)


@pytest.mark.scenario("F20")
def test_a_third_dc_is_down(worlds, drill):
    site = worlds.get(dcs=("jq", "fra", "oy"))
    d = drill(site, shards=1, replicas=0)
    meta = site.dcs["oy"].meta
    meta.kill()
    ticket = d.switch("planned", to=AWAY)
    status = d.wait_rest(ticket)
    assert status == "Success", d.timeline(ticket)
    assert [f["result"] for f in d.detail(ticket)["followUps"] if f["dc"] == "oy"] != ["done"]
    meta.start()
    wait_until(lambda: [f["result"] for f in d.detail(ticket)["followUps"] if f["dc"] == "oy"] == ["done"], 60, "the third DC to follow")
    d.check(ticket)


@pytest.mark.scenario("F32")
def test_the_destinations_metaserver_restarts_before_the_publication(any_site, drill):
    site = any_site
    d = drill(site)
    site.outer.takes = False
    ticket = d.switch()
    assert d.wait_rest(ticket) == "PublishFail"
    masters = {s: d.masters(s)[0] for s in d.cluster.shards}
    site.dcs[AWAY].meta.kill()
    site.dcs[AWAY].meta.start()
    stays(lambda: all(m.role == "master" for m in masters.values()), 6, "the promoted masters")
    site.outer.takes = True
    d.go(ticket)
    assert d.wait_rest(ticket, wanted="Success") == "Success"
    d.check(ticket)


@pytest.mark.scenario("F36")
def test_another_metaserver_of_the_destination_hangs(worlds, drill):
    """Two in each DC; the one that does not own the shard is frozen, its session lives on during the switch."""
    site = worlds.get(metas=2)
    d = drill(site, shards=1)
    gaps = {}
    for kind in ("both live", "one hangs"):
        to = site.dcs[events.other_dc(d.cluster)]
        owner = to.meta.get(f"/api/meta/v2/tree/{d.name}/s1")["server"]
        other = next(m for m in to.metas if m.server_id != owner)
        since = time.monotonic()
        if kind == "one hangs":
            if other is to.meta:  # whom the console asks has to answer: it passes the order on to the owner
                site.meta_relay[to.name].backends = [("127.0.0.1", next(m for m in to.metas if m is not other).port)]
            other.pause()
        try:
            ticket = d.switch("planned")
            assert d.wait_rest(ticket) == "Success", d.timeline(ticket)
            d.wait_acks()
            gaps[kind] = d.gap_ms(since)
        finally:
            other.resume()
            site.meta_relay[to.name].backends = [("127.0.0.1", to.meta.port)]
        wait_until(lambda m=other: m.readiness()[0], 20, "it to be ready again")
        d.cluster.wait_whole()
        d.wait_unfenced()
    print(f"gaps: {gaps}")
    assert gaps["one hangs"] < gaps["both live"] + 1000 * LOADED_S, gaps  # x-pipe waits 5 s
    d.check(ticket)


@pytest.mark.scenario("F37")
@pytest.mark.parametrize(("policy", "bad"), [("canary", 6), ("canary", 0), ("all", 6)])
def test_one_of_many_clusters_fails_its_check(site, drill, policy, bad):
    """Fifty clusters; a canary (the lowest cluster id) that fails lets nobody begin, who is paused is touched only when somebody asks."""
    some = drill.many(site, 50)
    cluster = some[bad]
    for r in cluster.redises("s1", AWAY):
        r.kill()
    first = some[0]
    ticket = first.prepare(clusters=[d.name for d in some], policy=policy)["ticketId"]
    first.go(ticket)

    def statuses():
        found = {r["clusterName"]: r["status"] for r in events.told(site.console, ticket)}
        return [found[d.name] for d in some]

    def tries():
        return cluster.count(ticket, "check")
    wanted = ["INITED" if bad == 0 else "SUCCESS"] * len(some)
    wanted[bad] = "FAIL"
    wait_until(lambda: statuses() == wanted, 60, "all to be as they should be")
    before = tries()
    stays(lambda: statuses() == wanted, 1, "the paused ones")
    assert tries() == before
    asked = [d for d in some if d is cluster or bad == 0]
    for r in events.ask(site.console, "rollback", {"ticketId": ticket, "clusters": [d.name for d in asked]})["results"]:
        assert r["success"], r
    wanted = ["ROLLBACKSUCCESS" if d in asked else "SUCCESS" for d in some]
    wait_until(lambda: statuses() == wanted, 20, "the paused ones to be aborted")
    for d in some:
        d.cluster.primary = HOME if d in asked else AWAY
    assert cluster.i5() == []
    for r in cluster.redises("s1", AWAY):
        r.start()
    for d in some:
        d.tickets.append(ticket)
        problems = d.i3(ticket) + d.i4(ticket)
        assert not problems, problems


@pytest.mark.scenario("F32")
@pytest.mark.parametrize(("point", "dc"), [
    ("meta_before_fence", HOME), pytest.param("meta_after_fence", HOME, marks=pytest.mark.fast), ("meta_before_promote", AWAY),
    pytest.param("meta_after_promote", AWAY, marks=pytest.mark.fast), pytest.param("meta_before_follow", HOME, marks=pytest.mark.fast),
    ("meta_after_follow", HOME)])
def test_a_metaserver_dies_in_the_middle_of_its_step(site, drill, point, dc):
    d = drill(site)
    meta = site.dcs[dc].meta
    if not set_fault(meta, f"{point}=crash"):
        pytest.skip("this build has no fault points")
    ticket = d.switch("planned")
    assert meta.wait_exit(20) != 0
    meta.start()
    status = d.wait_rest(ticket)
    print(f"{point}: {status}")
    if status not in ("Success", "Aborted"):  # an operator's turn, when it is back
        wait_until(lambda: meta.readiness()[0], 20, "the metaserver to be ready")
        wait_until(lambda: d.go(ticket) and d.wait_rest(ticket) in ("Success", "Aborted"), 30, "a retry to succeed")
    print(f"gap {d.gap_ms():.0f} ms")
    d.check(ticket)
