#!/usr/bin/env python3
"""make bench-keepers: how long a one-way shard is without its active keeper, and how long what is changed by hand stays wrong.

Real: console, metaservers of two DCs, ZooKeeper, Redis. Stood in for: keepers and their containers (tests/fakes). The active keeper is killed
(SIGKILL) in one DC and the other in turn; it counts as replaced when another one is ACTIVE with its link up and everything of that DC, and in
the primary one of the other DC too, follows it with the link up. The bar of issue 4: the session of the keeper in ZooKeeper and 1 s.
A Redis of the backup DC is made a master, or pointed elsewhere: right again within 2 s. Writes build/bench/keepers.json.
"""
import argparse
import sys
import time

from report import Report
from takeover import percentile
from harness.cluster import World
from harness.keepers import SESSION_MS
from harness.processes import wait_until

HOME, AWAY = "jq", "fra"
LIMIT_S = 60  # of every wait; far more than a quiet machine needs
TAKEOVER_BAR_MS = 1000
BY_HAND_BAR_MS = 2000


def follows(server, upstream):
    role = server.run("ROLE")
    return len(role) == 5 and f"{role[1]}:{role[2]}" == upstream.address and role[3] == "connected"


def new_active(cluster, dc, old):
    """The keeper of the DC, other than 'old', that is ACTIVE; None: none is."""
    return next((k for k in cluster.keepers(dc) if k.address != old.address and k.state == "ACTIVE"), None)


def is_replaced(cluster, dc, old):
    active = new_active(cluster, dc, old)
    if not active or not active.link == "connected":
        return False
    if dc == HOME:
        return follows(cluster.active_keeper(AWAY), active)
    return all(follows(r, active) for r in cluster.redises[AWAY]["s1"])


def took_ms(action, condition, what):
    action()
    began = time.monotonic()
    wait_until(condition, LIMIT_S, what)
    return (time.monotonic() - began) * 1000


def kill_active(cluster, dc):
    old = cluster.active_keeper(dc)
    return took_ms(old.kill, lambda: is_replaced(cluster, dc, old), f"another active keeper in {dc}")


def change_by_hand(cluster, number):
    server = cluster.redises[AWAY]["s1"][number % 2]
    active = cluster.active_keeper(AWAY)
    changes = (lambda: server.replicate(None), lambda: server.run("SLAVEOF", "127.0.0.1", 1))
    return took_ms(changes[number // 2 % 2], lambda: follows(server, active), f"{server.name} to be put right")


def spread(report, name, values, bar=None):
    report.figure(f"{name}, p50", percentile(values, 50), "ms")
    report.figure(f"{name}, p99", percentile(values, 99), "ms", bar)
    report.figure(f"{name}, slowest", max(values), "ms")


def main():
    parser = argparse.ArgumentParser(description="keepers that die, and what is changed by hand")
    parser.add_argument("--runs", type=int, default=20, help="kills in each DC, and half as many changes by hand in each way")
    args = parser.parse_args()
    report = Report("keepers")
    with World(dcs=[HOME, AWAY], shards=0, metas=2, containers=2) as world:
        world.start()
        cluster = world.one_way("orders", replicas=1).create()
        cluster.wait_whole()
        for dc in (HOME, AWAY):
            times = []
            for _ in range(args.runs):
                times.append(kill_active(cluster, dc) - SESSION_MS)
                cluster.wait_whole()
            spread(report, f"active keeper of the {'primary' if dc == HOME else 'backup'} DC killed, minus its session", times,
                   TAKEOVER_BAR_MS)
        times = []
        for number in range(2 * args.runs):
            times.append(change_by_hand(cluster, number))
            cluster.wait_whole()
        spread(report, "a Redis changed by hand to right again", times, BY_HAND_BAR_MS)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
