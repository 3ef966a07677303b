"""A single-node ZooKeeper: small heap, no admin server, data in the workspace."""
import logging

from kazoo.client import KazooClient

from .processes import HOST, Process, accepts, free_port

logging.getLogger("kazoo").setLevel(logging.CRITICAL)  # "connection dropped" is what waiting for a start looks like

TICK_MS = 500  # sessions from 1 s on are possible (2 ticks)
CLASS_PATH = "/etc/zookeeper/conf:/usr/share/java/zookeeper.jar:/usr/share/java/*"


class ZooKeeper(Process):
    ready_timeout_s = 40.0

    def __init__(self, workspace, name="zookeeper"):
        super().__init__(workspace, name)
        self.port = free_port()
        (self.dir / "zoo.cfg").write_text(
            f"tickTime={TICK_MS}\ndataDir={self.dir}/data\nclientPort={self.port}\nclientPortAddress={HOST}\n"
            "admin.enableServer=false\nmaxClientCnxns=0\nautopurge.purgeInterval=0\n"
            "minSessionTimeout=1000\nmaxSessionTimeout=60000\n")

    @property
    def address(self):
        return f"{HOST}:{self.port}"

    def command(self):
        return ["java", "-Xmx128m", "-Xms32m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
                "-Dzookeeper.admin.enableServer=false", "-Dzookeeper.jmx.log4j.disable=true",
                "-cp", CLASS_PATH, "org.apache.zookeeper.server.ZooKeeperServerMain", self.dir / "zoo.cfg"]

    def is_ready(self):
        if not accepts(self.port):
            return False
        with self.client(timeout=2.0):
            return True

    def client(self, timeout=5.0):
        """A started kazoo client; use it in a with block."""
        return _Client(self.address, timeout)


class _Client(KazooClient):
    def __init__(self, address, timeout):
        super().__init__(hosts=address, timeout=timeout)

    def __enter__(self):
        self.start(timeout=5.0)
        return self

    def __exit__(self, *exc):
        self.stop()
        self.close()
