"""Sentinels that do not answer: F35. Real ones, which the metaservers reach through relays; each DC has a group of its own."""
import pytest

from harness.processes import wait_until
from harness.redis_server import Sentinel
from harness.relay import Relay
from harness.switch import LOADED_S

HOME, AWAY = "jq", "fra"
SETTINGS = {"meta.sentinel.check.milli": 500, "meta.sentinel.differs.milli": 2000}
COUNT = 3
LIMIT_S = 30
SAME_MS = 20.0 + 10 * LOADED_S  # F35: the outage is unchanged (+- 20 ms); a sentinel that is waited for would cost 500 ms
TURNS = 4       # of each kind; the shortest gap of them is compared: what the machine does beside makes gaps longer only


class Group:
    """The sentinels of a DC, registered at the console by the addresses of relays."""

    def __init__(self, site, dc):
        self.dc = dc
        self.sentinels = [Sentinel(site.workspace, f"sentinel-{dc}-{i + 1}").start() for i in range(COUNT)]
        self.relays = [Relay([s.port]) for s in self.sentinels]
        dc_id = next(d["dc_id"] for d in site.console.get("/api/dc")["payload"] if d["dc_name"] == dc)
        site.console.post("/api/sentinels", {"clusterType": "ONE_WAY", "sentinels": [
            {"dcId": dc_id, "sentinelIp": "127.0.0.1", "sentinelPort": r.port} for r in self.relays]})

    def watched(self, d, shard):
        """What each of them watches for the shard."""
        return [s.watched(f"{d.name}+{shard}+{self.dc}") for s in self.sentinels]


@pytest.fixture
def site(worlds):
    world = worlds.get(meta_settings=SETTINGS)
    if not hasattr(world, "sentinels"):
        world.sentinels = {dc: Group(world, dc) for dc in (HOME, AWAY)}
    yield world
    set_all(world, "open")


def set_all(site, mode, count=COUNT):
    for group in site.sentinels.values():
        for relay in group.relays[:count]:
            relay.set(mode)


def wait_watched(d):
    """Those of the primary DC watch its masters, the others nothing."""
    def as_it_should_be():
        for dc, group in d.world.sentinels.items():
            for shard in d.cluster.shards:
                wanted = d.cluster.master(shard).address if dc == d.cluster.primary else None
                assert group.watched(d, shard) == [wanted] * COUNT, (dc, shard, wanted, group.watched(d, shard))
        return True
    wait_until(as_it_should_be, LIMIT_S, "the monitors")


def gap_of_a_switch(d):
    since = max(w.log[-1].got for w in d.writers.values())
    ticket = d.switch("planned")
    assert d.wait_rest(ticket) == "Success", d.timeline(ticket)
    d.wait_acks()
    d.cluster.wait_whole()
    d.wait_unfenced()
    return ticket, d.gap_ms(since)


@pytest.mark.scenario("F35")
def test_sentinels_that_are_black_holed_cost_nothing(site, drill):
    d = drill(site)
    wait_watched(d)
    gaps = {}
    for kind, silent in (("all answer", 0), ("one silent", 1), ("all silent", COUNT)):
        set_all(site, "silent", silent)
        gaps[kind] = [gap_of_a_switch(d)[1] for _ in range(TURNS)]
        set_all(site, "open")
        wait_watched(d)
    print("gaps, ms: " + "; ".join(f"{kind}: {', '.join(f'{g:.0f}' for g in some)}" for kind, some in gaps.items()))
    bar = min(gaps["all answer"]) + SAME_MS
    assert min(gaps["one silent"]) < bar and min(gaps["all silent"]) < bar, gaps
    assert max(gaps["one silent"] + gaps["all silent"]) < 1000 * LOADED_S, gaps
    d.check(d.tickets[-1])
