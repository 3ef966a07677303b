"""Memory, descriptors, threads and log of each daemon over its life, and whether they are flat.

A *generation* is one life of a process: a restart begins a new one. Samples are taken each second for the picture (largest, mean);
judged are only those of quiet moments, when every fault is healed and everything is right, so that a growth is a leak and not work.

Flat means, for a generation with JUDGED_FROM quiet samples or more after its first WARM_UP ones:
  memory       median of the last third <= median of the first third + max(RSS_SLACK_MB, RSS_SLACK of it), over the samples since
               the most work this life ever had (descriptors, a connection a Redis) last rose by more than WORK_STEP: a member
               that gets the slots of two others keeps the memory it needed then, and that is no leak
  descriptors  those that are no sockets: the same with FD_SLACK
  calls        sockets that are not connections with Redis or of HTTP clients: connections to other daemons, and what libcurl keeps
               beside them. A thread that calls has a handle of its own that keeps a few, until it has had nothing to do for 20 s. So
               at most PER_THREAD for each thread, and the same with CALL_SLACK
  threads      never more than at the first quiet sample + THREAD_SLACK
"""
import collections
import os
import statistics
import time
from pathlib import Path

WARM_UP = 2
JUDGED_FROM = 6
RSS_SLACK_MB = 3.0
RSS_SLACK = 0.10
WORK_STEP = 0.10
FD_SLACK = 4
CALL_SLACK = 24     # more threads were busy at once in the last cycles than in the first ones
PER_THREAD = 7      # five kept connections, and a pair of sockets to wake it
THREAD_SLACK = 0
TABLE_READINGS = 3
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1048576


def rss_mb(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_MB


def thread_count(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def kind_of(target):
    """What a descriptor is, by the text of its link: the name of its file, or what the kernel calls it; without what is its own."""
    return target.rsplit("/", 1)[-1] if target.startswith("/") else target.split(":[", 1)[0]


def descriptors(pid):
    """How many are open of each kind, and the inodes of the sockets among them."""
    inodes, kinds = set(), collections.Counter()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        kinds[kind_of(target)] += 1
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    return kinds, inodes


def sockets():
    """inode -> (local port, remote port) of all TCP sockets. Read more than once: what comes and goes meanwhile shifts the
    table, and then a reading leaves out sockets that were there all the time."""
    table = {}
    for _ in range(TABLE_READINGS):
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            words = line.split()
            table[words[9]] = (int(words[1].rsplit(":", 1)[1], 16), int(words[2].rsplit(":", 1)[1], 16))
    return table


class Generation:
    def __init__(self, daemon):
        self.name, self.pid, self.began = daemon.name, daemon.pid, time.monotonic()
        self.rss_max = self.rss_sum = 0.0
        self.fd_max = self.thread_max = self.samples = 0
        self.kinds = []  # of the descriptors of files, beside 'quiet'
        self.quiet = []  # (minutes, rss, descriptors of files, threads, calls, most descriptors so far)

    def sample(self):
        rss, threads, fds = rss_mb(self.pid), thread_count(self.pid), len(os.listdir(f"/proc/{self.pid}/fd"))
        self.rss_max, self.rss_sum, self.samples = max(self.rss_max, rss), self.rss_sum + rss, self.samples + 1
        self.fd_max, self.thread_max = max(self.fd_max, fds), max(self.thread_max, threads)

    def sample_quiet(self, own_port, redis_ports, table):
        kinds, inodes = descriptors(self.pid)
        fds = kinds.total()
        ports = [table[i] for i in inodes if i in table]
        served = sum(local == own_port or remote in redis_ports for local, remote in ports)
        calls = kinds.pop("socket", 0) - served  # a connection that the other side has reset is in no table any more
        self.kinds.append(kinds)
        self.quiet.append(((time.monotonic() - self.began) / 60, rss_mb(self.pid), kinds.total(), thread_count(self.pid), calls,
                           max(fds, self.fd_max)))

    @property
    def minutes(self):
        return (time.monotonic() - self.began) / 60

    @property
    def judged(self):
        return self.quiet[WARM_UP:] if len(self.quiet) >= WARM_UP + JUDGED_FROM else []

    @property
    def steady(self):
        """The judged samples since the last rise of work; none when they are too few."""
        since, most = 0, 0
        for i, q in enumerate(self.judged):
            if q[5] > most * (1 + WORK_STEP):
                since, most = i, q[5]
        return self.judged[since:] if len(self.judged) - since >= JUDGED_FROM else []

    def thirds(self, column, samples=None):
        """Medians of the first and the last third."""
        values = [q[column] for q in samples or self.judged]
        n = max(1, len(values) // 3)
        return statistics.median(values[:n]), statistics.median(values[-n:])

    def grown(self):
        """Which descriptors of files the last quiet sample has more of than the first judged one: "socket +3"."""
        more = self.kinds[-1] - self.kinds[WARM_UP]
        return ", ".join(f"{kind} +{count}" for kind, count in sorted(more.items()))

    def slope(self, column):
        """Least squares, per minute."""
        xs, ys = [q[0] for q in self.judged], [q[column] for q in self.judged]
        mean_x, mean_y = statistics.fmean(xs), statistics.fmean(ys)
        square = sum((x - mean_x) ** 2 for x in xs)
        return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / square if square else 0.0

    def problems(self, judge_memory=True):
        if not self.judged:
            return []
        found = []
        first, last = self.thirds(1, self.steady) if self.steady else (0, 0)
        if judge_memory and last > first + max(RSS_SLACK_MB, RSS_SLACK * first):
            found.append(f"memory grew from {first:.1f} to {last:.1f} MB, {self.slope(1):.2f} MB/min")
        first, last = self.thirds(2)
        if last > first + FD_SLACK:
            found.append(f"descriptors grew from {first:g} to {last:g}: {self.grown()}")
        first, last = self.thirds(4)
        if last > first + CALL_SLACK:
            found.append(f"descriptors of calls grew from {first:g} to {last:g}")
        calls = max(q[4] for q in self.quiet)
        if calls > PER_THREAD * self.quiet[0][3]:
            found.append(f"{calls} descriptors of calls with {self.quiet[0][3]} threads")
        threads = [q[3] for q in self.quiet]
        if max(threads) > threads[0] + THREAD_SLACK:
            found.append(f"threads grew from {threads[0]} to {max(threads)}")
        return [f"{self.name} (pid {self.pid}, {self.minutes:.1f} min): {text}" for text in found]


class Resources:
    """Owner: the thread that calls sample(); quiet() and the results only while that one is not in it (one lock of the caller)."""

    def __init__(self, daemons, redis_ports):
        self.daemons, self.redis_ports = daemons, redis_ports
        self.generations = {d.name: [] for d in daemons}
        self.log_marks = {d.name: (time.monotonic(), 0) for d in daemons}
        self.lines_per_minute = {d.name: 0.0 for d in daemons}

    def _current(self, daemon):
        if not daemon.running:
            return None
        lives = self.generations[daemon.name]
        if not lives or lives[-1].pid != daemon.pid:
            lives.append(Generation(daemon))
        return lives[-1]

    def _each(self, action):
        for daemon in self.daemons:
            life = self._current(daemon)
            try:
                if life:
                    action(daemon, life)
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                pass  # it ended just now

    def sample(self):
        self._each(lambda daemon, life: life.sample())

    def quiet(self):
        table = sockets()
        self._each(lambda daemon, life: life.sample_quiet(daemon.port, self.redis_ports, table))
        for daemon in self.daemons:
            self._count_lines(daemon)

    def _count_lines(self, daemon):
        at, offset = self.log_marks[daemon.name]
        with open(daemon.log_path, "rb") as f:
            f.seek(offset)
            lines = sum(piece.count(b"\n") for piece in iter(lambda: f.read(1 << 20), b""))
            now = time.monotonic()
            self.log_marks[daemon.name] = (now, f.tell())
        rate = 60 * lines / max(1.0, now - at)
        self.lines_per_minute[daemon.name] = max(self.lines_per_minute[daemon.name], rate)

    def all(self):
        return [life for lives in self.generations.values() for life in lives]

    def problems(self, judge_memory=True):
        return [text for life in self.all() for text in life.problems(judge_memory)]
