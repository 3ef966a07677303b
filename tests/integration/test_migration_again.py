"""What an operator has not to do by hand: a metaserver that restarts in the middle of a switch is outlived, and who was switched there may be
switched back at once. All but the last need fault points (MODE=debug, asan, tsan)."""
import time

import pytest

from harness.events import is_held
from harness.processes import stays, wait_until
from harness.switch import Drill, SwitchWorld, set_fault

HOME, AWAY = "jq", "fra"
OUTAGE_MAX_MS = 4000
AWAY_S = 2.0      # how long the metaserver is away
REASSERTED_S = 4  # a fence that is in force is looked at every second


@pytest.fixture(scope="module")
def site(zookeepers):
    settings = {"console.migration.outage.max.ms": OUTAGE_MAX_MS, "console.migration.drain.timeout.ms": 2000}
    with SwitchWorld(zookeepers, "again", console_settings=settings) as world:
        yield world.start()


@pytest.fixture
def d(site):
    with Drill(site, f"again{time.monotonic_ns()}", direct=True) as drill:  # nothing is done to the network of its Redis
        yield drill


def need(has_faults):
    if not has_faults:
        pytest.skip("this build has no fault points")


def steps(d, ticket, call):
    return [row for row in d.timeline(ticket).splitlines() if f" {call}" in row and "result" in row]


def test_a_destination_that_restarts_in_its_promotion(site, d):
    """Promoted, and nobody was told: it is asked again until it is back, and says so."""
    meta = site.dcs[AWAY].meta
    need(set_fault(meta, "meta_after_promote=crash"))
    ticket = d.switch("planned")
    assert meta.wait_exit(20) != 0
    stays(lambda: d.status(ticket) == "Migrating", AWAY_S)
    meta.start()
    assert d.wait_rest(ticket) == "Success", d.timeline(ticket)
    assert len(steps(d, ticket, "promote")) > 3, d.timeline(ticket)  # of two shards
    d.check(ticket)


def test_a_destination_that_restarts_on_the_way_back(site, d):
    """Perhaps promoted, and away for longer than writes may be refused: back, as soon as it can be asked, and without anybody's help."""
    meta = site.dcs[AWAY].meta
    need(set_fault(meta, "meta_before_promote=crash"))
    ticket = d.switch("planned")
    assert meta.wait_exit(20) != 0
    wait_until(lambda: d.status(ticket) == "RollBack", OUTAGE_MAX_MS / 1000 + 6, "the way back")
    stays(lambda: d.status(ticket) == "RollBack", AWAY_S)
    meta.start()
    assert d.wait_rest(ticket) == "Aborted", d.timeline(ticket)
    d.wait_acks()
    d.check(ticket)


def test_a_source_that_restarts_on_the_way_back(site, d):
    """The release is done by another way; its metaserver, when it is back, does not take its old record for a fence in force."""
    meta = site.dcs[HOME].meta
    need(set_fault(site.console, "migration_before_drain=error"))
    try:
        need(set_fault(meta, "meta_before_fence=crash@3"))  # the holds of two shards, then a release
        ticket = d.switch("planned")
        assert meta.wait_exit(20) != 0
        meta.start()
        assert d.wait_rest(ticket) == "Aborted", d.timeline(ticket)
    finally:
        set_fault(site.console, "")
    d.wait_acks()
    wait_until(lambda: meta.readiness()[0], 20, "the metaserver to be ready")
    masters = [d.cluster.master(s) for s in d.cluster.shards]
    stays(lambda: not any(is_held(m) for m in masters), REASSERTED_S, "no fence behind its back")
    d.wait_acks()
    d.check(ticket)


def test_there_and_back_at_once(d):
    """Nobody waits for the settings of the first fence: the second check does."""
    for target in (AWAY, HOME, AWAY):
        ticket = d.switch("planned")
        assert d.wait_rest(ticket) == "Success", d.timeline(ticket)
        assert d.cluster.primary == target
    d.wait_acks()
    d.check(ticket)
