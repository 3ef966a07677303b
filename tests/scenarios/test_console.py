"""The console is killed, cannot write, or has to wait: F21, F22, F25 to F27, F30."""
import time

import pytest

from harness.processes import stays, wait_until
from harness.switch import TERMINAL, set_fault

HOME, AWAY = "jq", "fra"
OVER_S = 30.0

# How a planned switch has to end whose console dies there: once anything may be promoted, forward; else back. None: either.
POINTS = {
    "migration_before_commit": None, "migration_after_commit": None,
    "migration_before_precheck": None, "migration_after_precheck": None,
    "migration_before_check": None, "migration_after_check": None, "migration_after_check=crash@2": None,
    "migration_before_hold": "Aborted", "migration_after_hold": "Aborted", "migration_after_hold=crash@2": "Aborted",
    "migration_before_drain": "Aborted", "migration_after_drain": "Aborted", "migration_after_drain=crash@2": "Aborted",
    "migration_before_freeze": "Aborted", "migration_after_freeze": "Aborted", "migration_after_freeze=crash@2": "Aborted",
    "migration_before_promote": "Success", "migration_after_promote": "Success", "migration_after_promote=crash@2": "Success",
    "migration_before_publish": "Success", "migration_after_publish": "Success",
    "migration_before_follow": "Success", "migration_after_follow": "Success",
    "db_before_commit=crash@3": None, "db_commit=crash@4": None,
}


def crash_at(d, point, mode="planned"):
    """A ticket whose console dies at the point and is started again."""
    ticket = d.ticket(mode=mode)
    if not set_fault(d.console, point if "=" in point else f"{point}=crash"):
        pytest.skip("this build has no fault points")
    try:
        d.go(ticket)
    except Exception:  # noqa: BLE001 - it died before it could answer
        pass
    assert d.console.wait_exit(OVER_S) != 0, "the point was not reached"
    d.console.start()
    return ticket


@pytest.mark.scenario("F21")
@pytest.mark.parametrize("point", POINTS)
def test_the_console_is_killed(any_site, drill, point):
    d = drill(any_site)
    ticket = crash_at(d, point)
    if d.status(ticket) == "Initiated" and POINTS[point] is None:
        time.sleep(1)
        if d.status(ticket) == "Initiated":  # it died before the start was stored: nobody has asked yet
            d.go(ticket)
    status = d.wait_rest(ticket, OVER_S, wanted=(*TERMINAL, "CheckingFail"))
    if status == "CheckingFail":
        d.go(ticket)
        status = d.wait_rest(ticket, OVER_S, wanted=TERMINAL)
    assert status == (POINTS[point] or status), d.timeline(ticket)
    d.check(ticket)


@pytest.mark.scenario("F21")
@pytest.mark.fast
@pytest.mark.parametrize("point", ["migration_after_hold", "migration_after_promote"])
def test_the_console_is_killed_in_the_outage(site, drill, point):
    d = drill(site)
    ticket = crash_at(d, point)
    status = d.wait_rest(ticket, OVER_S, wanted=TERMINAL)
    assert status == POINTS[point], d.timeline(ticket)
    d.check(ticket)
    print(f"{point}: gap {d.gap_ms():.0f} ms")


@pytest.mark.scenario("F22")
@pytest.mark.parametrize("point", ["migration_before_release", "migration_after_release", "migration_after_release=crash@2"])
def test_the_console_is_killed_while_it_rolls_back(any_site, drill, point):
    """The drain cannot be asked for: a planned switch goes back by itself."""
    d = drill(any_site)
    ticket = crash_at(d, "migration_before_drain=error," + (point if "=" in point else f"{point}=crash"))
    assert d.wait_rest(ticket, OVER_S, wanted=TERMINAL) == "Aborted", d.timeline(ticket)
    d.check(ticket)


@pytest.mark.scenario("F25")
@pytest.mark.parametrize("fault", ["migration_before_commit=error:3@4", "db_before_commit=error:3@6", "db_commit=error:2@6"])
def test_the_database_cannot_be_written_for_a_while(site, drill, fault):
    d = drill(site)
    ticket = d.ticket()
    if not set_fault(d.console, fault):
        pytest.skip("this build has no fault points")
    d.go(ticket)
    status = d.wait_rest(ticket, OVER_S)
    set_fault(d.console, "")
    assert status in ("Success", "Aborted"), d.timeline(ticket)
    d.check(ticket)


@pytest.mark.scenario("F26")
def test_a_release_that_fails_is_no_aborted_switch(site, drill):
    """The source's Redis of one shard hangs when it is to be released."""
    d = drill(site)
    master = d.old_master("s1")
    ticket = d.ticket(mode="planned")
    if not set_fault(d.console, "migration_before_drain=error,migration_before_release=delay:400"):
        pytest.skip("this build has no fault points")
    d.go(ticket)
    wait_until(lambda: d.status(ticket) == "RollBack", 15, "the way back")
    master.pause()
    try:
        status = d.wait_rest(ticket, 40)
        set_fault(d.console, "")
        assert status == "RollBackFail", d.timeline(ticket)
        assert "s1" in d.reason(ticket)
    finally:
        master.resume()
    d.go(ticket)
    assert d.wait_rest(ticket, wanted="Aborted") == "Aborted"
    d.check(ticket)


@pytest.mark.scenario("F27")
def test_a_release_that_takes_too_long_is_no_aborted_switch(site, drill):
    """The source's metaserver and the ways around it are silent."""
    d = drill(site)
    ticket = d.ticket(mode="planned")
    if not set_fault(d.console, "migration_before_drain=error,migration_before_release=delay:400"):
        pytest.skip("this build has no fault points")
    d.go(ticket)
    wait_until(lambda: d.status(ticket) == "RollBack", 15, "the way back")
    site.isolate(HOME, d.cluster)
    begin = time.monotonic()
    assert d.wait_rest(ticket, 60) == "RollBackFail", d.timeline(ticket)
    print(f"paused after {time.monotonic() - begin:.1f} s")
    set_fault(d.console, "")
    site.heal(d.cluster)
    d.go(ticket)
    assert d.wait_rest(ticket, wanted="Aborted") == "Aborted"
    d.check(ticket)


@pytest.mark.scenario("F27")
def test_a_release_behind_the_metaservers_back_stays(site, drill):
    """The console releases the Redis itself; the source's metaserver, which still knows of the fence, is heard of again."""
    d = drill(site)
    ticket = d.ticket(mode="planned")
    if not set_fault(d.console, "migration_before_drain=error,migration_before_release=delay:400"):
        pytest.skip("this build has no fault points")
    d.go(ticket)
    wait_until(lambda: d.status(ticket) == "RollBack", 15, "the way back")
    site.meta_relay[HOME].set("silent")
    status = d.wait_rest(ticket, 60)
    set_fault(d.console, "")
    assert status == "Aborted", d.timeline(ticket)
    site.heal(d.cluster)
    d.wait_acks()
    stays(lambda: all(d.masters(s) for s in d.cluster.shards), 5, "the masters' writability")
    d.check(ticket)


@pytest.mark.scenario("F30")
def test_retry_after_repair_touches_only_what_failed(site, drill):
    """From PartialRetryFail: one shard's promotion fails, the other one's is done."""
    d = drill(site)
    ticket = d.ticket(mode="planned")
    if not set_fault(d.console, "migration_before_promote=error:20@2"):
        pytest.skip("this build has no fault points")
    d.go(ticket)
    status = d.wait_rest(ticket)
    assert status == "PartialRetryFail", d.timeline(ticket)
    set_fault(d.console, "")
    done = [s["shard"] for s in d.detail(ticket)["shards"] if s["promoted"]]
    assert len(done) == 1
    count = promotions(d, ticket, done[0])
    d.go(ticket)
    assert d.wait_rest(ticket, wanted="Success") == "Success"
    assert promotions(d, ticket, done[0]) == count
    d.check(ticket)


def promotions(d, ticket, shard):
    return sum(x["kind"] == "intent" and x["to"] == "promote" and x["shard"] == shard for x in d.detail(ticket)["timeline"])
