"""A whole switch told by a webhook: console, metaservers, real Redis, clients that follow it. Everything that can break: tests/scenarios."""
import pytest

from harness.processes import Lateness, wait_until
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
            before, late = site.console.metrics(), Lateness()
            ticket = d.switch("planned")
            assert d.wait_rest(ticket) == "Success", d.timeline(ticket)
            d.wait_acks()
            assert d.gap_ms() < GAP_MS + 1000 * late.allowance_s, d.timeline(ticket)
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


def test_a_divergence_is_told_by_the_webhook_once(site):
    """What a metaserver reports of a returned master: stored, told, and not again when it is reported again. The whole way: tests/scenarios, F04."""
    with Drill(site, "diverged", shards=1, writers=False, prober=False) as d:
        body = {"dc": "jq", "cluster": d.name, "shard": "s1", "redis": "127.0.0.1:7001", "replId": "a" * 40, "offset": 1500,
                "promotedOffset": 1000, "bytes": 500, "why": "compared", "reason": "a test says so", "wallMs": 1700000000000}
        before = site.console.metrics()
        answers = [site.console.request("POST", "/api/v2/divergences", body) for _ in range(2)]
        assert [a.status_code for a in answers] == [201, 200], answers
        assert answers[0].json() == answers[1].json()

        def told():
            return [b for _, _, b in site.outer.requests if b["event"] == "diverged"]
        wait_until(told, 10, "the webhook to be told")
        told, = told()
        assert (told["cluster"], told["shard"], told["redis"], told["bytes"], told["migration"]) == (d.name, "s1", "127.0.0.1:7001", 500, None)
        after = site.console.metrics()
        assert after["xpipe_divergences_total"] == before.get("xpipe_divergences_total", 0) + 1
        assert after["xpipe_divergence_bytes_total"] == before.get("xpipe_divergence_bytes_total", 0) + 500
