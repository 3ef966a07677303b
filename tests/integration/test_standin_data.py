"""The CRDT stand-in (or the real CRDT Redis) over restarts, among replicas, in failovers, and with data that flows both ways:
reference/crdt-redis.md 8 and 9. Single commands are in test_standin.py."""
import time
from random import Random

import pytest

from harness.processes import HOST, free_port, stays, wait_until
from harness.proxy import route_words
from harness.redis_server import ALREADY

standin_only = pytest.mark.standin_only


# 8 and 9: restart, replicas, failover


def test_restart_finds_the_traps(redis_of):
    a, b = redis_of(1, lazy_ms=2000), redis_of(2)
    a.run("SET", "k", "v")
    a.pull_from(b)
    a.wait_up(2)
    a.peerof(3, HOST, 1)
    a.peerof(3, "no", "one")
    a.run("SAVE")
    a.restart()
    assert sorted(a.peers) == [2, 3], "the removed peer is back"
    assert a.run("GET", "k") == "v" and not a.peers[2].up
    assert a.pull_from(b) == "OK Clean lazy_time"
    assert a.pull_from(b) == ALREADY
    a.wait_up(2)
    a.peerof(3, "no", "one")
    a.run("CONFIG", "REWRITE")
    a.restart()
    assert sorted(a.peers) == [2]


def test_lazy_wait_after_restart(redis_of):
    a, b = redis_of(1, lazy_ms=1000), redis_of(2)
    a.run("SET", "k", "v")
    a.pull_from(b)
    a.wait_up(2)
    a.run("SAVE")
    began = time.monotonic()
    a.restart()
    a.wait_up(2)
    assert time.monotonic() - began >= 1, "it did not wait"


def test_master_without_data_is_loading_until_every_peer_gave_back(redis_of):
    a, b = redis_of(1, lazy_ms=300), redis_of(2)
    a.pull_from(b)
    b.pull_from(a)
    a.wait_up(2)
    b.wait_up(1)
    a.run("SET", "k", "v")
    wait_until(lambda: b.run("GET", "k") == "v", 5, "the write to arrive")
    a.peerof(3, HOST, free_port())
    a.kill()
    a.start()
    assert a.crdt.backstreaming and a.peers[3].backstream_vc == "1:0"
    assert a.raw(b"PING\r\n").startswith(b"-LOADING")
    wait_until(lambda: a.peers[2].up and a.peers[2].backstream_vc is None, 20, "gid 2 to give back")
    assert a.crdt.backstreaming, "gid 3 still owes"
    a.peerof(3, "no", "one")
    assert not a.crdt.backstreaming and a.run("GET", "k") == "v"
    b.wait_up(1)


@standin_only
def test_aof_restart_keeps_data_stamps_and_peers(redis_of):
    a, b = redis_of(1, lazy_ms=300, config=["appendonly yes", "appendfsync always"]), redis_of(2)
    a.pull_from(b)
    b.pull_from(a)
    a.wait_up(2)
    b.wait_up(1)
    a.run("SET", "mine", "1")
    b.run("SET", "theirs", "2")
    wait_until(lambda: a.run("GET", "theirs") == "2", 5, "the write of the other DC")
    clock = a.crdt.ovc[1]
    a.kill()
    a.start()
    assert (a.run("GET", "mine"), a.run("GET", "theirs"), a.crdt.ovc[1] >= clock) == ("1", "2", True)
    a.wait_up(2)
    b.wait_up(1)
    a.run("SET", "later", "3")
    wait_until(lambda: b.run("GET", "later") == "3", 5, "a write after the restart")


@standin_only
def test_emptied_upstream_is_refused_until_refilled(redis_of):
    a, b = redis_of(1), redis_of(2)
    b.pull_from(a)
    b.wait_up(1)
    a.run("SET", "k", "v")
    wait_until(lambda: b.run("GET", "k") == "v", 5, "the write to arrive")
    a.kill()
    a.start()
    assert a.run("GET", "k") is None
    stays(lambda: not b.peers[1].up, 0.6, "the link being refused")
    assert b.crdt.ovc[1] > a.crdt.ovc[1], "the pattern of 8.3"
    assert a.pull_from(b, "backstream", 0) == "OK"
    a.wait_up(2)
    assert a.run("GET", "k") == "v"
    b.wait_up(1)


def test_peers_reach_replicas_and_a_promoted_replica_links(redis_of):
    a, replica, b = redis_of(1), redis_of(1, name="replica"), redis_of(2)
    a.pull_from(b)
    a.wait_up(2)
    replica.replicate(a)
    assert replica.peers[2].address == b.address, "the full sync carries peers"
    a.peerof(3, HOST, 1)
    wait_until(lambda: 3 in replica.peers, 5, "PEEROF to reach the replica")
    a.peerof(3, "no", "one")
    wait_until(lambda: 3 not in replica.peers, 5, "the removal to reach the replica")
    assert not replica.peers[2].up and replica.role == "slave"
    b.pull_from(a)
    up = b.wait_up(1)
    began = time.monotonic()
    replica.replicate(None)
    a.replicate(replica)
    inherited = replica.peers[2]
    assert inherited.up or inherited.down_since_s <= 2 + time.monotonic() - began
    replica.wait_up(2)
    b.peerof(1, HOST, replica.port)
    assert b.wait_up(1).offset >= up.offset
    replica.run("SET", "after", "failover")
    wait_until(lambda: b.run("GET", "after") == "failover", 5, "a write on the new master to arrive")
    b.run("SET", "back", "too")
    wait_until(lambda: replica.run("GET", "back") == "too", 5, "a write of the other DC to arrive")
    wait_until(lambda: a.run("GET", "back") == "too", 5, "and to reach the old master, now a replica")


def test_peerof_on_a_replica_is_stored_there_only(redis_of):
    a, replica = redis_of(1), redis_of(1, name="replica")
    replica.replicate(a)
    assert replica.peerof(2, HOST, 1) == "OK"
    assert not replica.peers[2].up and replica.peers[2].never_up
    stays(lambda: 2 not in a.peers, 0.3, "the master not knowing")


@standin_only
def test_replica_as_upstream_is_up_but_silent(redis_of):
    """Fact 3, with a repl-timeout of 2 s in place of 60."""
    a, b, replica = redis_of(1, timeout_ms=1000), redis_of(2), redis_of(2, name="replica")
    replica.replicate(b)
    a.peerof(2, HOST, replica.port)
    a.wait_up(2)
    b.run("SET", "k", "v")
    wait_until(lambda: replica.run("GET", "k") == "v", 5, "the in-DC replication")
    assert a.run("GET", "k") is None
    wait_until(lambda: a.peers[2].up and a.peers[2].last_io_s >= 1, 5, "last_io to climb")
    wait_until(lambda: a.run("GET", "k") == "v", 10, "the burst after the reconnect")


def test_replica_without_master_link_refuses(redis_of):
    a, b, replica = redis_of(1), redis_of(2), redis_of(2, name="replica")
    replica.replicate(b)
    b.kill()
    wait_until(lambda: replica.run("ROLE")[3] != "connected", 5, "the loss of the master link")
    a.peerof(2, HOST, replica.port)
    stays(lambda: not a.peers[2].up, 0.8, "the link being refused")


# data


def test_data_flows_both_ways_and_last_writer_wins(redis_of):
    a, b = redis_of(1), redis_of(2)
    a.run("SET", "before", "1")
    a.pull_from(b)
    b.pull_from(a)
    a.wait_up(2)
    b.wait_up(1)
    wait_until(lambda: b.run("GET", "before") == "1", 5, "data from before the link")
    for i in range(300):
        (a if i % 2 else b).run("SET", f"k{i}", str(i))
    wait_until(lambda: a.run("DBSIZE") == b.run("DBSIZE") == 301, 10, "300 keys on both sides")
    a.run("SET", "x", "old")
    wait_until(lambda: b.run("GET", "x") == "old", 5, "the write")
    b.run("SET", "x", "new")
    wait_until(lambda: a.run("GET", "x") == "new", 5, "the later write")
    b.run("DEL", "before")
    wait_until(lambda: a.run("GET", "before") is None, 5, "the deletion")


def test_writes_made_while_apart_converge(redis_of):
    a, b = redis_of(1), redis_of(2)
    a.pull_from(b)
    b.pull_from(a)
    a.wait_up(2)
    b.wait_up(1)
    a.run("SET", "gone", "1")
    wait_until(lambda: b.run("GET", "gone") == "1", 5, "the first write")
    a.peerof(2, "no", "one")
    b.peerof(1, "no", "one")
    a.run("SET", "x", "a")
    b.run("SET", "x", "b-later")
    b.run("DEL", "gone")
    a.pull_from(b)
    b.pull_from(a)
    wait_until(lambda: a.run("GET", "x") == b.run("GET", "x") == "b-later", 10, "both sides to agree")
    wait_until(lambda: a.run("GET", "gone") is None, 5, "the deletion made while apart")


def random_writes(server, random, count):
    pipe = server.client.pipeline(transaction=False)
    for i in range(count):
        key = f"k{random.randrange(200)}"
        for words in random.choice([
                [("SET", key, str(i))],
                [("SET", key, "x" * random.randrange(3000))],
                [("DEL", key, f"k{random.randrange(200)}")],
                [("INCRBY", f"n{random.randrange(20)}", 3)],
                [("SET", key, "short-lived", "PX", 30)],
                [("MULTI",), ("SET", key, "m"), ("DEL", key + "x"), ("EXEC",)],
                [("LPUSH", f"list{random.randrange(5)}", "not carried")]]):
            pipe.execute_command(*words)
    pipe.execute(raise_on_error=False)


def strings_of(server):
    keys = [k for k in server.run("KEYS", "*") if server.run("TYPE", k) == "string"]
    return {k: server.run("GET", k) for k in keys}


def wait_same(*servers):
    def same():
        first, *others = [strings_of(s) for s in servers]
        for other in others:
            assert first == other, f"{len(set(first.items()) ^ set(other.items()))} keys differ"
        return True
    wait_until(same, 15, f"equal strings on {', '.join(s.name for s in servers)}")


@standin_only
def test_random_writes_converge_over_cuts_and_a_failover(redis_of, proxy_of):
    random = Random(20260822)
    a, replica, b, near = redis_of(1), redis_of(1, name="replica"), redis_of(2), proxy_of()
    replica.replicate(a)
    a.pull_from(b, *route_words(near))
    b.pull_from(a)
    a.wait_up(2)
    b.wait_up(1)
    for turn in range(6):
        random_writes(a, random, 200)
        random_writes(b, random, 200)
        if turn == 3:
            near.cut()
            b.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    wait_same(a, replica, b)
    a.kill()
    replica.replicate(None)
    b.peerof(1, HOST, replica.port)
    b.wait_up(1)
    replica.wait_up(2)
    assert replica.run("CRDT.INFO", "stats").split("\r\n")[1:4] == [
        "sync_full:0", "sync_backstream:0", "sync_partial_ok:1"]
    random_writes(replica, random, 200)
    random_writes(b, random, 200)
    wait_same(replica, b)
    a.start()
    a.replicate(replica)
    wait_same(replica, b, a)
