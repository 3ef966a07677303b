"""`make demo`: two data centers on this machine, in plain words; `--check` does the same and ends by itself.

Everything is real but the CRDT module, the keepers with their containers, the proxies (tests/fakes) and the platform that tells clients
where to write: ZooKeeper, metaservers, console, Redis. All of it listens on free ports of loopback addresses and lives in a temporary
folder that is removed at the end, together with every process.
With XPIPE_CRDT_SERVER and XPIPE_CRDT_MODULE the Redis are real CRDT Redis.
"""
import argparse
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.cluster import World  # noqa: E402
from harness.processes import wait_until  # noqa: E402
from harness import events  # noqa: E402
from harness.events import Clients, OuterClient, settle  # noqa: E402

CLUSTER = "demo"
HOME, AWAY = "jq", "fra"
SOME_WRITES = 300  # before a disaster


class Story:
    """Prints what happens and how long it took."""

    def __init__(self):
        self.began = time.monotonic()

    def say(self, text=""):
        print(f"{time.monotonic() - self.began:6.1f} s  {text}" if text else "", flush=True)

    def heading(self, text):
        print(f"\n{text}\n{'-' * len(text)}", flush=True)

    def measure(self, action, condition, timeout, what):
        """Does 'action', waits for 'condition', and returns how many seconds that took."""
        start = time.monotonic()
        action()
        wait_until(condition, timeout, what)
        return time.monotonic() - start


def start(story, world):
    story.heading("Starting")
    world.start_zookeepers(wait=False)
    world.start_redises()
    world.start_proxies()
    world.start_containers()
    story.say(f"{len(world.redises())} Redis (a master and a replica per shard and DC), one proxy and two keeper containers per DC are up")
    world.start_console()
    world.prepare_console()
    world.start_zookeepers()
    world.start_metas()
    wait_until(lambda: all(m.readiness()[0] for m in world.metas()), 30, "every metaserver to be ready")
    story.say(f"console, {len(world.dcs)} ZooKeepers and {len(world.metas())} metaservers are up and ready")


def create(story, world):
    story.heading("Creating a bi-direction cluster through the REST API")
    began = time.monotonic()
    world.create_cluster()
    story.say(f"cluster '{CLUSTER}' with {len(world.shard_names)} shards in {HOME} and {AWAY}; route over two proxies")
    world.wait_linked()
    story.say(f"the metaservers gave every master its peer {time.monotonic() - began:.1f} s after the first call:")
    for words in world.peerofs(HOME):
        story.say("    " + " ".join(words))


def replicate(story, world):
    story.heading("Replication")
    for source, target in ((HOME, AWAY), (AWAY, HOME)):
        key, value = f"from-{source}", str(time.time())
        took = story.measure(lambda: world.master(source).run("SET", key, value),
                             lambda: world.master(target).run("GET", key) == value, 10, f"{key} to arrive in {target}")
        story.say(f"SET {key} in {source}, read in {target} after {took * 1000:.0f} ms")


def right(world):
    return lambda: not world.link_problems()


def correct(story, world):
    story.heading("Breaking peers by hand")
    gid = world.dcs[AWAY].gid
    far = world.master(AWAY)

    def peerof(*words):
        return lambda: world.master(HOME).run("PEEROF", gid, *words)

    breaks = [
        ("removed the peer", peerof("no", "one")),
        ("sent it around the proxies, directly", peerof("127.0.0.1", far.port)),
        ("pointed it at a wrong port", peerof("127.0.0.1", 1)),
    ]
    for text, action in breaks:
        took = story.measure(action, right(world), 20, f"the metaserver to correct it after: {text}")
        story.say(f"{text}: right again, link up, after {took:.2f} s")


def fail_over(story, world):
    story.heading("A master dies in its DC")
    old = world.master(HOME)
    began = time.monotonic()
    new = world.fail_over(HOME)
    gid = world.dcs[HOME].gid
    story.say(f"killed {old.name} ({old.address}), promoted {new.name} ({new.address})")
    wait_until(lambda: world.peers(AWAY)[gid].address == new.address, 20, f"{AWAY} to be re-pointed")
    story.say(f"{AWAY} pulls from the new master {time.monotonic() - began:.2f} s later")
    world.wait_linked()
    story.say("all links are up")


def owner_of(world, dc):
    for meta in world.dcs[dc].metas:
        if meta.running and any(s["shard"] == "s1" for s in meta.get("/api/current/debug")["shards"]):
            return meta
    return None


def lose_owner(story, world):
    story.heading("A metaserver is killed")
    owner = wait_until(lambda: owner_of(world, HOME), 10, "an owner of the cluster")
    began = time.monotonic()
    owner.kill()
    story.say(f"kill -9 {owner.name}, which owned the cluster")
    wait_until(lambda: owner_of(world, HOME), 30, "another metaserver to own the cluster")
    story.say(f"the other one owns it {time.monotonic() - began:.1f} s later (ZooKeeper session: 5 s)")
    took = story.measure(lambda: world.master(HOME).run("PEEROF", world.dcs[AWAY].gid, "no", "one"), right(world), 20,
                         "the new owner to correct a peer")
    story.say(f"removed a peer again: right after {took:.2f} s")
    owner.start()
    wait_until(lambda: owner.readiness()[0], 30, f"{owner.name} to be ready")  # the push of a cluster created before that would reach nobody
    story.say(f"{owner.name} is back")


def create_one_way(story, world):
    story.heading("Creating one-way clusters: one with keepers, one without")
    began = time.monotonic()
    orders = world.one_way("orders", replicas=1).create()
    plain = world.one_way("plain", replicas=2, keepers=[], organization_id=0).create()
    orders.wait_whole()
    plain.wait_whole()
    story.say(f"both trees are as they should be {time.monotonic() - began:.1f} s after their Redis were started")
    story.say(f"orders: master in {HOME} <- active keeper {orders.active_keeper(HOME).address} <- through both proxies: "
              f"active keeper {orders.active_keeper(AWAY).address} in {AWAY} <- Redis of {AWAY}")
    story.say(f"plain:  master in {HOME} <- {plain.relay(AWAY).name}, the relay of {AWAY} <- the other Redis of {AWAY}")
    for cluster in (orders, plain):
        value = str(time.time())
        took = story.measure(lambda c=cluster, v=value: c.write("hello", v), lambda c=cluster, v=value: has_value(c, v), 10,
                             f"{cluster.name} to arrive in {AWAY}")
        story.say(f"{cluster.name}: SET in {HOME}, read on every Redis of {AWAY} after {took * 1000:.0f} ms")
    return orders, plain


def has_value(cluster, value):
    return all(r.run("GET", "hello") == value for r in cluster.redises[AWAY]["s1"] if r.running)


def heal_trees(story, orders, plain):
    story.heading("Trees that heal")

    def heal(text, action, cluster):
        began = time.monotonic()
        action()
        wait_until(lambda: cluster.problems(), 10, f"somebody to miss it: {text}")
        cluster.wait_whole()
        story.say(f"{text}: whole again after {time.monotonic() - began:.1f} s")

    replica = orders.redises[AWAY]["s1"][1]
    container = orders.active_keeper(HOME).container
    relay = plain.relay(AWAY)
    heal(f"made {replica.name} a master by hand", lambda: replica.replicate(None), orders)
    heal(f"kill -9 of the active keeper of {AWAY} (its ZooKeeper session: 2 s)", orders.active_keeper(AWAY).kill, orders)
    heal(f"kill -9 of {relay.name}, the relay", relay.kill, plain)
    heal(f"it comes back: {relay.name}", relay.start, plain)
    container.kill()
    story.say(f"kill -9 of {container.name} with its keeper, the active one of {HOME}; started again")
    container.start()
    wait_until(lambda: orders.problems(), 10, "the keeper to be missed")
    orders.wait_whole()
    story.say("whole again")


def clients_of(outer, clusters):
    """A writer for each of the clusters, which have one shard, and a prober."""
    return Clients(clusters, outer, probed={c.name: c.all_redises() for c in clusters})


def switch(story, world, outer, clusters, target):
    settle(clusters)
    source = clusters[0].primary
    with clients_of(outer, clusters) as clients:
        began = time.monotonic()
        ticket = events.switch(world.console, clusters, target, mode="planned")
        took = time.monotonic() - began
        clients.wait_acked()
    story.say(f"{source} -> {target}: checked, fenced, drained, promoted and published in {took:.2f} s (ticket {ticket})")
    problems = clients.prober.two_masters()
    for cluster in clusters:
        writer = clients.writers[cluster.name, "s1"]
        lost = writer.lost(cluster.master())
        problems += [f"{cluster.name}: {len(lost)} acknowledged writes are not in {target}"] if lost else []
        story.say(f"    {cluster.name}: the longest time without an acknowledged write was {writer.gap_ms(began):.0f} ms; "
                  f"{len(writer.acked())} were acknowledged, {len(lost)} are lost")
    if problems:
        raise AssertionError("; ".join(problems))
    story.say("    at no instant two writable masters: a prober wrote to each of the "
              f"{sum(len(c.all_redises()) for c in clusters)} Redis every 10 ms")


def switch_planned(story, world, outer, clusters):
    story.heading("A planned switch of the one-way clusters, there and back, while clients write")
    switch(story, world, outer, clusters, AWAY)
    switch(story, world, outer, clusters, HOME)


def dc_processes(world, clusters, dc):
    redises = [r for c in clusters for some in c.redises[dc].values() for r in some]
    return redises, world.dcs[dc].containers, world.dcs[dc].metas


def lose_dc(story, world, outer, clusters):
    story.heading("A disaster: the active DC is lost, and comes back")
    settle(clusters)
    redises, containers, metas = dc_processes(world, clusters, HOME)
    with clients_of(outer, clusters) as clients:
        wait_until(lambda: all(len(w.log) >= SOME_WRITES for w in clients.writers.values()), 15, "some writes of every cluster")
        killed = time.monotonic()
        for process in (*redises, *containers, *metas):
            process.kill()
        story.say(f"kill -9 of all in {HOME} that serves them: {len(redises)} Redis, {len(containers)} containers with their keepers, "
                  f"{len(metas)} metaservers")
        asked = time.monotonic()
        ticket = events.switch(world.console, clusters, AWAY, mode="disaster")
        clients.wait_acked()
        story.say(f"forced switch to {AWAY} in {time.monotonic() - asked:.2f} s (ticket {ticket}, mode disaster); the report of losses:")
        report_losses(story, world, clusters, clients, ticket, killed)
        returned = time.monotonic()
        for process in (*metas, *containers, *redises):
            process.start(wait=False)
        for cluster in clusters:
            cluster.wait_whole()
        story.say(f"{HOME} is back, all at once: its Redis are fenced and follow {AWAY} {time.monotonic() - returned:.1f} s after their start")
        clients.wait_acked()
    for cluster in clusters:
        report_return(story, cluster, clients, killed, returned)


def report_losses(story, world, clusters, clients, ticket, killed):
    told = {c["cluster"]: c for c in world.console.get(f"/api/v2/migrations/{ticket}")["clusters"]}
    for cluster in clusters:
        shard, = told[cluster.name]["shards"]
        writer = clients.writers[cluster.name, "s1"]
        acked = [w for w in writer.acked() if w.sent < killed]
        bytes_lost = "not known, nobody of the old DC answers" if shard["lostBytes"] is None else shard["lostBytes"]
        story.say(f"    {cluster.name}: the console says unfenced: {_yes(shard['unfenced'])}, drained: {_yes(shard['drained'])}, lost bytes: "
                  f"{bytes_lost}")
        story.say(f"    {cluster.name}: the client misses {len(writer.lost(cluster.master()))} of the {len(acked)} writes acknowledged before "
                  f"the kill, and could not write for {writer.gap_ms(killed) / 1000:.2f} s")


def report_return(story, cluster, clients, killed, returned):
    """What the old DC did after its return, and that nothing acknowledged since the switch is lost by it."""
    taken = [p for p in clients.prober.log[cluster.name] if p.verdict == "yes" and p.sent >= returned and p.server != cluster.master().name]
    if taken:
        story.say(f"    {cluster.name}: nobody was told to write to {', '.join(sorted({p.server for p in taken}))}; who had tried could "
                  f"have until {taken[-1].sent - returned:.1f} s after the return, when the metaservers had fenced it or had it follow")
    else:
        story.say(f"    {cluster.name}: no Redis of {HOME} took a write after its return")
    writer = clients.writers[cluster.name, "s1"]
    number_of = {w.number: w for w in writer.acked()}
    lost = [n for n in writer.lost(cluster.master()) if number_of[n].sent > killed]
    if lost:
        raise AssertionError(f"{cluster.name}: {len(lost)} writes acknowledged after the disaster are lost")


def _yes(value):
    return "yes" if value else "no"


def addresses(story, world):
    story.heading("Look around")
    meta = world.dcs[HOME].meta
    print(f"""  console          {world.console.url}/api/cluster/{CLUSTER}
  DC document      {world.console.url}/api/dc/{HOME}
  peers of a shard {meta.url}/api/meta/v2/peers/{CLUSTER}/s1
  tree of a shard  {meta.url}/api/meta/v2/tree/orders/s1
  slots, leader    {meta.url}/api/metacluster/debug
  metrics          {world.console.url}/metrics  {meta.url}/metrics
  Redis            redis-cli -p {world.master(HOME).port}   ({HOME})
                   redis-cli -p {world.master(AWAY).port}   ({AWAY})
  logs             {world.workspace.dir}/*/output.log""", flush=True)


def run(world, outer, is_check):
    story = Story()
    start(story, world)
    create(story, world)
    replicate(story, world)
    correct(story, world)
    fail_over(story, world)
    lose_owner(story, world)
    orders, plain = create_one_way(story, world)
    heal_trees(story, orders, plain)
    switch_planned(story, world, outer, [orders, plain])
    lose_dc(story, world, outer, [orders, plain])
    story.heading("Switched back")
    switch(story, world, outer, [orders, plain], HOME)
    addresses(story, world)
    if is_check:
        print(f"\ndemo-check: ok, {time.monotonic() - story.began:.0f} s", flush=True)
        return
    print("\nEverything stays up until Ctrl-C, which removes all of it.", flush=True)
    signal.pause()


def main():
    parser = argparse.ArgumentParser(description="two data centers of Redis under xpipe on this machine")
    parser.add_argument("--check", action="store_true", help="prove it, clean up and exit with 0 or 1")
    parser.add_argument("--keep", action="store_true", help="leave the folder with all logs behind")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    outer = OuterClient()
    world = World(dcs=[HOME, AWAY], shards=4, replicas=1, metas=2, proxied=[(HOME, AWAY)], org_routes=True,
                  containers=2, cluster=CLUSTER, console_settings={"credis.service.address": outer.url},
                  keep=options.keep or bool(os.environ.get("XPIPE_KEEP")))
    try:
        with world:
            run(world, outer, options.check)
    except KeyboardInterrupt:
        print("\nstopped; nothing is left behind", flush=True)
    except AssertionError as e:
        print(f"\nFAILED: {e}", file=sys.stderr, flush=True)
        return 1
    finally:
        outer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
