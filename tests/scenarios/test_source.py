"""The source DC is broken: F01 to F04, F14 to F16, F18, F33, F34, F39."""
import socket
import time
from types import SimpleNamespace

import pytest
import redis

from harness.processes import stays, wait_until
from harness.switch import LOADED_S, set_fault
from harness.witness import resp

HOME, AWAY = "jq", "fra"
FENCED_S = 10.0  # what comes back takes no writes after so long
FENCE_MS = 1000  # console.migration.fence.timeout.ms


def wait_fenced(d, servers, timeout=FENCED_S):
    wait_until(lambda: not any(d.prober.takes_writes(s.name) for s in servers), timeout + LOADED_S, "old masters to refuse writes")


@pytest.mark.scenario("F01")
@pytest.mark.parametrize("mode", [None, "planned", "disaster"])
def test_without_the_sources_metaserver_the_fence_takes_another_way(any_site, drill, mode):
    site = any_site
    d = drill(site)
    site.dcs[HOME].meta.kill()
    begin = time.monotonic()
    ticket = d.switch(mode)
    status = d.wait_rest(ticket)
    if status == "CheckingFail":  # a planned one may be refused by the check: that is the operator's to skip
        assert mode != "disaster", d.reason(ticket)
        assert HOME in d.reason(ticket)
        d.wait_acks()
        assert d.ask(ticket, "forceProcess").status_code == 200
        status = d.wait_rest(ticket, wanted=("Success", "PartialRetryFail", "Aborted"))
    assert status == "Success", d.timeline(ticket)
    took = time.monotonic() - begin
    assert not any(d.shard_detail(ticket, s)["unfenced"] for s in d.cluster.shards), "the Redis live and can be reached"
    holds = d.took_ms(ticket, "hold")
    assert max(holds) < 500 + 1000 * LOADED_S, d.timeline(ticket)
    site.dcs[HOME].meta.start()
    d.check(ticket)
    print(f"without the source's metaserver: {took:.1f} s, holds {holds} ms, gap {d.gap_ms():.0f} ms")


@pytest.mark.scenario("F01")
def test_nobody_reaches_the_source(site, drill):
    """Its metaserver is dead, and neither the console nor the destination gets to its Redis, which live: planned goes back or waits."""
    d = drill(site)
    site.dcs[HOME].meta.kill()
    cut_redises(d, HOME)
    ticket = d.switch("planned")
    status = d.wait_rest(ticket)
    assert status in ("PartialRetryFail", "RollBackFail"), d.timeline(ticket)  # back, when nobody can say whether a fence was set
    assert "fence" in d.timeline(ticket)
    d.wait_acks()
    for s in d.cluster.shards:
        assert not [m for m in d.masters(s) if m in d.redises(s, AWAY)], "nothing may be promoted"
    site.heal(d.cluster)
    site.dcs[HOME].meta.start()
    if status == "PartialRetryFail":
        assert d.roll_back(ticket)["success"]
    else:
        d.go(ticket)
    d.wait_rest(ticket, wanted="Aborted")
    d.check(ticket)


@pytest.mark.scenario("F01")
def test_nobody_reaches_the_source_in_a_disaster(site, drill):
    """The masters stay writable until the metaserver is back: told for each shard, and then they are fenced."""
    d = drill(site)
    old = {s: d.old_master(s) for s in d.cluster.shards}
    site.dcs[HOME].meta.kill()
    cut_redises(d, HOME)
    ticket = d.switch("disaster")
    assert d.wait_rest(ticket) == "Success", d.timeline(ticket)
    assert all(d.shard_detail(ticket, s)["unfenced"] for s in d.cluster.shards)
    assert d.told(ticket)["unfenced"] is True and "without a proved fence" in d.told(ticket)["reason"], d.told(ticket)
    assert '"unfenced":true' in d.page(ticket).replace(" ", ""), d.page(ticket)
    assert all(d.prober.takes_writes(m.name) for m in old.values()), "nobody could fence them"
    d.wait_acks()
    site.heal(d.cluster)
    site.dcs[HOME].meta.start()
    wait_fenced(d, old.values())
    d.check(ticket)


def forgive(d, server, shard, since):
    """An old master that came back with the configuration of before the fence takes writes until somebody sees it: how long it did, in seconds.
    Those writes are told here and taken out of what the invariants look at."""
    taken = [p for p in d.prober.log[shard] if p.server == server.name and p.verdict == "yes" and p.sent > since]
    d.prober.log[shard] = [p for p in d.prober.log[shard] if p not in taken]
    writer = d.writers[shard]
    writer.log[:] = [w for w in writer.log if not (w.server == server.address and w.sent > since)]
    took = taken[-1].got - taken[0].got if taken else 0.0
    print(f"{len(taken)} probes were taken within {took:.2f} s")
    return took


def log_lines(d, dc, event):
    """What the metaserver of the DC has said of it so far."""
    with open(d.world.dcs[dc].meta.log_path, encoding="utf-8", errors="replace") as f:
        return [line for line in f if event in line]


def refused_rewrites(d, dc):
    return d.world.dcs[dc].meta.metrics()["xpipe_switch_rewrites_refused_total"]


class Point:
    """How far an old master is, and where the new one was promoted: of what the first has, the second has nothing beyond that."""

    def __init__(self, old, new):
        mine, theirs = old.info("replication"), new.info("replication")
        assert mine["master_replid"] == theirs["master_replid2"], (mine, theirs)
        self.repl_id = mine["master_replid"]
        self.promoted = int(theirs["second_repl_offset"]) - 1
        self.bytes = int(mine["master_repl_offset"]) - self.promoted


def diverged(d, ticket, shard, server):
    """What the report of lost writes says of it."""
    return [v for w in d.detail(ticket)["lostWrites"] if w["shard"] == shard for v in w["diverged"] if v["redis"] == server.address]


def check_diverged(d, ticket, shard, server, point, said):
    """What it had beyond the promotion is known to the console, and was written down before it was told to follow. 'said': lines that the
    metaserver's log had before it came back."""
    wait_until(lambda: diverged(d, ticket, shard, server), 20, f"the report of what {server.name} had beyond the promotion")
    found, = diverged(d, ticket, shard, server)
    assert found["replId"] == point.repl_id and found["promotedOffset"] == point.promoted and found["dc"].lower() == HOME, (found, vars(point))
    assert found["bytes"] == found["offset"] - point.promoted >= point.bytes, (found, vars(point))
    listed = d.console.get(f"/api/v2/divergences?cluster={d.name}")["items"]
    assert [v["event"] for v in listed if v["shard"] == shard and v["redis"] == server.address] == [ticket], listed
    lines = [line for line in log_lines(d, HOME, "")[said:] if server.address in line]
    told = next(i for i, line in enumerate(lines) if "switch.diverged" in line)
    followed = next(i for i, line in enumerate(lines) if "tree.done" in line and "SLAVEOF" in line.upper())
    assert told < followed and " error " in lines[told] and f"bytes={found['bytes']}" in lines[told], lines
    print(f"{server.name}: {found['bytes']} bytes beyond the promotion, {point.bytes} of them before it was reached")


def cut_redises(d, dc):
    """Daemons do not reach the Redis of the DC; replication goes on."""
    for s in d.cluster.shards:
        for r in d.redises(s, dc):
            r.relay.set("refuse", of=lambda name: name == "console" or name.startswith("meta-"))


@pytest.mark.scenario("F02")
def test_the_sources_metaserver_is_black_holed(site, drill):
    d = drill(site)
    site.meta_relay[HOME].set("silent")
    begin = time.monotonic()
    ticket = d.switch()
    status = d.wait_rest(ticket)
    if status == "CheckingFail":
        begin = time.monotonic()
        d.ask(ticket, "forceProcess")
        status = d.wait_rest(ticket, wanted=("Success", "PartialRetryFail", "Aborted"))
    took = time.monotonic() - begin
    assert status == "Success", d.timeline(ticket)
    holds = d.took_ms(ticket, "hold")
    site.heal(d.cluster)
    d.check(ticket)
    print(f"black-holed: {took:.1f} s, holds {holds} ms, gap {d.gap_ms():.0f} ms")
    assert sum(holds) / len(d.cluster.shards) < FENCE_MS + 1000 * LOADED_S, d.timeline(ticket)  # the shards together, not one after the other
    assert took < 3 + LOADED_S, d.timeline(ticket)


@pytest.mark.scenario("F03")
def test_the_source_redis_of_one_shard_is_dead(any_site, drill):
    """Both Redis of the shard in the source are killed, else a replica there is the better answer."""
    d = drill(any_site)
    dead = d.redises("s1", HOME)
    for r in dead:
        r.kill()
    ticket = d.switch("disaster")
    assert d.wait_rest(ticket) == "Success", d.timeline(ticket)
    state = d.shard_detail(ticket, "s1")
    assert state["unfenced"] and not state["drained"], state
    assert "unreachable" in d.step(ticket, "s1", "MIGRATE_PREVIOUS_PRIMARY_DC")[1], d.timeline(ticket)
    assert not d.shard_detail(ticket, "s2")["unfenced"]
    d.wait_acks()
    for r in dead:
        r.start()
    wait_fenced(d, dead)
    d.check(ticket)


@pytest.mark.scenario("F03")
def test_a_dead_source_stops_a_planned_switch(site, drill):
    d = drill(site)
    for r in d.redises("s1", HOME):
        r.kill()
    ticket = d.switch("planned")
    status = d.wait_rest(ticket)
    assert status in ("CheckingFail", "PartialRetryFail", "Aborted"), d.timeline(ticket)
    assert "s1" in d.reason(ticket)
    d.wait_acks(shards=["s2"])
    master, replica = d.redises("s1", HOME)
    master.start()
    with open(replica.conf_path, "a", encoding="ascii") as f:
        f.write(f"slaveof {' '.join(master.address.split(':'))}\n")
    replica.start()
    d.cluster.wait_whole()
    if status != "Aborted":
        assert d.roll_back(ticket)["success"]
        d.wait_rest(ticket, wanted="Aborted")
    d.check(ticket, emptied=["s1"])


@pytest.mark.scenario("F04")
def test_the_whole_source_is_black_holed_and_comes_back(any_site, drill):
    site = any_site
    d = drill(site)
    inside = {s: d.old_master(s) for s in d.cluster.shards}
    site.isolate(HOME, d.cluster)
    begin = time.monotonic()
    ticket = d.switch("disaster")
    assert d.wait_rest(ticket) == "Success", d.timeline(ticket)
    took = time.monotonic() - begin
    points = {}
    for s in d.cluster.shards:
        state = d.shard_detail(ticket, s)
        assert state["unfenced"] and not state["drained"], state
        inside[s].run("SET", "written-inside", "and never seen again")
        points[s] = Point(inside[s], d.cluster.master(s))
        assert points[s].bytes >= len(resp("SET", "written-inside", "and never seen again"))
    said = len(log_lines(d, HOME, ""))
    d.wait_acks()
    site.heal(d.cluster)
    wait_fenced(d, inside.values(), 65)
    d.check(ticket)
    for s in d.cluster.shards:
        assert d.cluster.master(s).run("GET", "written-inside") is None
        check_diverged(d, ticket, s, inside[s], points[s], said)
    print(f"disaster: {took:.1f} s")
    assert took < 8 + LOADED_S, d.timeline(ticket)


@pytest.mark.scenario("F04")
def test_a_disaster_is_over_in_three_seconds(site, drill):
    d = drill(site, shards=1, prober=False)
    site.isolate(HOME, d.cluster)
    begin = time.monotonic()
    ticket = d.switch("disaster")
    assert d.wait_rest(ticket) == "Success", d.timeline(ticket)
    took = time.monotonic() - begin
    site.heal(d.cluster)
    d.check(ticket)
    print(f"a disaster: {took:.2f} s")
    assert took < 3 + LOADED_S / 3, d.timeline(ticket)


ISOLATION_S = 3
WARY = {"meta.isolation.fence.seconds": ISOLATION_S, "http.dc.timeout.milli": 1000}


@pytest.fixture(params=[{}, {"containers": 2}], ids=["plain", "keepers"])
def wary_site(request, worlds):
    """The masters of its primary DC take no writes while the console is not heard."""
    return worlds.get(meta_settings=WARY, **request.param)


def cut_console(d, dc):
    """Nothing between the console and the DC; replication to other DCs goes on, and their metaservers reach its Redis."""
    for relay in (d.world.meta_relay[dc], *(r.relay for s in d.cluster.shards for r in d.redises(s, dc))):
        relay.set("silent", of=lambda name: name == "console")
    d.world.console_relay.set("silent", of=lambda name: d.world.dc_of(name) == dc)


def wait_self_fenced(d, masters):
    begin = time.monotonic()
    wait_until(lambda: not any(d.prober.takes_writes(m.name) for m in masters), ISOLATION_S + 1 + LOADED_S, "the isolated DC to stop its writes")
    took = time.monotonic() - begin
    print(f"isolated: no writes after {took:.2f} s")
    return took


@pytest.mark.scenario("F04")
def test_a_source_that_fences_itself_is_no_second_master(wary_site, drill):
    """The whole DC is black-holed: its own metaserver stops the writes inside, replication there goes on; then the other DC is promoted."""
    site = wary_site
    d = drill(site)
    inside = {s: d.old_master(s) for s in d.cluster.shards}
    site.isolate(HOME, d.cluster)
    took = wait_self_fenced(d, inside.values())
    assert took < ISOLATION_S + 1 + LOADED_S / 3
    for s, master in inside.items():
        with pytest.raises(redis.exceptions.ResponseError, match="NOREPLICAS|[Nn]ot enough good"):
            master.run("SET", "written-inside", "refused")
        assert [r.run("ROLE")[3] for r in d.redises(s, HOME) if r is not master] == ["connected"]
    ticket = d.switch("disaster")
    assert d.wait_rest(ticket) == "Success", d.timeline(ticket)
    d.wait_acks()
    site.heal(d.cluster)
    d.check(ticket)
    assert not d.prober.two_masters()
    d.wait_unfenced()


@pytest.mark.scenario("F04")
def test_a_source_that_fenced_itself_takes_writes_again(wary_site, drill):
    """The console is out of reach, the other DC is not. It comes back and nothing was switched: writes are taken. The next time it was: none is lost."""
    site = wary_site
    d = drill(site)
    inside = {s: d.old_master(s) for s in d.cluster.shards}
    cut_console(d, HOME)
    wait_self_fenced(d, inside.values())
    site.dcs[HOME].meta.kill()
    site.dcs[HOME].meta.start(wait=False)  # its record says whose hold it is
    stays(lambda: not any(d.prober.takes_writes(m.name) for m in inside.values()), 2, "the fence")
    site.heal(d.cluster)
    d.wait_acks(timeout=10 + LOADED_S)
    d.wait_unfenced()
    cut_console(d, HOME)
    wait_self_fenced(d, inside.values())
    ticket = d.switch("disaster")
    assert d.wait_rest(ticket) == "Success", d.timeline(ticket)
    d.wait_acks()
    site.heal(d.cluster)
    d.check(ticket)
    assert not d.prober.two_masters()
    for s, writer in d.writers.items():
        assert not writer.lost(d.cluster.master(s)), "replication went on all the time"
    d.wait_unfenced()
    assert not d.console.get(f"/api/v2/divergences?cluster={d.name}")["items"]


@pytest.mark.scenario("F04")
def test_a_member_that_alone_does_not_hear_the_console_fences_nobody(worlds, drill):
    site = worlds.get(metas=2, meta_settings=WARY)
    d = drill(site, shards=1)
    home = site.dcs[HOME]
    owner = next(m for m in home.metas if m.server_id == home.meta.get(f"/api/meta/v2/tree/{d.name}/s1")["server"])
    site.meta_relay[HOME].set("silent")  # the console tells nobody here; who asks it is answered, but for the owner
    site.console_relay.set("silent", of=lambda name: name == owner.name)
    stays(lambda: d.prober.takes_writes(d.old_master().name), ISOLATION_S + 2, "writes")
    assert owner.get("/api/meta/v2/heard")["heardMsAgo"] < 1000 * ISOLATION_S
    site.console_relay.set("silent", of=lambda name: site.dc_of(name) == HOME)
    wait_self_fenced(d, [d.old_master()])  # they do not keep each other awake
    try:
        set_isolation(home, 0)
        stays(lambda: not d.prober.takes_writes(d.old_master().name), 1, "the fence")
        assert owner.request("PUT", f"/api/meta/masterreadonly/{d.name}/s1/false").status_code == 200  # an operator's
        d.wait_acks()
        stays(lambda: d.prober.takes_writes(d.old_master().name), ISOLATION_S + 1, "writes")
    finally:
        set_isolation(home, ISOLATION_S)
    site.heal(d.cluster)
    d.wait_unfenced()


def set_isolation(dc, seconds):
    for meta in dc.metas:
        meta.more_settings["meta.isolation.fence.seconds"] = seconds
        meta.reload()
        wait_until(lambda m=meta: m.get("/config")["meta.isolation.fence.seconds"]["value"] == str(seconds), 5, "the new setting")


@pytest.mark.scenario("F14")
def test_a_hung_master_is_not_taken_for_fenced(site, drill, redis_program):
    d = drill(site, program=redis_program)
    master = d.old_master("s1")
    master.pause()
    ticket = d.switch("planned")
    status = d.wait_rest(ticket)
    assert status in ("CheckingFail", "PartialRetryFail", "Aborted", "RollBackFail"), d.timeline(ticket)
    assert "s1" in d.reason(ticket)
    for s in d.cluster.shards:
        assert not [r for r in d.redises(s, AWAY) if r.role == "master"]
    master.resume()
    if status != "Aborted":
        assert d.roll_back(ticket)["success"]
        d.wait_rest(ticket, wanted="Aborted")
    d.check(ticket)


@pytest.mark.scenario("F14")
def test_a_master_that_hangs_when_it_is_fenced_is_left_behind_in_a_disaster(site, drill, redis_program):
    d = drill(site, program=redis_program)
    master = d.old_master("s1")
    master.pause()
    with socket.create_connection((master.ip, master.port)) as queued:  # carried out and acknowledged when it goes on, before the fence
        writes = b"".join(resp("SET", f"queued-{i}", "x" * 100) for i in range(20))
        queued.sendall(writes)
        ticket = d.switch("disaster")
        assert d.wait_rest(ticket) == "Success", d.timeline(ticket)
        state = d.shard_detail(ticket, "s1")
        assert state["unfenced"] and not state["drained"], state
        new = d.cluster.master("s1").info("replication")
        point = SimpleNamespace(repl_id=new["master_replid2"], promoted=int(new["second_repl_offset"]) - 1, bytes=len(writes))
        said = len(log_lines(d, HOME, ""))
        since = time.monotonic()
        master.resume()
        acked = b""
        while acked.count(b"\r\n") < 20:
            acked += queued.recv(4096)
    assert acked == b"+OK\r\n" * 20, acked
    wait_until(lambda: d.prober.takes_writes(master.name) is not None and d.prober.log["s1"][-1].got > since, 5, "it to answer")
    wait_fenced(d, [master], 1.0)
    stays(lambda: not d.prober.takes_writes(master.name), 1, "the fence")
    d.check(ticket)
    assert d.cluster.master("s1").run("GET", "queued-0") is None
    check_diverged(d, ticket, "s1", master, point, said)


@pytest.mark.scenario("F15")
def test_writable_replicas_do_not_break_the_fence(any_site, drill, redis_program):
    """As replicas they took writes before the switch, too: only the old masters are held to it, until they follow."""
    d = drill(any_site, program=redis_program, prober=False)
    masters = {s: d.old_master(s) for s in d.cluster.shards}
    for m in masters.values():
        m.run("CONFIG", "SET", "slave-read-only", "no")
    ticket = d.switch()
    assert d.wait_rest(ticket) == "Success", d.timeline(ticket)
    assert "slave-read-only is no" in d.texts(ticket, "CHECK"), d.texts(ticket, "CHECK")
    for m in masters.values():
        wait_until(lambda m=m: m.run("CONFIG", "GET", "slave-read-only")[1] == "no", 15, f"the own setting of {m.name}")
    d.check(ticket)


@pytest.mark.scenario("F16")
@pytest.mark.parametrize("kind", ["no-file", "not-writable"])
def test_redis_that_cannot_rewrite_their_configuration(any_site, drill, redis_program, kind):
    d = drill(any_site, program=redis_program, has_file=kind != "no-file")
    for r in d.cluster.all_redises() if kind == "not-writable" else ():
        r.conf_path.unlink()
        r.conf_path.mkdir()  # root may write every file, but not a folder
    told = {dc: refused_rewrites(d, dc) for dc in (HOME, AWAY)}
    old, taken = d.old_master("s1"), {dc: d.redises("s1", dc) for dc in (HOME, AWAY)}
    ticket = d.switch()
    assert d.wait_rest(ticket) == "Success", d.timeline(ticket)
    if kind == "not-writable":  # sent behind the results of freeze and promotion, and heard all the same
        for dc, behind in ((HOME, "freeze"), (AWAY, "promotion")):
            wait_until(lambda dc=dc: refused_rewrites(d, dc) >= told[dc] + len(d.cluster.shards), 10, f"the refused rewrites of {dc} on /metrics")
            lines = [line for line in log_lines(d, dc, "switch.rewrite_refused") if behind in line and "CONFIG" in line.upper()]
            assert any(r.address in line for r in taken[dc] for line in lines), lines
            assert all("a restart brings its role of before back" in line for line in lines), lines
        assert any(old.address in line for line in log_lines(d, HOME, "switch.rewrite_refused"))
    if kind == "no-file":
        assert "config file" in d.texts(ticket, "MIGRATE_PREVIOUS_PRIMARY_DC"), d.timeline(ticket)
    for r in d.cluster.all_redises() if kind == "not-writable" else ():
        r.conf_path.rmdir()
        r.write_config()
    old = d.redises("s1", HOME)[0]
    since = time.monotonic()
    old.kill()
    old.start()  # with the configuration of before the fence
    wait_until(lambda: d.prober.takes_writes(old.name) is not None, 5, "the old master to answer")
    wait_fenced(d, [old])
    stays(lambda: not d.prober.takes_writes(old.name), 1, "the fence")
    took = forgive(d, old, "s1", since)
    print(f"the old master took writes for {took:.3f} s")
    assert took < 0.3 + LOADED_S / 3
    d.check(ticket)


@pytest.mark.scenario("F18")
def test_the_source_is_cut_off_after_the_fence(site, drill):
    """The console does not reach the source's site from the freeze on: the switch ends, the source follows later."""
    d = drill(site)
    slow = [r for s in d.cluster.shards for r in d.redises(s, HOME)]
    site.meta_relay[AWAY].set("delay", amount=150)  # drain and promotion take so long that the cut falls between
    ticket = d.switch("planned")
    wait_until(lambda: frozen(d, ticket), 15, "the freeze")
    site.meta_relay[HOME].set("silent")
    for r in slow:
        r.relay.set("silent", of=lambda name: name == "console" or "fra" in name)
    assert d.wait_rest(ticket) == "Success", d.timeline(ticket)
    follow = d.detail(ticket)["followUps"]
    assert [f["result"] for f in follow if f["dc"].lower() == HOME] != ["done"], follow
    site.heal(d.cluster)
    wait_until(lambda: [f["result"] for f in d.detail(ticket)["followUps"] if f["dc"].lower() == HOME] == ["done"], 60, "the source to follow")
    d.check(ticket)


def frozen(d, ticket):
    return all(d.shard_detail(ticket, s)["fence"] == "frozen" for s in d.cluster.shards)


@pytest.mark.scenario("F33")
def test_the_sources_metaserver_restarts_after_the_fence(any_site, drill):
    """The outer client takes its time, so that it falls between fence and the end of the migration."""
    site = any_site
    d = drill(site)
    site.outer.takes = False
    ticket = d.switch()
    assert d.wait_rest(ticket) == "PublishFail"
    old = [r for s in d.cluster.shards for r in d.redises(s, HOME)]
    site.dcs[HOME].meta.kill()
    site.dcs[HOME].meta.start()
    stays(lambda: not any(d.prober.takes_writes(r.name) for r in old), 3, "the fence")
    site.outer.takes = True
    d.go(ticket)
    assert d.wait_rest(ticket, wanted="Success") == "Success"
    d.check(ticket)


@pytest.mark.scenario("F34")
@pytest.mark.parametrize("rewritten", [True, False], ids=["rewritten", "as-before"])
def test_an_old_master_restarts_after_the_fence(any_site, drill, rewritten, redis_program):
    site = any_site
    d = drill(site, program=redis_program)
    old = d.old_master("s1")
    before = old.conf_path.read_text()
    site.outer.takes = False
    ticket = d.switch()
    assert d.wait_rest(ticket) == "PublishFail"
    since = time.monotonic()
    old.kill()
    if not rewritten:
        old.conf_path.write_text(before)
    old.start()
    wait_until(lambda: d.prober.takes_writes(old.name) is not None, 5, "the old master to answer")
    wait_fenced(d, [old], 1.0)
    stays(lambda: not d.prober.takes_writes(old.name), 2, "the fence")
    site.outer.takes = True
    d.go(ticket)
    assert d.wait_rest(ticket, wanted="Success") == "Success"
    took = forgive(d, old, "s1", since)
    print(f"the old master took writes for {took:.3f} s")
    assert took < 0.3 + LOADED_S / 3 if not rewritten else took == 0
    d.check(ticket)


@pytest.mark.scenario("F39")
@pytest.mark.parametrize("mode", ["planned", "disaster"])
def test_the_sources_keeper_hangs(keeper_site, drill, mode):
    """From between check and fence on: what it does not pass on does not arrive. Planned goes back in time; a disaster tells the loss."""
    d = drill(keeper_site)
    keeper = d.cluster.active_keeper(HOME, "s1")
    ticket = d.ticket(mode=mode)
    if not set_fault(d.console, "migration_before_hold=delay:500@1"):
        pytest.skip("this build has no fault points")
    d.go(ticket)
    wait_until(lambda: d.status(ticket) == "Migrating", 15, "the check to be over")
    keeper.pause()
    try:
        d.wait_acks()  # there is something that does not arrive
        status = d.wait_rest(ticket, 40)
        assert status == ("Aborted" if mode == "planned" else "Success"), d.timeline(ticket)
        state = d.shard_detail(ticket, "s1")
        assert not state["drained"]
        if mode == "planned":
            assert not d.masters("s1") or d.masters("s1")[0] in d.redises("s1", HOME)
            assert "s1" in d.reason(ticket), d.reason(ticket)
        else:
            assert state["lostBytes"] > 0, state
    finally:
        keeper.resume()
    d.check(ticket)
