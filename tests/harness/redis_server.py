"""Redis processes: plain ones, and CRDT Redis (the stand-in module, or the real one when it is configured).

XPIPE_REDIS_SERVERS lists programs of other servers (Redis 4.0, 6.2, Valkey..), separated by blanks or colons, for the tests that take a
program: the tests of fences and drains run against each of them. Without it: the redis-server of the PATH.

XPIPE_CRDT_SERVER and XPIPE_CRDT_MODULE name a real CRDT Redis and its module; tests that are marked for both then run
against it. The stand-in's own commands (STANDIN.*) exist only without them.
"""
import functools
import os
import re
import socket
import subprocess

import redis

from .crdt_info import parse_crdt_info, parse_pairs
from .processes import HOST, Process, build_dir, built, free_port, wait_until

REAL_SERVER = os.environ.get("XPIPE_CRDT_SERVER")
REAL_MODULE = os.environ.get("XPIPE_CRDT_MODULE")
COMMAND_TIMEOUT_S = 5.0
ALREADY = "OK Already connected to specified master"  # PEEROF


def redis_programs():
    return os.environ.get("XPIPE_REDIS_SERVERS", "").replace(":", " ").split() or ["redis-server"]


@functools.lru_cache(maxsize=None)
def redis_version(program):
    """"redis-7.0.15", "valkey-9.1.2"."""
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"(\w+) server v=([\d.]+)", text)
    if not found:
        raise ValueError(f"{program} --version says {text!r}")
    return f"{found[1].lower()}-{found[2]}"


def redis_major(program):
    return int(redis_version(program).split("-")[1].split(".")[0])


def uses_real_crdt():
    return bool(REAL_SERVER and REAL_MODULE)


class _Connection(redis.connection.Connection):
    """Leaves out everything redis-py sends on its own, so that a server sees the commands of the test only."""

    def on_connect(self):
        self._parser.on_connect(self)


class RedisClient:
    """What speaks RESP at ip:port; subclasses set 'port', 'name', and 'ip' when it is not the usual one."""

    ip = HOST
    _client = None

    @property
    def address(self):
        return f"{self.ip}:{self.port}"

    @property
    def client(self):
        """A redis-py client with replies as text; raises redis.ResponseError for error replies."""
        if self._client is None:
            pool = redis.ConnectionPool(connection_class=_Connection, host=self.ip, port=self.port, decode_responses=True,
                                        socket_timeout=COMMAND_TIMEOUT_S, encoding_errors="replace")
            self._client = redis.Redis(connection_pool=pool)
            self._client.response_callbacks.clear()  # replies as the server sent them
        return self._client

    def run(self, *words):
        """One command; the raw reply. Error replies are raised as redis.ResponseError."""
        return self.client.execute_command(*words)

    def at_once(self, *commands):
        """The replies to commands that arrive in one piece: nothing else happens in the server between them."""
        pipe = self.client.pipeline(transaction=False)
        for words in commands:
            pipe.execute_command(*words)
        return pipe.execute()

    def error_of(self, *words):
        """The text of the error reply; fails when the command succeeded."""
        try:
            reply = self.run(*words)
        except redis.ResponseError as e:
            return _error_text(e)
        raise AssertionError(f"{words} on {self.name} answered {reply!r}, not an error")

    def raw(self, data, until=b"\r\n", timeout=COMMAND_TIMEOUT_S):
        """Sends bytes on a new connection and reads until the given end, or until the server closes."""
        with socket.create_connection((self.ip, self.port), timeout=timeout) as s:
            s.sendall(data)
            got = b""
            while not got.endswith(until):
                piece = s.recv(65536)
                if not piece:
                    break
                got += piece
            return got

    @property
    def role(self):
        """"master" or "slave"."""
        return self.run("ROLE")[0]

    def info(self, section="default"):
        return parse_pairs(self.run("INFO", section))


class CommandLog:
    """STANDIN.LOG of a stand-in: what came to change it."""

    def standin(self, command, *words):
        return self.run(f"STANDIN.{command}", *words)

    def log(self, *names, replicated=False):
        """Logged commands as lists of words, such as [["PEEROF", "2", ...]]; names filter, for instance "peerof"."""
        wanted = {n.lower() for n in names}
        source = "replicated" if replicated else "client"
        entries = [e for e in self.standin("LOG") if e[1] == source]
        return [e[2:] for e in entries if not wanted or e[2].lower() in wanted]

    def senders(self, *names):
        """CLIENT SETNAME of who sent each of the commands that log(*names) gives."""
        wanted = {n.lower() for n in names}
        entries = zip(self.standin("LOG"), self.standin("LOG", "senders"))
        return [who for e, who in entries if e[1] == "client" and (not wanted or e[2].lower() in wanted)]

    def clear_log(self):
        self.standin("LOG", "clear")


class RedisServer(RedisClient, Process):
    """A stock redis-server."""

    program = "redis-server"

    def __init__(self, workspace, name, config=(), program=None):
        """config: further lines of redis.conf."""
        super().__init__(workspace, name)
        self.program = program or self.program
        self.port = free_port()
        self.conf_path = self.dir / "redis.conf"
        self._write_config(config)

    def _write_config(self, lines):
        base = [f"port {self.port}", f"bind {HOST}", "protected-mode no", f"dir {self.dir}", 'save ""', "appendonly no",
                "daemonize no", "databases 16", "repl-diskless-sync-delay 0", "repl-backlog-size 1mb"]
        new = self.conf_path.with_name("redis.conf.new")
        new.write_text("\n".join(base + self._more_config() + list(lines)) + "\n")
        new.replace(self.conf_path)  # a running server may be rewriting it: up to Redis 6 in place

    def _more_config(self):
        return ["repl-diskless-sync yes", *(["enable-debug-command yes"] if redis_major(self.program) >= 7 else [])]

    def command(self):
        return [self.program, self.conf_path]

    def is_ready(self):
        return bool(self.run("ROLE"))

    def replicate(self, master, wait=True):
        """SLAVEOF master; None makes it a master."""
        if master is None:
            self.run("SLAVEOF", "NO", "ONE")
            return
        self.run("SLAVEOF", master.ip, master.port)
        if wait:
            wait_until(lambda: self.run("ROLE")[3] == "connected", 15, f"{self.name} to follow {master.name}")


class Sentinel(RedisClient, Process):
    """A real sentinel (redis-server --sentinel). It writes what it knows into its configuration file."""

    def __init__(self, workspace, name):
        super().__init__(workspace, name)
        self.port = free_port()
        self.conf_path = self.dir / "sentinel.conf"
        self.conf_path.write_text(f"port {self.port}\nbind {HOST}\ndir {self.dir}\n")

    def command(self):
        return ["redis-server", self.conf_path, "--sentinel"]

    def is_ready(self):
        return self.run("PING") == "PONG"

    def watched(self, monitor):
        """"ip:port" of the master; None when the monitor is not known."""
        reply = self.run("SENTINEL", "GET-MASTER-ADDR-BY-NAME", monitor)
        return ":".join(reply) if reply else None


def _error_text(e):
    """redis-py cuts the first word off some errors; put back what the class stands for."""
    text = str(e)
    lost = {redis.exceptions.BusyLoadingError: "LOADING ", redis.exceptions.AuthenticationError: "",
            redis.exceptions.NoPermissionError: "NOPERM ", redis.exceptions.ReadOnlyError: "READONLY "}
    prefix = lost.get(type(e), "ERR " if type(e) is redis.ResponseError else "")
    known = ("ERR ", "NOAUTH", "LOADING", "NOMASTERLINK", "READONLY", "WRONG", "MASTERDOWN")
    return text if text.startswith(known) else prefix + text


class CrdtRedis(CommandLog, RedisServer):
    """A CRDT Redis with a gid. Stand-in settings: tick_ms, sync_delay_ms, lazy_ms, ping_ms, timeout_ms, version."""

    def __init__(self, workspace, name, gid, config=(), namespace="default", version="1.0.22", crash="abort", **times):
        self.gid = gid
        self.namespace = namespace
        self.version = version
        self.crash = crash
        self.times = {"tick_ms": 100, "sync_delay_ms": 0, "lazy_ms": 11000, **times}
        if uses_real_crdt():
            self.program = REAL_SERVER
        super().__init__(workspace, name, config)

    @property
    def state_path(self):
        return self.dir / "crdt.state"

    def _more_config(self):
        if uses_real_crdt():
            return [f"loadmodule {REAL_MODULE}", f"crdt-gid {self.namespace} {self.gid}"]
        times = " ".join(f"{k.replace('_', '-')} {v}" for k, v in self.times.items())
        module = build_dir() / "crdt_module.so"
        built("crdt_module.so")
        return super()._more_config() + [
            f"loadmodule {module} gid {self.gid} namespace {self.namespace} version {self.version} "
            f"crash {self.crash} state-file {self.state_path} {times}"]

    def config_text(self):
        """What a restart will read about peers: redis.conf, or the stand-in's side file."""
        path = self.conf_path if uses_real_crdt() else self.state_path
        return path.read_text() if path.exists() else ""

    def peerof(self, gid, *words):
        """PEEROF gid words...; the status text of the reply."""
        return self.run("PEEROF", gid, *words)

    def pull_from(self, other, *options):
        """PEEROF towards another CrdtRedis."""
        return self.peerof(other.gid, HOST, other.port, *options)

    @property
    def crdt(self):
        """CRDT.INFO replication, parsed."""
        return parse_crdt_info(self.run("CRDT.INFO", "replication"))

    @property
    def peers(self):
        return self.crdt.peers

    def wait_up(self, gid, timeout=15.0):
        """Waits until the link to the gid is up; returns the peer."""
        def up():
            peer = self.peers[gid]
            return peer if peer.up else None
        return wait_until(up, timeout, f"{self.name}: link to gid {gid} up")

    def wait_down(self, gid, timeout=15.0):
        return wait_until(lambda: not self.peers[gid].up, timeout, f"{self.name}: link to gid {gid} down")

    # Only with the stand-in:

    def set(self, name, value):
        """Changes a setting of the stand-in, for instance set("sync-delay-ms", 3000)."""
        return self.standin("SET", name, value)

    def would_have_crashed(self):
        """How many deadly inputs came while crash=flag."""
        return self.standin("CRASHED")[0]
