"""A whole switch told by a webhook: console, metaservers, real Redis, clients that follow it. Everything that can break: tests/scenarios."""
import pytest

from harness.switch import Drill, SwitchWorld

GAP_MS = 2000.0  # bench measures; here a machine does other things beside


@pytest.fixture(scope="module")
def site(zookeepers):
    with SwitchWorld(zookeepers, "hooked", webhook=True) as world:
        yield world.start()


@pytest.mark.serial
def test_a_switch_there_and_back_is_told_by_the_webhook(site):
    with Drill(site, "hooked") as d:
        for turn in range(2):
            before = site.console.metrics()
            ticket = d.switch("planned")
            assert d.wait_rest(ticket) == "Success", d.timeline(ticket)
            d.wait_acks()
            assert d.gap_ms() < GAP_MS, d.timeline(ticket)
            (_, name, dc, masters), = site.outer.publishes[turn:]
            assert (name, dc) == ("hooked", d.cluster.primary)
            assert sorted(masters) == sorted(d.cluster.master(s).address for s in d.cluster.shards)
            after = site.console.metrics()
            for metric in ('xpipe_migration_write_gap_seconds_count{result="switched"}', 'xpipe_migrations_total{status="Success"}'):
                assert after[metric] == before[metric] + 1
            d.cluster.wait_whole()
            d.wait_unfenced()
        d.check(ticket)
        assert site.outer.requests and all(path == site.outer.hook_path for _, path, _ in site.outer.requests), "only the webhook is asked"
