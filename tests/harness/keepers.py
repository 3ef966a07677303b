"""Keepers and keeper containers: the stand-ins of tests/fakes as processes.

Every container has a loopback address of its own (127.77.x.y), because a console knows containers by their ip and gives keepers
ports from 6380 upwards per ip.
"""
import os
import signal
import socket
from pathlib import Path

import redis
import requests

from .processes import Process, build_dir, built, free_port, wait_until
from .redis_server import CommandLog, RedisClient

SESSION_MS = 2000  # of the keepers in ZooKeeper
KEEPER_PORT = 6380  # the first that a console gives
HTTP_TIMEOUT_S = 20.0


def own_loopback():
    """(ip, port): an address of 127/8 that nobody else here has, and a port that is free on it."""
    while True:
        port = free_port()
        ip = f"127.77.{port >> 8}.{port & 255}"
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((ip, port))
            except OSError:
                continue
        return ip, port


class Keeper(CommandLog, RedisClient):
    """A client of one keeper. Its log (log(), senders()) holds KEEPER SETSTATE and SLAVEOF."""

    def __init__(self, ip, port, container=None):
        self.ip = ip
        self.port = port
        self.container = container
        self.name = f"keeper {ip}:{port}"

    def __repr__(self):
        return self.name

    @property
    def state(self):
        """"ACTIVE", ..; None while nobody answers."""
        try:
            return self.run("KEEPER", "getstate")
        except redis.exceptions.ConnectionError:
            return None

    @property
    def master(self):
        """"ip:port" of whom it was told to follow."""
        role = self.run("ROLE")
        return f"{role[1]}:{role[2]}"

    @property
    def link(self):
        """The state of the link to its master: "connected", .."""
        return self.run("ROLE")[3]

    def setstate(self, state, master, *proxy_words):
        """KEEPER SETSTATE; 'master' is anything with ip and port."""
        return self.run("KEEPER", "SETSTATE", state, master.ip, master.port, *proxy_words)

    def wait_state(self, state, timeout=15.0):
        wait_until(lambda: self.state == state, timeout, f"{self.name} to be {state}")
        return self

    def wait_connected(self, timeout=15.0):
        wait_until(lambda: self.link == "connected", timeout, f"{self.name} to be connected with its master")
        return self

    @property
    def pid(self):
        """Of its redis-server; None when it does not run."""
        return self.container.pid_of(self.port)

    def kill(self):
        """SIGKILL: its ZooKeeper session goes on until it expires."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.pid is None, 5, f"{self.name} to end")

    def pause(self):
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)


class KeeperContainer(Process):
    """A keeper container. zookeeper None: its keepers are in no election."""

    stop_timeout_s = 10.0
    must_live = True

    def __init__(self, workspace, name, zookeeper=None, namespace="xpipe", session_ms=SESSION_MS, layout="repl"):
        super().__init__(workspace, name)
        self.ip, self.port = own_loopback()
        self.zookeeper = zookeeper
        self.namespace = namespace
        self.session_ms = session_ms
        self.layout = layout
        self._session = requests.Session()
        self._session.trust_env = False

    @property
    def address(self):
        return f"{self.ip}:{self.port}"

    @property
    def url(self):
        return f"http://{self.address}"

    def command(self):
        built("keeper_module.so")
        words = [built("keeper_container"), "--ip", self.ip, "--port", self.port, "--dir", self.dir, "--namespace", self.namespace,
                 "--zk-session-ms", self.session_ms, "--zk-layout", self.layout, "--module", build_dir() / "keeper_module.so"]
        return words + (["--zk", self.zookeeper.address] if self.zookeeper else [])

    def is_ready(self):
        return self.request("GET", "/health").json() is True

    # REST

    def request(self, method, path, body=None, **options):
        if body is not None:
            options["json"] = body
        return self._session.request(method, self.url + path, timeout=HTTP_TIMEOUT_S, **options)

    def error_of(self, method, path, body):
        """The code of an error answer, which must be as the contract says; fails when there was none."""
        answer = self.request(method, path, body)
        assert answer.status_code == 500, (answer.status_code, answer.text)
        code = answer.headers["X-Keeper-Container-Error"]
        assert answer.json()["errorType"] == code and answer.json()["errorMessage"]
        return code

    def body(self, repl_id, port=KEEPER_PORT, run_id=None, **fields):
        """KeeperTransMeta as a metaserver sends it."""
        return {"clusterDbId": 1, "shardDbId": repl_id, "replId": repl_id,
                "keeperMeta": {"id": run_id, "ip": self.ip, "port": port, "active": False, "master": None, "survive": None,
                               "offset": None, "keeperContainerId": 1, "priority": 1}, **fields}

    def add(self, repl_id, port=KEEPER_PORT, run_id=None):
        """Adds or starts a keeper as a metaserver does; the Keeper."""
        answer = self.request("POST", f"/keepers/clusters/1/shards/{repl_id}", self.body(repl_id, port, run_id))
        assert (answer.status_code, answer.content) == (200, b""), answer.text
        return Keeper(self.ip, port, self)

    def remove(self, repl_id, port=KEEPER_PORT):
        answer = self.request("DELETE", f"/keepers/clusters/1/shards/{repl_id}", self.body(repl_id, port))
        assert (answer.status_code, answer.content) == (200, b""), answer.text

    def keepers(self):
        """replId -> Keeper of what the container says it has, running or not."""
        found = self.request("GET", "/keepers").json()
        return {k["replId"]: Keeper(k["keeperMeta"]["ip"], k["keeperMeta"]["port"], self) for k in found}

    def play(self, answer="right", delay_ms=0):
        """Answers of /keepers from now on: "right", "error" or "garbage", each delay_ms late."""
        reply = self.request("PUT", "/standin/faults", {"answer": answer, "delay_ms": delay_ms})
        assert reply.status_code == 200, reply.text

    # processes

    def pid_of(self, port):
        """The running redis-server of the keeper at the port, or None. A zombie has no command line."""
        for path in self.dir.glob(f"repl_*_{port}/redis.pid"):
            pid = path.read_text().strip()
            if f"{self.ip}:{port}" in _command_line(pid):
                return int(pid)
        return None


def _command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def accepts_at(ip, port, timeout=0.5):
    try:
        with socket.create_connection((ip, port), timeout=timeout):
            return True
    except OSError:
        return False


def latches(client, path):
    """The election as ZooKeeper has it: [(name, data as text)] in the order that counts, by the text behind "latch-"."""
    if not client.exists(path):
        return []
    names = sorted(client.get_children(path), key=lambda n: n.split("latch-")[-1])
    return [(n, client.get(f"{path}/{n}")[0].decode()) for n in names]
