"""Starts and ends processes, finds ports, waits for conditions.

A Workspace owns a temporary folder and every process started in it. Closing it (with block, exit of the interpreter,
Ctrl-C, SIGTERM, SIGHUP) ends the processes by pid and removes the folder; with keep=True the folder with all logs stays.
"""
import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HOST = "127.0.0.1"
START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 5.0
POLL_S = 0.02
ENDING_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
LOG_TAIL_LINES = 25
PORT_FIRST, PORT_LAST = 10000, 32000  # below the range the kernel gives to outgoing connections
PORT_BLOCK = 50


class Timeout(AssertionError):
    """A condition did not come true; the text says which, and what was seen last."""


class Lateness:
    """How much longer the pauses of this thread took than they should have: what the machine did meanwhile instead.

    A bar on time tells "as designed" from "wrong", and the machine's own delays must not decide that. A step that waits for another
    process that waits for a third one is late as often: hence the factor. On a machine with time to spare this is next to nothing.
    """
    FACTOR = 4
    _own = threading.local()  # a thousand threads that are late together are not a thousand times as late

    @classmethod
    def total_s(cls):
        return getattr(cls._own, "total_s", 0.0)

    @classmethod
    def pause(cls, seconds):
        began = time.monotonic()
        time.sleep(seconds)
        cls.add(time.monotonic() - began - seconds)

    @classmethod
    def add(cls, seconds):
        cls._own.total_s = cls.total_s() + seconds

    def __init__(self):
        self._before = Lateness.total_s()

    @property
    def allowance_s(self):
        return self.FACTOR * (Lateness.total_s() - self._before)


class Stretch:
    """How long something takes that does not pause in this thread: a request, other threads. What the machine itself was late meanwhile is
    measured by a thread that only sleeps, and taken off."""
    NAP_S = 0.02
    _lock = threading.Lock()
    _late_s = None  # of the sleeping thread in its life; None: it was not started

    def __init__(self):
        with Stretch._lock:
            if Stretch._late_s is None:
                Stretch._late_s = 0.0
                threading.Thread(target=Stretch._sleep, name="stretch", daemon=True).start()
        self._began, self._before = time.monotonic(), Stretch._late_s

    @staticmethod
    def _sleep():
        while True:
            Lateness.pause(Stretch.NAP_S)
            Stretch._late_s = Lateness.total_s()

    @property
    def took_s(self):
        return time.monotonic() - self._began - Lateness.FACTOR * (Stretch._late_s - self._before)


def wait_until(condition, timeout=10.0, what="the condition", poll_s=POLL_S):
    """Calls condition() every poll_s until it returns something true, and returns that.

    An exception counts as "not yet" and is told when time is over; AssertionError too, so a condition may assert. The time is longer by
    what the machine was late.
    """
    began, late = time.monotonic(), Lateness()
    seen = None
    while True:
        try:
            value = condition()
            if value:
                return value
            seen = f"last value: {value!r}"
        except Exception as e:  # noqa: BLE001 - anything may happen while a server starts
            seen = f"last error: {type(e).__name__}: {e}"
        if time.monotonic() - began >= timeout + late.allowance_s:
            more = f" (and {late.allowance_s:.1f} s for a busy machine)" if late.allowance_s > timeout / 4 else ""
            raise Timeout(f"waited {timeout:g} s{more} for {what}; {seen}")
        Lateness.pause(poll_s)


def stays(condition, seconds, what="the condition"):
    """The opposite of wait_until: condition() must be true during all of the given time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if not value:
            raise AssertionError(f"{what} did not hold for {seconds:g} s; last value: {value!r}")
        time.sleep(POLL_S)


class _Ports:
    """The ports of this process. Nobody else on this machine takes one that was given to a server that does not listen yet, or does not
    just now: neither another worker of pytest, nor another pytest, bench or demo. They come from blocks, and who has bound the first port of a
    block, which is given to nobody, has it until its process ends."""

    def __init__(self):
        self._pid = os.getpid()
        self._guards, self._left = [], []

    def take(self):
        if self._pid != os.getpid():
            self.__init__()  # forked: the blocks are the parent's
        while True:
            while not self._left:
                self._next_block()
            port = self._left.pop(0)
            if _can_listen(port):
                return port

    def _next_block(self):
        count = (PORT_LAST - PORT_FIRST) // PORT_BLOCK
        for i in range(count):
            first = PORT_FIRST + (os.getpid() + i) % count * PORT_BLOCK
            guard = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                guard.bind((HOST, first))  # without SO_REUSEADDR: one alone can
            except OSError:
                guard.close()
                continue
            self._guards.append(guard)
            self._left = list(range(first + 1, first + PORT_BLOCK))
            return
        raise RuntimeError("no free port left")


def _can_listen(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((HOST, port))
        except OSError:
            return False
    return True


_ports = _Ports()


def free_port():
    """A port nobody listens on now, and that is given to nobody else while this process lives."""
    return _ports.take()


def accepts(port, timeout=0.5):
    """True when something listens on the port."""
    try:
        with socket.create_connection((HOST, port), timeout=timeout):
            return True
    except OSError:
        return False


class Process:
    """One program with its log. Subclasses give command() and is_ready()."""

    ready_timeout_s = START_TIMEOUT_S
    stop_timeout_s = STOP_TIMEOUT_S
    must_live = False  # ending by itself, or not ending when told to, is a failure that close() of the workspace raises

    def __init__(self, workspace, name):
        self.workspace = workspace
        self.name = name
        self.dir = workspace.dir / name
        self.dir.mkdir(parents=True, exist_ok=True)
        self.log_path = self.dir / "output.log"
        self.env = {}
        self._popen = None
        self._end_is_known = False  # somebody ended it, or saw it end
        self._failure = None
        self._is_paused = False
        workspace._add(self)

    def command(self):
        raise NotImplementedError

    def is_ready(self):
        return True

    @property
    def pid(self):
        return self._popen.pid if self._popen else None

    @property
    def running(self):
        return self._popen is not None and self._popen.poll() is None

    @property
    def exit_code(self):
        """None while it runs; negative: killed by that signal."""
        return self._popen.poll() if self._popen else None

    def start(self, wait=True):
        if self.running:
            raise RuntimeError(f"{self.name} runs already (pid {self.pid})")
        self.check_alive()
        self._end_is_known = self._is_paused = False
        with open(self.log_path, "ab") as log:
            self._popen = subprocess.Popen(
                [str(c) for c in self.command()], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir,
                env={**os.environ, **self.env}, start_new_session=True)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        def ready():
            return not self.running or self.is_ready()
        try:
            wait_until(ready, self.ready_timeout_s, f"{self.name} to be ready")
        except Timeout as e:
            raise Timeout(f"{e}\n{self.log_tail()}") from None
        if not self.running:
            self._end_is_known = True
            raise RuntimeError(f"{self.name} ended with code {self.exit_code}\n{self.log_tail()}")

    def check_alive(self):
        """Remembers an end that nobody wanted."""
        code = self.exit_code
        if code not in (None, 0) and not self._end_is_known:  # 0: it was told to, by a signal of the test
            self._failure = self._failure or f"{self.name} ended by itself with code {code}\n{self.log_tail()}"

    def failure(self):
        """What a process that must live did wrong, or None."""
        return self._failure if self.must_live else None

    def stop(self):
        """SIGTERM, then SIGKILL when it does not end. Fine to call twice."""
        if not self.running:
            return
        self.resume()
        self._popen.terminate()
        self._end_is_known = True
        try:
            # A sanitizer looks through all of the memory at the end: a busy machine takes its time for that.
            wait_until(lambda: not self.running, self.stop_timeout_s, f"{self.name} to end")
        except Timeout:
            self._failure = self._failure or f"{self.name} did not end {self.stop_timeout_s:g} s after SIGTERM\n{self.log_tail()}"
            self.kill()

    def kill(self):
        """SIGKILL, as a crash or a power cut."""
        if self.running:
            self._end_is_known = True
            self._popen.kill()
            self._popen.wait(STOP_TIMEOUT_S)

    def restart(self):
        self.stop()
        return self.start()

    def pause(self):
        """SIGSTOP: the process is frozen, its connections stay open."""
        os.kill(self.pid, signal.SIGSTOP)
        self._is_paused = True

    def resume(self):
        """Nothing when it is not paused: SIGCONT takes away the SIGSTOP by which LeakSanitizer stops a process that ends, and it
        would wait for that for ever."""
        if self._is_paused:
            os.kill(self.pid, signal.SIGCONT)
            self._is_paused = False

    def wait_exit(self, timeout=STOP_TIMEOUT_S):
        wait_until(lambda: not self.running, timeout, f"{self.name} to end")
        self._end_is_known = True
        return self.exit_code

    def log_tail(self, lines=LOG_TAIL_LINES):
        if not self.log_path.exists():
            return f"{self.name} has no log"
        text = self.log_path.read_text(errors="replace").splitlines()[-lines:]
        return f"--- end of {self.log_path} ---\n" + "\n".join(text)


class Workspace:
    """A temporary folder and the processes in it."""

    def __init__(self, name="xpipe", keep=None):
        self.keep = bool(os.environ.get("XPIPE_KEEP")) if keep is None else keep
        self.dir = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        self.processes = []
        self._forgotten = []
        self._closed = False
        _install_signal_handler()
        atexit.register(self.close)

    def _add(self, process):
        if any(p.name == process.name for p in self.processes):
            raise ValueError(f"there is a process named {process.name!r} already")
        self.processes.append(process)

    def forget(self, process):
        """Stops a process and frees its name."""
        process.check_alive()
        process.stop()
        self.processes.remove(process)
        self._forgotten.append(process)

    def close(self):
        """Ends everything at once: first a request to all, then a wait for each. Raises when a daemon had ended by itself, or did
        not end."""
        if self._closed:
            return
        # A second Ctrl-C of an impatient user must not leave half of it behind.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
        try:
            self._end_all()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        failures = [p.failure() for p in self.processes + self._forgotten if p.failure()]
        if failures:
            raise AssertionError("\n".join(failures))

    def _end_all(self):
        self._closed = True
        atexit.unregister(self.close)
        for p in self.processes:
            p.check_alive()
            if p.running:
                p.resume()
                p._popen.terminate()
                p._end_is_known = True
        for p in reversed(self.processes):
            p.stop()
        if self.keep:
            print(f"logs and data are kept in {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def _install_signal_handler():
    """SIGTERM, and SIGHUP of a closed terminal, end the interpreter the ordinary way, so that atexit runs.

    SIGINT does so already.
    """
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, lambda n, _: sys.exit(128 + n))
    except ValueError:
        pass  # not the main thread: its owner decides


def build_dir():
    """The folder with daemons and stand-ins: XPIPE_BUILD, else the newest build that has the stand-in module."""
    given = os.environ.get("XPIPE_BUILD")
    if given:
        return Path(given).resolve()
    root = Path(__file__).resolve().parents[2]
    found = sorted(root.glob("build/*/crdt_module.so"), key=lambda p: p.stat().st_mtime)
    if not found:
        raise RuntimeError("no build found: run `make fakes`, or set XPIPE_BUILD")
    return found[-1].parent


def built(name):
    path = build_dir() / name
    if not path.exists():
        raise RuntimeError(f"{path} does not exist: run `make all fakes BUILD={build_dir()}`")
    return path
