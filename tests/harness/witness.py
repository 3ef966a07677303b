"""Witnesses of a switchover: clients that write where they are told the master is, and a prober that asks every Redis whether it
takes writes (dr-switchover.md 6.1). They speak to the Redis themselves, never through relays, as clients inside a DC do.

    writer = Writer("s1", {"127.0.0.1:7000": ("127.0.0.1", 6379)}, "127.0.0.1:7000").start()
    writer.follow("127.0.0.1:7001")             # the outer client was told
    writer.lost(redis)                          # numbers that were acknowledged and are not there
    prober = Prober({"s1": [redis, ..]}).start()
    prober.two_masters()                        # texts; empty: at no instant did two of a shard take writes

The probe is a real write: SET of one key for each Redis with a growing number. DEL of an absent key would be refused by the same rules
(READONLY, NOREPLICAS) and change no offset, but it proves less: nothing of it can be found again on the next master, and a server
that says yes and does not apply would not be noticed. One key overwritten in place costs 60 to 70 bytes of the replication stream per probe,
6 kB/s at 10 ms, which no drain notices; a refused one costs nothing.
"""
import selectors
import socket
import threading
import time
from collections import namedtuple

PROBE_EVERY_S = 0.010
PROBE_KEY = "xpipe:probe:"
RECONNECT_S = 0.02
WRITE_PAUSE_S = 0.001
REFUSED_PAUSE_S = 0.001
WRITE_TIMEOUT_S = 1.0
CHECK_BATCH = 1000
REFUSALS = (b"-READONLY", b"-NOREPLICAS", b"-MASTERDOWN", b"-LOADING", b"-UNBLOCKED")

Write = namedtuple("Write", "number sent got server verdict")  # verdict: "ok", "refused", "unknown"
Probe = namedtuple("Probe", "server sent got verdict")  # verdict: "yes", "no", "gone"


def resp(*words):
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Writer(threading.Thread):
    """Writes "w:SHARD:n" = n for n = 0, 1, 2.. to the master that was published last. Each number is tried once: it is acknowledged, refused
    or unknown. 'batch' writes are on their way at once; 'where' maps a published address to the one to dial."""

    def __init__(self, shard, where, published, batch=1, pause=WRITE_PAUSE_S, size=0):
        super().__init__(name=f"writer {shard}", daemon=True)
        self.shard, self.where, self.published = shard, where, published
        self.batch, self.pause, self.size = batch, pause, size
        self.log = []
        self.follows = []  # (time, address)
        self._end = threading.Event()
        self._wake = threading.Event()
        self._socket = self._reader = self._dialed = None

    def start(self):
        super().start()
        return self

    def follow(self, address):
        """Goes there at once, as a client that is told does."""
        self.follows.append((time.monotonic(), address))
        self.published = address
        self._wake.set()

    def stop(self):
        self._end.set()
        self._wake.set()
        self.join(10)
        self._hang_up()

    def run(self):
        n = 0
        while not self._end.is_set():
            n = self._step(n)

    def _step(self, n):
        address = self.published
        sent = time.monotonic()
        numbers = range(n, n + self.batch)
        try:
            self._dial(address)
            value = b"x" * self.size
            self._socket.sendall(b"".join(resp("SET", self._key(i), value or i) for i in numbers))
        except OSError:
            self._hang_up()
            self._rest(0.01)
            return n  # nothing of it was carried out, or all are unknown: the numbers are not counted as acknowledged either way
        was_refused = False
        for i in numbers:
            verdict = self._answer()
            self.log.append(Write(i, sent, time.monotonic(), address, verdict))
            was_refused = was_refused or verdict == "refused"
            if verdict == "unknown":
                self._hang_up()
                break
        if was_refused or self.pause:
            self._rest(max(REFUSED_PAUSE_S if was_refused else 0, self.pause))
        return n + self.batch

    def _rest(self, seconds):
        if self._wake.wait(seconds):
            self._wake.clear()

    def _key(self, n):
        return f"w:{self.shard}:{n}"

    def _dial(self, address):
        if self._dialed != address:
            self._hang_up()
            self._socket = socket.create_connection(self.where[address], timeout=WRITE_TIMEOUT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._reader = self._socket.makefile("rb")
            self._dialed = address

    def _hang_up(self):
        if self._socket:
            self._reader.close()
            self._socket.close()
        self._socket = self._dialed = None

    def _answer(self):
        try:
            line = self._reader.readline()
        except OSError:
            return "unknown"
        if line.startswith(b"+"):
            return "ok"
        return "refused" if line.startswith(REFUSALS) else "unknown"

    def bytes_of(self, n):
        """Of the replication stream, at least: what it sent."""
        return len(resp("SET", self._key(n), b"x" * self.size or n))

    def acked(self):
        return [w for w in self.log if w.verdict == "ok"]

    def acked_after(self, since):
        return any(w.got >= since for w in reversed(self.log[-2000:]) if w.verdict == "ok")

    def gap_ms(self, since=0.0):
        """The longest time between two acknowledgments, the second of them after 'since'."""
        times = [w.got for w in self.acked()]
        return max((1000 * (b - a) for a, b in zip(times, times[1:]) if b >= since), default=0.0)

    def lost(self, server):
        """Acknowledged numbers that the server does not have."""
        numbers = [w.number for w in self.acked()]
        missing = []
        for at in range(0, len(numbers), CHECK_BATCH):
            some = numbers[at:at + CHECK_BATCH]
            there = server.run("MGET", *[self._key(n) for n in some])
            missing += [n for n, value in zip(some, there) if value is None]
        return missing


class _Probed:
    """One Redis of the prober."""

    def __init__(self, shard, name, ip, port):
        self.shard, self.name, self.ip, self.port = shard, name, ip, port
        self.socket = None
        self.is_open = False
        self.sent = None  # when the probe went out that has no answer yet
        self.data = b""
        self.next_at = 0.0
        self.number = 0
        self.acked = None  # the last number that was taken


class Prober(threading.Thread):
    """Writes to every Redis of every shard every 10 ms. servers: shard -> what has name, ip and port."""

    def __init__(self, servers):
        super().__init__(name="prober", daemon=True)
        self.log = {shard: [] for shard in servers}
        self._probed = [_Probed(shard, s.name, s.ip, s.port) for shard, some in servers.items() for s in some]
        self._end = threading.Event()
        self._selector = selectors.DefaultSelector()

    def start(self):
        super().start()
        return self

    def stop(self):
        self._end.set()
        self.join(10)

    def run(self):
        while not self._end.is_set():
            now = time.monotonic()
            for p in self._probed:
                if now >= p.next_at:
                    self._turn(p, now)
            for key, _ in self._selector.select(0.002):
                self._on_ready(key.data)
        for p in self._probed:
            self._close(p)
        self._selector.close()

    def _turn(self, p, now):
        if p.socket is None:
            p.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            p.socket.setblocking(False)
            p.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            p.socket.connect_ex((p.ip, p.port))
            self._selector.register(p.socket, selectors.EVENT_WRITE | selectors.EVENT_READ, p)
            p.next_at = now + RECONNECT_S
        elif p.is_open and p.sent is None:
            p.number += 1
            p.sent = time.monotonic()
            p.next_at = now + PROBE_EVERY_S
            try:
                p.socket.send(resp("SET", PROBE_KEY + p.name, p.number))
            except OSError:
                self._gone(p)

    def _on_ready(self, p):
        if not p.is_open:
            if p.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._gone(p)
                return
            p.is_open = True
            p.next_at = 0.0
            self._selector.modify(p.socket, selectors.EVENT_READ, p)
            return
        try:
            data = p.socket.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._gone(p)
            return
        p.data += data
        while b"\r\n" in p.data:
            line, _, p.data = p.data.partition(b"\r\n")
            self._on_answer(p, line)

    def _on_answer(self, p, line):
        accepted = line.startswith(b"+")
        if accepted:
            p.acked = p.number
        self.log[p.shard].append(Probe(p.name, p.sent, time.monotonic(), "yes" if accepted else "no"))
        p.sent = None

    def _gone(self, p):
        self.log[p.shard].append(Probe(p.name, p.sent, time.monotonic(), "gone"))
        self._close(p)
        p.next_at = time.monotonic() + RECONNECT_S

    def _close(self, p):
        if p.socket is not None:
            self._selector.unregister(p.socket)
            p.socket.close()
        p.socket, p.is_open, p.sent, p.data = None, False, None, b""

    # what was seen

    def spans(self, shard):
        """[(server, from, to)]: during these times it surely took writes: from the answer to the first of a row of taken probes until the
        last one was sent. A row of one probe counts as the time it was under way, with from > to: (got, sent)."""
        found, rows = [], {}
        for probe in self.log[shard]:
            if probe.verdict == "yes":
                first, _ = rows.get(probe.server, (probe.got, None))
                rows[probe.server] = (first, probe.sent)
            elif probe.server in rows:
                found.append((probe.server, *rows.pop(probe.server)))
        return found + [(server, *row) for server, row in rows.items()]

    def two_masters(self):
        """What proves that two Redis of one shard took writes at the same time, or in turns without a refusal in between."""
        problems = []
        for shard in self.log:
            spans = self.spans(shard)
            for i, (a, a_from, a_to) in enumerate(spans):
                for b, b_from, b_to in spans[i + 1:]:
                    if a != b and max(a_from, b_from) < min(a_to, b_to):
                        ms = 1000 * (min(a_to, b_to) - max(a_from, b_from))
                        problems.append(f"{shard}: {a} and {b} took writes at the same time, for {ms:.1f} ms at least")
                    elif a != b and _is_inside(a_from, a_to, b_from, b_to):
                        problems.append(f"{shard}: one write was taken by {a} or {b} while the other one took writes")
        return problems

    def accepted(self, shard, since=0.0):
        """Names of those that took a probe that was sent after 'since'."""
        return {p.server for p in self.log[shard] if p.verdict == "yes" and p.sent >= since}

    def takes_writes(self, name):
        """The last verdict: True, False, or None while it does not answer."""
        last = next((p for log in self.log.values() for p in reversed(log) if p.server == name), None)
        return None if last is None or last.verdict == "gone" else last.verdict == "yes"


def _is_inside(a_from, a_to, b_from, b_to):
    """A single taken probe (from > to: it was taken at some instant between) all within a span of the other."""
    if a_from > a_to and b_from <= b_to:
        return b_from <= a_to and a_from <= b_to
    if b_from > b_to and a_from <= a_to:
        return a_from <= b_to and b_from <= a_to
    return False
