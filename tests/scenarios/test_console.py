"""The console is killed, cannot write, or has to wait: F21, F22, F25 to F27, F30."""
import re
import time
from pathlib import Path

import pytest

from harness.disk import SmallDisk, Unmountable
from harness.processes import stays, wait_until
from harness.switch import LOADED_S, TERMINAL, set_fault

HOME, AWAY = "jq", "fra"
OVER_S = 30.0    # F21: terminal at most so long after the restart
RESUMED_S = 5.0  # F21: goes on by itself
FAULT_H = Path(__file__).resolve().parents[2] / "shared/base/fault.h"

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
    "db_before_commit=crash@3": None, "db_commit=crash@4": None, "http_reply_lost": None,
}
# The same on the way back of a switch whose drain cannot be asked for, and of one with a shard that was promoted.
POINTS_BACK = ["migration_before_release", "migration_after_release", "migration_after_release=crash@2"]
POINTS_DEMOTE = ["migration_before_demote", "migration_after_demote"]
# `make test` has those between which the world differs; the address sanitizer watches.
FAST = {"migration_before_commit", "migration_after_check", "migration_after_hold=crash@2", "migration_after_freeze",
        "migration_before_promote", "migration_after_promote=crash@2", "migration_after_publish", "migration_before_follow",
        "migration_before_release", "migration_after_release", "migration_after_demote"}


def matrix(points):
    """Each point without keepers and with them."""
    return [pytest.param(site, point, marks=[pytest.mark.fast] if site == "plain" and point in FAST else [])
            for point in points for site in ("plain", "keepers")]


def crash_at(d, point, mode="planned"):
    """A ticket whose console dies at the point and is started again; and when it was ready again, by the wall clock."""
    ticket = d.ticket(mode=mode)
    if not set_fault(d.console, _crash(point)):
        pytest.skip("this build has no fault points")
    try:
        d.go(ticket)
    except Exception:  # noqa: BLE001 - it died before it could answer
        pass
    return ticket, restart(d)


def _crash(point):
    return point if "=" in point else f"{point}=crash"


def restart(d):
    assert d.console.wait_exit(OVER_S) != 0, "the point was not reached"
    d.console.start()
    return time.time()


def wait_resumed(d, ticket, since):
    """It does something by itself within 5 s, or was over."""
    def goes_on():
        return d.status(ticket) in TERMINAL or d.row(
            "SELECT 1 FROM migration_line_tbl l JOIN migration_cluster_tbl c ON c.id = l.migration_cluster_id "
            "WHERE c.migration_event_id = ? AND l.wall_ms >= ?", ticket, int(1000 * since) - 1000)
    wait_until(goes_on, RESUMED_S, "the switch to be resumed")


def test_every_fault_point_of_the_console_is_in_the_matrix():
    """A new one has to be taken into F21 or F22; those of metaservers are in F32."""
    listed = set(re.findall(r"F\((\w+)\)", FAULT_H.read_text()))
    ours = {p for p in listed if p.startswith(("migration_", "db_", "http_"))}
    assert ours == {p.split("=")[0] for p in (*POINTS, *POINTS_BACK, *POINTS_DEMOTE)}


@pytest.mark.scenario("F21")
@pytest.mark.parametrize(("any_site", "point"), matrix(POINTS), indirect=["any_site"])
def test_the_console_is_killed(any_site, drill, point):
    d = drill(any_site)
    ticket, back_at = crash_at(d, point)
    if d.row("SELECT is_started FROM migration_event_tbl WHERE id = ?", ticket) == (0,):
        d.go(ticket)  # it died before the start was stored: nobody has asked yet
    wait_resumed(d, ticket, back_at)
    status = d.wait_rest(ticket, OVER_S, wanted=(*TERMINAL, "CheckingFail"))
    if status == "CheckingFail":
        d.go(ticket)
        status = d.wait_rest(ticket, OVER_S, wanted=TERMINAL)
    assert status == (POINTS[point] or status), d.timeline(ticket)
    d.check(ticket)
    print(f"{point}: {status}, gap {d.gap_ms():.0f} ms")


@pytest.mark.scenario("F22")
@pytest.mark.parametrize(("any_site", "point"), matrix(POINTS_BACK), indirect=["any_site"])
def test_the_console_is_killed_while_it_rolls_back(any_site, drill, point):
    """The drain cannot be asked for: a planned switch goes back by itself."""
    d = drill(any_site)
    ticket, back_at = crash_at(d, f"migration_before_drain=error,{_crash(point)}")
    wait_resumed(d, ticket, back_at)
    assert d.wait_rest(ticket, OVER_S, wanted=TERMINAL) == "Aborted", d.timeline(ticket)
    d.check(ticket)


@pytest.mark.scenario("F22")
@pytest.mark.parametrize(("any_site", "point"), matrix(POINTS_DEMOTE), indirect=["any_site"])
def test_the_console_is_killed_while_it_takes_a_promotion_back(any_site, drill, point):
    """One shard was promoted, the other one could not be; the operator wants back."""
    d = drill(any_site)
    ticket = half_promoted(d)
    set_fault(d.console, _crash(point))
    try:
        d.roll_back(ticket)
    except Exception:  # noqa: BLE001 - it died before it could answer
        pass
    wait_resumed(d, ticket, restart(d))
    assert d.wait_rest(ticket, OVER_S, wanted=TERMINAL) == "Aborted", d.timeline(ticket)
    d.check(ticket)


def half_promoted(d):
    """A ticket that is paused with one shard promoted and one not."""
    ticket = d.ticket(mode="planned")
    if not set_fault(d.console, "migration_before_promote=error:20@2"):
        pytest.skip("this build has no fault points")
    d.go(ticket)
    assert d.wait_rest(ticket) == "PartialRetryFail", d.timeline(ticket)
    set_fault(d.console, "")
    assert sorted(s["promoted"] for s in d.detail(ticket)["shards"]) == [False, True]
    return ticket


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
