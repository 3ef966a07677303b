#!/usr/bin/env python3
"""make bench-switchover: how long clients cannot write while one-way clusters are switched to the other DC, and how long the switch takes.

Real: console, metaservers of two DCs, ZooKeeper, Redis (small ones, one per shard and DC), clients that write. Stood in for: the platform
that tells clients of the new master, keepers (tests/fakes). One shard; ten shards of one cluster, without keepers and with two in each DC; then many
clusters in one event, with writers on some of them.
The yardstick, in the same run: the bare commands of a switch (dr-switchover.md 7.3) sent by this program to Redis that nobody manages, with
the same writers. The write gap is the longest time between two acknowledged writes of a shard. All writers together write 2,000 times a second at
most: with keepers each write passes six Redis, and one a millisecond and shard fills two cores before the switch begins; then the clients are what is measured.
Bars: design.md 7. Writes build/bench/switchover.json.
"""
import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from report import Report
from takeover import percentile
from harness.cluster import World
from harness.processes import wait_until
from harness.redis_server import RedisServer
from harness import events
from harness.events import Clients, OuterClient, other_dc
from harness.witness import WRITE_PAUSE_S

HOME, AWAY = "jq", "fra"
LIMIT_S = 120  # of every wait; far more than a quiet machine needs
GAP_P99_BAR_MS = 300
ROUND_TRIPS_BAR = 10  # times the sum of the round trips
TEN_P50_BAR_MS, TEN_MAX_BAR_MS = 100, 500  # of ten shards with keepers
THOUSAND_BAR_S = 60
WRITES_A_SECOND = 2000  # of all writers together
REDIS_MB = 6  # what a small Redis and its place in the daemons take, to be on the safe side
SAMPLED = 4  # clusters of a large event that have writers: these are threads of one Python, more of them would wait for each other
LOOK_S = (0.02, 0.0005)  # between two looks at an event: so much, and so much for each cluster
REFUSE_ALL = 2147483647


class SmallRedis(RedisServer):
    """As many as possible on one machine."""

    def _more_config(self):
        return [*super()._more_config(), "hz 1", "dynamic-hz no", "latency-tracking no", "activerehashing no"]


def writers(clusters, outer=None):
    """A client for each shard; the pause between two writes is in the write gap."""
    count = sum(len(c.shards) for c in clusters)
    return Clients(clusters, outer, pause=max(WRITE_PAUSE_S, count / WRITES_A_SECOND))


# ---- the bare commands ----

def bare_cluster(world, shards):
    """Redis of which the console does not know: a master in jq, its replica in fra."""
    cluster = world.one_way(f"bare{shards}", shards=shards, server=SmallRedis)
    for shard in cluster.shards:
        cluster.redises[AWAY][shard][0].replicate(cluster.redises[HOME][shard][0])
    wait_online(cluster)
    return cluster


def wait_online(cluster):
    """Every write of a master is on its way to the replica at once."""
    masters = [cluster.redises[cluster.primary][s][0] for s in cluster.shards]
    wait_until(lambda: all("state=online" in m.info("replication").get("slave0", "") for m in masters), LIMIT_S, "the bare Redis to follow")


def bare_switch(cluster, shard, clients):
    """Fence, drain, freeze, promote, tell the client; then what is outside of the gap. Returns ms of the round trips within the gap."""
    old, new = (cluster.redises[dc][shard][0] for dc in (cluster.primary, other_dc(cluster)))
    saved = old.run("CONFIG", "GET", "min-replicas-to-write")[1]
    began = time.monotonic()
    old.run("CONFIG", "SET", "min-replicas-to-write", REFUSE_ALL)
    offset = int(old.info("replication")["master_repl_offset"])
    while int(new.info("replication")["slave_repl_offset"]) < offset:
        pass
    old.run("SLAVEOF", "127.0.0.1", 0)
    final = int(old.info("replication")["master_repl_offset"])
    if final > offset and int(new.info("replication")["slave_repl_offset"]) < final:
        raise RuntimeError(f"{shard}: {old.name} took writes behind its fence")
    new.run("SLAVEOF", "NO", "ONE")
    took_ms = 1000 * (time.monotonic() - began)
    clients.follow(cluster, shard, new.address)
    old.run("SLAVEOF", new.ip, new.port)
    old.run("CONFIG", "SET", "min-replicas-to-write", saved)
    return took_ms


def measure_bare(cluster, runs):
    """(gaps, sums of the round trips) in ms: one of each for each shard and run."""
    gaps, sums = [], []
    with ThreadPoolExecutor(len(cluster.shards)) as pool:
        for _ in range(runs):
            with writers([cluster]) as clients:
                began = time.monotonic()
                sums += pool.map(lambda s: bare_switch(cluster, s, clients), cluster.shards)
                clients.wait_acked(LIMIT_S)
                gaps += clients.gaps_ms(began)
            cluster.primary = other_dc(cluster)
            wait_online(cluster)
    return gaps, sums


# ---- the product ----

def switch_once(world, outer, clusters, sampled):
    """One event of all clusters; (gaps in ms, seconds of the event, lost writes)."""
    source, target = clusters[0].primary, other_dc(clusters[0])
    with writers(sampled, outer) as clients:
        asked = events.prepare(world.console, [c.name for c in clusters], source, target, mode="planned")
        refused = [r for r in asked["results"] if not r["success"]]
        if refused:
            raise RuntimeError(f"refused: {refused[:3]}")
        ticket = asked["ticketId"]
        began = time.monotonic()
        events.ask(world.console, "domigration", {"ticketId": ticket})
        failed = events.wait_over(world.console, ticket, LIMIT_S, LOOK_S[0] + LOOK_S[1] * len(clusters))
        took_s = time.monotonic() - began
        leave_out(world, ticket, clusters, failed)
        for cluster in clusters:
            cluster.primary = target
        clients.wait_acked(LIMIT_S)
        gaps = clients.gaps_ms(began)
    return gaps, took_s, clients.lost()


def is_healthy(world):
    return world.console.get("/api/migration/migration/system/health/status")["state"] != -1


def leave_out(world, ticket, clusters, failed):
    """Those that were not switched are rolled back and are in no further event."""
    for name, why in failed.items():
        print(f"not switched: {name}: {why}", file=sys.stderr, flush=True)
    if failed:
        events.ask(world.console, "rollback", {"ticketId": ticket, "clusters": list(failed)})
    clusters[:] = [c for c in clusters if c.name not in failed]


def measure(world, outer, clusters, runs, sampled=None):
    """Takes clusters that were not switched out of the list; returns how many, last."""
    before = len(clusters)
    gaps, times, lost = [], [], 0
    for _ in range(runs):
        events.settle(clusters, LIMIT_S)
        some_gaps, took_s, some_lost = switch_once(world, outer, clusters, [c for c in sampled or clusters if c in clusters])
        gaps += some_gaps
        times.append(took_s)
        lost += some_lost
    return gaps, times, lost, before - len(clusters)


def create(world, name, count, shards):
    clusters = []
    for i in range(count):
        clusters.append(world.one_way(f"{name}{i}", shards=shards, server=SmallRedis).create())
    return clusters


def remove(world, clusters):
    for cluster in clusters:
        world.console.delete(f"/api/cluster/{cluster.name}?checkEmpty=false")
        for server in cluster.all_redises():
            server.kill()
            world.workspace.forget(server)


# ---- figures ----

def spread(report, name, values, unit="ms", p50=None, p99=None, most=None):
    """The last three are bars."""
    report.figure(f"{name}, p50", percentile(values, 50), unit, p50)
    report.figure(f"{name}, p99", percentile(values, 99), unit, p99)
    report.figure(f"{name}, max", max(values), unit, most)


def measure_small(report, world, outer, shards, runs):
    """One cluster, beside the bare commands before and after."""
    name = f"{shards} shard{'s' if shards > 1 else ''}"
    bare = bare_cluster(world, shards)
    clusters = create(world, f"small{shards}-", 1, shards)
    gaps_before, sums_before = measure_bare(bare, runs)
    gaps, times, lost, _ = measure(world, outer, clusters, runs)
    gaps_after, sums_after = measure_bare(bare, runs)
    bare_gaps, bare_sums = gaps_before + gaps_after, sums_before + sums_after
    spread(report, f"{name}: write gap", gaps, p99=GAP_P99_BAR_MS)
    spread(report, f"{name}: bare commands, write gap", bare_gaps)
    spread(report, f"{name}: bare commands, sum of round trips", bare_sums)
    report.figure(f"{name}: write gap / bare write gap, p50", percentile(gaps, 50) / percentile(bare_gaps, 50), "x")
    report.figure(f"{name}: write gap / sum of round trips, p50", percentile(gaps, 50) / percentile(bare_sums, 50), "x",
                  ROUND_TRIPS_BAR if shards == 1 else None)
    report.figure(f"{name}: write gap / sum of round trips, p99", percentile(gaps, 99) / percentile(bare_sums, 99), "x")
    spread(report, f"{name}: event", [1000 * t for t in times])
    report.figure(f"{name}: acknowledged writes lost", lost, "", 0)
    remove(world, clusters)
    for server in bare.all_redises():
        server.kill()
        world.workspace.forget(server)


def measure_keepers(report, world, outer, shards, runs):
    """One cluster whose Redis follow through keepers."""
    clusters = create(world, f"kept{shards}-", 1, shards)
    gaps, times, lost, _ = measure(world, outer, clusters, runs)
    name = f"{shards} shards with keepers"
    spread(report, f"{name}: write gap", gaps, p50=TEN_P50_BAR_MS, p99=GAP_P99_BAR_MS, most=TEN_MAX_BAR_MS)
    spread(report, f"{name}: event", [1000 * t for t in times])
    report.figure(f"{name}: acknowledged writes lost", lost, "", 0)


def measure_large(report, world, outer, wanted, shards, runs):
    """Many clusters in one event, as many as memory allows."""
    count = min(wanted, int(available_mb() * 0.8 / (REDIS_MB * 2 * shards)))
    name = f"{count:,} clusters of {shards}"
    report.facts[f"clusters of {shards}"] = {"wanted": wanted, "made": count}
    clusters = create(world, f"many{shards}-", count, shards)
    sampled = clusters[::max(1, count // SAMPLED)][:SAMPLED]
    everyone = list(clusters)
    gaps, times, lost, failed = measure(world, outer, clusters, runs, sampled)
    spread(report, f"{name}: write gap of {len(gaps) // runs} watched shards", gaps, p99=GAP_P99_BAR_MS)
    report.figure(f"{name}: slowest event", max(times), "s", THOUSAND_BAR_S)
    report.figure(f"{name}: clusters switched a second", count * runs / sum(times), "/s")
    report.figure(f"{name}: clusters that were not switched", failed, "", 0)
    report.figure(f"{name}: acknowledged writes lost", lost, "", 0)
    remove(world, everyone)


def available_mb():
    with open("/proc/meminfo", encoding="ascii") as f:
        return next(int(line.split()[1]) // 1024 for line in f if line.startswith("MemAvailable"))


@contextmanager
def started_world(outer, **parts):
    with World(dcs=[HOME, AWAY], shards=0, metas=1, console_settings={"credis.service.address": outer.url, "log.level": "info"},
               meta_settings={"log.level": "info"}, **parts) as world:
        world.start()
        wait_until(lambda: is_healthy(world), LIMIT_S, "the console to find that switches can be made")  # it looks every 30 s
        yield world


def main():
    parser = argparse.ArgumentParser(description="planned switches of one-way clusters")
    parser.add_argument("--runs", type=int, default=20, help="switches of 1 shard and of 10 shards; a quarter of it, of 100 clusters")
    parser.add_argument("--two", type=int, default=100, help="clusters of two shards in one event; 0: leave it out")
    parser.add_argument("--one", type=int, default=1000, help="clusters of one shard in one event; 0: leave it out")
    args = parser.parse_args()
    report = Report("switchover")
    outer = OuterClient()
    try:
        with started_world(outer) as world:
            measure_small(report, world, outer, 10, args.runs)  # first: the console's log of its database grows no more then, as after a day's work
            measure_small(report, world, outer, 1, args.runs)
            if args.two:
                measure_large(report, world, outer, args.two, 2, max(2, args.runs // 4))
            if args.one:
                measure_large(report, world, outer, args.one, 1, 2)
        with started_world(outer, containers=2) as world:
            measure_keepers(report, world, outer, 10, args.runs)
    finally:
        outer.close()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
