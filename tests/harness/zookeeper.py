"""Real ZooKeeper: a single node, or an ensemble. Small heaps, no admin server, data in the workspace."""
import logging
import socket
import threading
import time

from kazoo.client import KazooClient

from .processes import HOST, Process, accepts, free_port, wait_until

logging.getLogger("kazoo").setLevel(logging.CRITICAL)  # "connection dropped" is what waiting for a start looks like

TICK_MS = 500  # sessions from 1 s on are possible (2 ticks)
CLASS_PATH = "/etc/zookeeper/conf:/usr/share/java/zookeeper.jar:/usr/share/java/*"


class ZooKeeper(Process):
    """One server. 'more' are further lines of its zoo.cfg."""

    ready_timeout_s = 40.0
    main_class = "org.apache.zookeeper.server.ZooKeeperServerMain"

    def __init__(self, workspace, name="zookeeper", more=()):
        super().__init__(workspace, name)
        self.port = free_port()
        lines = [f"tickTime={TICK_MS}", f"dataDir={self.dir}/data", f"clientPort={self.port}",
                 f"clientPortAddress={HOST}", "admin.enableServer=false", "maxClientCnxns=0",
                 "autopurge.purgeInterval=0", "minSessionTimeout=1000", "maxSessionTimeout=60000", *more]
        (self.dir / "zoo.cfg").write_text("\n".join(lines) + "\n")

    @property
    def address(self):
        return f"{HOST}:{self.port}"

    def command(self):
        return ["java", "-Xmx128m", "-Xms32m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
                "-Dzookeeper.admin.enableServer=false", "-Dzookeeper.jmx.log4j.disable=true",
                "-cp", CLASS_PATH, self.main_class, self.dir / "zoo.cfg"]

    def is_ready(self):
        if not accepts(self.port):
            return False
        with self.client(timeout=2.0):
            return True

    def client(self, timeout=5.0):
        """A started kazoo client; use it in a with block."""
        return _Client(self.address, timeout)

    def mode(self):
        """"leader", "follower" or "standalone"; None while it is none of them."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1.0) as s:
                s.sendall(b"srvr")
                text = s.makefile().read()
        except OSError:
            return None
        return next((x.split()[1] for x in text.splitlines() if x.startswith("Mode:")), None)


class _Member(ZooKeeper):
    main_class = "org.apache.zookeeper.server.quorum.QuorumPeerMain"

    def __init__(self, workspace, number, ports):
        quorum = [f"server.{i}={HOST}:{peer}:{election}" for i, (peer, election) in ports.items()]
        super().__init__(workspace, f"zookeeper-{number}", ["initLimit=20", "syncLimit=6", *quorum])
        data = self.dir / "data"
        data.mkdir()
        (data / "myid").write_text(f"{number}\n")


class Ensemble:
    """'size' servers that elect a leader. Takes the place of a ZooKeeper where only its address is asked for.

    With a lag the first server, which never leads while the others run, hears everything from its leader that much later.
    """

    def __init__(self, workspace, size=3, lag_ms=0):
        ports = {i: (free_port(), free_port()) for i in range(1, size + 1)}
        late = {i: (_LateEar(peer, lag_ms).port if lag_ms and i > 1 else peer, election)
                for i, (peer, election) in ports.items()}
        self.servers = [_Member(workspace, i, late if i == 1 else ports) for i in ports]

    @property
    def address(self):
        return ",".join(s.address for s in self.servers)

    def start(self, wait=True):
        for server in self.servers:
            server.start(wait=False)  # none is ready before most of them run
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        for server in self.servers:
            server.wait_ready()

    def stop(self):
        for server in self.servers:
            server.stop()

    def leader(self):
        """The server that leads now; waits until there is one."""
        def find():
            return next((s for s in self.servers if s.running and s.mode() == "leader"), None)
        return wait_until(find, 30, "a leading ZooKeeper")

    def client(self, timeout=5.0):
        return _Client(self.address, timeout)


class _LateEar:
    """Forwards TCP to a port of this machine; what comes back is handed on late. Threads of this process."""

    def __init__(self, to_port, lag_ms):
        self._to_port, self._lag_s = to_port, lag_ms / 1000
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            near, _ = self._listener.accept()
            try:
                far = socket.create_connection((HOST, self._to_port))
            except OSError:
                near.close()
                continue
            threading.Thread(target=self._pump, args=(near, far, 0), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, self._lag_s), daemon=True).start()

    @staticmethod
    def _pump(source, target, lag_s):
        try:
            while data := source.recv(65536):
                time.sleep(lag_s)
                target.sendall(data)
        except OSError:
            pass  # the other direction closed both
        source.close()
        target.close()


class _Client(KazooClient):
    def __init__(self, address, timeout):
        super().__init__(hosts=address, timeout=timeout)

    def __enter__(self):
        self.start(timeout=5.0)
        return self

    def __exit__(self, *exc):
        self.stop()
        self.close()
