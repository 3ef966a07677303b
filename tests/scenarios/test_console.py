"""The console is killed, cannot write, or has to wait: F21, F22, F25 to F27, F30."""
import re
import shutil
import time
from pathlib import Path

import pytest

from harness import events
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
    "db_before_commit=crash@3": None, "db_commit=crash@4": None, "http_reply_lost=crash@2": None,  # 1: to who sets it
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
    try:
        if not set_fault(d.console, _crash(point)):
            pytest.skip("this build has no fault points")
        d.go(ticket)
    except Exception:  # noqa: BLE001 - it died before it could answer, perhaps while it only looked at the new ticket
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
    if not set_fault(d.console, "migration_before_promote=error:1000@2"):
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


@pytest.fixture
def small_disk_site(worlds):
    """The database of the console is on a disk of its own, of a few megabytes."""
    world = worlds.get(kind="small disk")
    if not hasattr(world, "disk"):
        try:
            world.disk = SmallDisk(world.workspace.dir / "disk")
        except Unmountable as e:
            pytest.skip(str(e))
        move_database(world.console, world.disk.path)
        world.at_close(world.disk.close)
    return world


def move_database(console, folder):
    console.stop()
    for part in console.db_path.parent.glob(f"{console.db_path.name}*"):
        shutil.move(part, folder / part.name)
    console.db_path = console.settings["console.db.path"] = folder / console.db_path.name
    console.start()


@pytest.mark.scenario("F25")
@pytest.mark.parametrize("when", ["before", "held"])
def test_the_disk_of_the_console_is_full(small_disk_site, drill, when):
    """Nothing is sent whose intent is not on the disk: while it is full, no Redis changes but for the fence whose intent is there, which is
    carried out whole, and nobody is promoted. With room it goes on by itself."""
    site = small_disk_site
    d = drill(site)
    ticket = d.ticket(mode="planned")
    masters = [d.old_master(s) for s in d.cluster.shards]
    if not set_fault(d.console, "migration_after_hold=delay:300"):
        pytest.skip("this build has no fault points")
    try:
        if when == "before":
            site.disk.fill()
            answer = d.console.request("POST", "/api/migration/domigration", {"ticketId": ticket}, timeout=20)
            assert answer.status_code != 200 or not answer.json()["success"], answer.text
        else:
            d.go(ticket)
            wait_until(lambda: d.shard_detail(ticket, "s1")["pending"] == "hold", 15, "the hold")
            site.disk.fill()
            wait_until(lambda: all(m.role == "slave" for m in masters), 10, "the fence to be carried out")
        before = roles(d)
        stays(lambda: roles(d) == before, 1.5, "the Redis")
        assert d.console.metrics()["xpipe_migration_turns_failed_total"] > 0 or when == "before"
    finally:
        site.disk.empty()
    set_fault(d.console, "")
    if when == "before":
        wait_until(lambda: d.go(ticket)["success"], 15, "the start to be stored")
    assert d.wait_rest(ticket, OVER_S) in ("Success", "Aborted"), d.timeline(ticket)
    d.check(ticket)


def roles(d):
    return {r.name: (r.role, events.is_held(r)) for r in d.cluster.all_redises()}


@pytest.mark.scenario("F26")
def test_a_release_that_fails_is_no_aborted_switch(site, drill):
    """The source's Redis of one shard hangs when it is to be released."""
    d = drill(site)
    master = d.old_master("s1")
    ticket = rolling_back(d)
    master.pause()
    try:
        status = d.wait_rest(ticket, 40)
        assert status == "RollBackFail", d.timeline(ticket)
        assert "s1" in d.reason(ticket)
    finally:
        master.resume()
    set_fault(d.console, "")
    retry(d, ticket, "Aborted")
    assert d.count(ticket, "release")["s2"] == 1, "what was released is left alone"
    d.check(ticket)


def rolling_back(d):
    """A ticket on its way back; the first release waits a moment."""
    ticket = d.ticket(mode="planned")
    if not set_fault(d.console, "migration_before_drain=error,migration_before_release=delay:400"):
        pytest.skip("this build has no fault points")
    d.go(ticket)
    wait_until(lambda: d.status(ticket) == "RollBack", 15, "the way back")
    return ticket


def retry(d, ticket, wanted, tries=3):
    """Asks again until it is what it should be: an operator's patience with a machine that does other things beside."""
    for _ in range(tries):
        d.go(ticket)
        if d.wait_rest(ticket) == wanted:
            return
    raise AssertionError(f"still {d.status(ticket)}: {d.reason(ticket)}\n{d.timeline(ticket)}")


@pytest.mark.scenario("F27")
def test_a_release_that_takes_too_long_is_no_aborted_switch(site, drill):
    """The source's metaserver and the ways around it are silent."""
    d = drill(site)
    ticket = rolling_back(d)
    site.isolate(HOME, d.cluster)
    begin = time.monotonic()
    assert d.wait_rest(ticket, 60) == "RollBackFail", d.timeline(ticket)
    print(f"paused after {time.monotonic() - begin:.1f} s")
    set_fault(d.console, "")
    site.heal(d.cluster)
    retry(d, ticket, "Aborted")
    d.check(ticket)


@pytest.mark.scenario("F27")
def test_a_release_behind_the_metaservers_back_stays(site, drill):
    """The console releases the Redis itself; the source's metaserver, which still knows of the fence, is heard of again."""
    d = drill(site)
    ticket = rolling_back(d)
    site.meta_relay[HOME].set("silent")
    status = d.wait_rest(ticket, 60)
    set_fault(d.console, "")
    assert status == "Aborted", d.timeline(ticket)
    site.heal(d.cluster)
    d.wait_acks()
    stays(lambda: all(d.masters(s) for s in d.cluster.shards), 5, "the masters' writability")
    d.check(ticket)


@pytest.mark.scenario("F21")
def test_a_release_that_the_metaserver_never_hears_of_stays(site, drill):
    """As before, but the console's word never comes: the metaserver learns from the metadata that the migration is over, and opens its master."""
    d = drill(site)
    ticket = rolling_back(d)
    site.meta_relay[HOME].set("refuse")
    d.wait_rest(ticket, 60)
    set_fault(d.console, "")
    if d.status(ticket) == "RollBackFail":  # a loaded machine: the other ways were too slow, too
        retry(d, ticket, "Aborted")
    assert d.status(ticket) == "Aborted", d.timeline(ticket)
    wait_until(lambda: not any(d.masters(s) for s in d.cluster.shards), 5, "the fence to be asserted once more")
    site.heal(d.cluster)
    d.wait_acks()
    stays(lambda: all(d.masters(s) for s in d.cluster.shards), 3, "the masters' writability")
    d.check(ticket)


# Every paused state: how it is reached, what it is after the repair. (Also F05, F08, F26, F27, F29.)

def to_checking_fail(d):
    d.world.outer.may = False
    ticket = d.switch("planned")
    return ticket, "CheckingFail"


def to_partial_retry_fail(d):
    return half_promoted(d), "PartialRetryFail"


def to_publish_fail(d):
    d.world.outer.takes = False
    return d.switch("planned"), "PublishFail"


def to_roll_back_fail(d):
    ticket = rolling_back(d)
    set_fault(d.console, "migration_before_drain=error,migration_before_release=error")
    return ticket, "RollBackFail"


PAUSED = {"CheckingFail": to_checking_fail, "PartialRetryFail": to_partial_retry_fail, "PublishFail": to_publish_fail,
          "RollBackFail": to_roll_back_fail}


def paused(d, state):
    ticket, status = PAUSED[state](d)
    assert d.wait_rest(ticket) == status, d.timeline(ticket)
    set_fault(d.console, "")
    d.world.outer.may = d.world.outer.takes = True
    return ticket


@pytest.mark.scenario("F30")
@pytest.mark.parametrize("state", PAUSED)
def test_retry_after_repair_touches_only_what_failed(any_site, drill, state):
    """And what it says now replaces what it said before."""
    d = drill(any_site)
    ticket = paused(d, state)
    promoted = [s["shard"] for s in d.detail(ticket)["shards"] if s["promoted"]]
    before = {call: d.count(ticket, call) for call in ("hold", "promote")}
    d.go(ticket)
    wanted = "Aborted" if state == "RollBackFail" else "Success"
    assert d.wait_rest(ticket, wanted=wanted) == wanted
    for shard in promoted:
        assert all(d.count(ticket, call)[shard] == before[call][shard] for call in before), d.timeline(ticket)
    if wanted == "Success":
        for shard in d.cluster.shards:
            wrong = [s for s in d.shard_detail(ticket, shard)["steps"] if s["result"] == "failed" or "fault point" in (s["text"] or "")]
            assert not wrong, wrong
    d.check(ticket)


# Every state that can be rolled back from: the world is what it was. (Also F31: Migrating; F22: the console dies on the way.)

def initial_state(d):
    """What must be as before: who is master, the active DC, the lock, every setting that a switch touches."""
    names = ("min-slaves-to-write", "min-slaves-max-lag", "slave-read-only", "slave-priority")
    settings = {r.name: [r.run("CONFIG", "GET", name)[1] for name in names] for r in d.cluster.all_redises()}
    return d.fingerprint(), settings, {r.name: r.role for r in d.cluster.all_redises()}


@pytest.mark.scenario("F30")
@pytest.mark.parametrize("state", ["Initiated", "Checking", "CheckingFail", "Migrating", "PartialRetryFail", "RollBackFail"])
def test_rolled_back_to_the_initial_state(any_site, drill, state):
    d = drill(any_site)
    before = initial_state(d)
    if state in PAUSED:
        ticket = paused(d, state)
    else:
        ticket = d.ticket(mode="planned")
        delay = {"Checking": "migration_after_check=delay:800@1", "Migrating": "migration_before_hold=delay:800@1"}.get(state, "")
        if not set_fault(d.console, delay):
            pytest.skip("this build has no fault points")
        if delay:
            d.go(ticket)
        wait_until(lambda: d.status(ticket) == state, 15, f"it to be {state}")
    if state == "RollBackFail":
        d.go(ticket)
    else:
        assert d.roll_back(ticket)["success"], d.timeline(ticket)
    assert d.wait_rest(ticket, wanted="Aborted") == "Aborted", d.timeline(ticket)
    set_fault(d.console, "")
    d.wait_acks()
    d.cluster.wait_whole()

    def is_as_before():
        assert initial_state(d) == before
        return True
    wait_until(is_as_before, 15, "the initial state")
    d.check(ticket)
