"""Switches of one-way clusters: events made in the database of a console that stands still, writers that notice the outage, the time line.

    switch = Switch(world, orders, "fra", mode="planned")     # restarts the console: its engine finds a started event
    with Writers(orders) as writers:
        switch.start()
        assert switch.wait_over() == "Success"
    print(switch.timeline())
"""
import json
import sqlite3
import threading
import time

import redis

from .processes import HOST, wait_until

RESTING = ("Success", "Aborted", "ForceEnd", "CheckingFail", "PartialRetryFail", "PublishFail", "RollBackFail")


class Switch:
    """One event with one cluster. The console is stopped by the constructor and started by start()."""

    def __init__(self, world, cluster, to_dc, mode="planned", console=None):
        self.console = console or world.console
        self.cluster = cluster
        self.source = cluster.primary
        self.target = to_dc
        self.console.stop()
        with sqlite3.connect(self.console.db_path) as db:
            self.id = self._insert(db, mode)
        db.close()

    def _insert(self, db, mode):
        event = db.execute("INSERT INTO migration_event_tbl (start_time, policy, mode, is_started) VALUES (?, 'all', ?, 1)",
                           (_now_ms(), mode)).lastrowid
        cluster, = db.execute("SELECT id FROM cluster_tbl WHERE cluster_name = ? AND deleted_at = 0",
                              (self.cluster.name,)).fetchone()
        dcs = dict(db.execute("SELECT lower(dc_name), id FROM dc_tbl"))
        db.execute("UPDATE cluster_tbl SET status = 'Lock', migration_event_id = ? WHERE id = ?", (event, cluster))
        row = db.execute(
            "INSERT INTO migration_cluster_tbl (migration_event_id, cluster_id, source_dc_id, destination_dc_id, start_time, "
            "status, mode) VALUES (?, ?, ?, ?, ?, 'Initiated', ?)",
            (event, cluster, dcs[self.source], dcs[self.target], _now_ms(), mode)).lastrowid
        db.execute("INSERT INTO migration_shard_tbl (migration_cluster_id, shard_id) "
                   "SELECT ?, id FROM shard_tbl WHERE cluster_id = ? AND deleted_at = 0", (row, cluster))
        return row

    def start(self):
        self.console.start()
        return self

    def process(self):
        """What an operator does after the repair of a paused one; returns when it moves on."""
        event, = self.read("SELECT migration_event_id FROM migration_cluster_tbl WHERE id = ?")[0]
        before = self.read("SELECT max(id) FROM migration_line_tbl WHERE migration_cluster_id = ?")
        answer = self.console.request("POST", "/api/migration/domigration", {"ticketId": event}).json()
        assert answer["success"], answer
        wait_until(lambda: self.read("SELECT max(id) FROM migration_line_tbl WHERE migration_cluster_id = ?") != before, 10,
                   "the switch to move on")

    def read(self, sql, *args):
        db = sqlite3.connect(f"file:{self.console.db_path}?mode=ro", uri=True)
        try:
            return db.execute(sql, (self.id, *args)).fetchall()
        finally:
            db.close()

    @property
    def status(self):
        return self.read("SELECT status FROM migration_cluster_tbl WHERE id = ?")[0][0]

    @property
    def reason(self):
        return self.read("SELECT reason FROM migration_cluster_tbl WHERE id = ?")[0][0]

    def cluster_status(self):
        """(status, event id) of the cluster."""
        return self.read("SELECT k.status, k.migration_event_id FROM cluster_tbl k JOIN migration_cluster_tbl c ON c.cluster_id = k.id "
                         "WHERE c.id = ?")[0]

    def shards(self):
        """The state of each shard as the engine keeps it."""
        return [json.loads(state) for state, in self.read("SELECT state FROM migration_shard_tbl WHERE migration_cluster_id = ?")]

    def wait_over(self, timeout=30.0):
        """Waits until it rests; returns the status."""
        wait_until(lambda: self.status in RESTING, timeout, f"the switch of {self.cluster.name} to be over")
        if self.status == "Success":
            self.cluster.primary = self.target
        return self.status

    def wait_followed(self, timeout=20.0, settings=True):
        """Every DC has confirmed, and (settings) no Redis is left with those of the fence: the next switch may come."""
        wait_until(lambda: self.read("SELECT is_followed FROM migration_cluster_tbl WHERE id = ?") == [(1,)], timeout,
                   "every DC to confirm")
        if settings:
            wait_until(lambda: all(r.run("CONFIG", "GET", "min-slaves-to-write")[1] == "0"
                                   for r in self.cluster.all_redises()), timeout, "the settings of the fence to be put back")

    def forget(self):
        """Ends what is paused and unlocks the cluster behind the console's back; nothing is told to anybody."""
        self.console.stop()
        with sqlite3.connect(self.console.db_path) as db:
            db.execute("UPDATE migration_cluster_tbl SET status = 'Aborted', end_time = 1, is_followed = 1 WHERE id = ?", (self.id,))
            db.execute("UPDATE cluster_tbl SET status = 'Normal', migration_event_id = 0 WHERE migration_event_id <> 0")
        db.close()
        self.console.start()

    def timeline(self):
        """One line for each transition, intent and result, with ms since the first."""
        rows = self.read("SELECT wall_ms, shard_id, kind, from_state, to_state, rule, duration_ms, text FROM migration_line_tbl "
                         "WHERE migration_cluster_id = ? ORDER BY id")
        begin = rows[0][0] if rows else 0
        return "\n".join(f"{at - begin:7} ms  {kind:10} shard {shard:3}  {a or '-':>13} {b:14} {rule:12} {ms:5} ms  {text[:200]!r}"
                         for at, shard, kind, a, b, rule, ms, text in rows)


class Writers:
    """A client for each shard that writes 0, 1, 2... to "n" of whichever Redis of the two DCs takes it, and keeps what was acknowledged."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.acks = {shard: [] for shard in cluster.shards}  # (time, dc, value)
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(shard,), daemon=True) for shard in cluster.shards]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        wait_until(lambda: all(self.acks.values()), 10, "the first write of every shard")
        return self

    def __exit__(self, *exc):
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _write(self, shard):
        order = sorted(self.cluster.redises, key=lambda dc: dc != self.cluster.primary)
        clients = [(dc, redis.Redis(HOST, server.port, socket_timeout=1.0)) for dc in order
                   for server in self.cluster.redises[dc][shard]]
        at = value = 0
        while not self._ended.is_set():
            dc, client = clients[at]
            try:
                client.set("n", value)
                self.acks[shard].append((time.time(), dc, value))
                value += 1
            except redis.exceptions.RedisError:
                at = (at + 1) % len(clients)
                self._ended.wait(0.0005)

    def wait_in(self, dc, timeout=20.0):
        """Waits until every shard has written in this DC."""
        wait_until(lambda: all(acks[-1][1] == dc for acks in self.acks.values()), timeout, f"writes in {dc}")

    def gaps_ms(self):
        """The longest time without an acknowledged write, of each shard."""
        return {shard: max(1000 * (b[0] - a[0]) for a, b in zip(acks, acks[1:])) for shard, acks in self.acks.items()}

    def lost(self):
        """Shards whose master does not hold the last acknowledged write."""
        return [shard for shard, acks in self.acks.items()
                if int(self.cluster.master(shard).run("GET", "n")) < acks[-1][2]]


def _now_ms():
    return int(time.time() * 1000)
