"""Somebody sets the wall clock under a metaserver: leases, polls and corrections live by the monotonic clock and go on."""
import re
from datetime import datetime, timezone

import pytest

from harness.clock import FAKETIME, FakeClock
from harness.hostile import Trial
from harness.hostile_site import Site
from harness.processes import stays, wait_until

PERIODS_S = 1.5  # many polls, a ping or two


def logged_offset_s(meta):
    """How far the clock of the last line of the log is from ours."""
    stamp = re.findall(r"^(\d{4}-\S+)Z ", meta.log_path.read_text(), re.M)[-1]
    return (datetime.fromisoformat(stamp).replace(tzinfo=timezone.utc) - datetime.now(timezone.utc)).total_seconds()


def test_a_clock_set_an_hour_back_and_forth(zookeepers):
    if not FAKETIME.exists():
        pytest.skip(f"{FAKETIME} is missing: make deps")
    with Site(zookeepers[0], "hostile-clock", **{"zk.session.timeout.milli": 5000}) as site:
        clock = FakeClock(site.workspace.dir)
        meta = site.meta
        meta.env = clock.env
        site.start()
        wait_until(lambda: meta.readiness()[0], 10, "the metaserver to be ready")
        slots = meta.get("/api/metacluster/debug")["inchargeSlots"]
        assert len(slots) == 256
        zk_metrics = ("xpipe_zk_sessions_total", "xpipe_zk_lease_losses_total")
        before = [meta.metrics().get(name, 0) for name in zk_metrics]  # not shown before it happens

        def keeps_all():
            return meta.readiness()[0] and len(meta.get("/api/metacluster/debug")["inchargeSlots"]) == 256
        with Trial(meta):
            for text in ("-3600", "+3600", "-7200", "+0"):
                mark = meta.log_path.stat().st_size
                polls = meta.metrics()['xpipe_meta_polls_total{result="ok"}']
                fetches = site.fetches("ok") + site.fetches("failed")
                clock.set(text)
                site.home.peerof(2, "127.0.0.1", "1")  # wrong: to be put right
                wait_until(site.check_calm, 15, f"the correction after the clock was set to {text}")
                stays(keeps_all, PERIODS_S, "having all slots")
                assert meta.metrics()['xpipe_meta_polls_total{result="ok"}'] >= polls + 3
                assert site.fetches("ok") + site.fetches("failed") > fetches
                assert meta.log_path.stat().st_size > mark and abs(logged_offset_s(meta) - int(text)) < 60, "the clock was not set"
        assert before[0] == 1 and [meta.metrics().get(name, 0) for name in zk_metrics] == before
