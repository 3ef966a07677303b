"""The folder of the metaserver's copy of the DC document: not writable, full, or with something else in it.

Every case keeps the same promise: a log line with the file and the reason, a start that goes on, and in the end the console's document.
"""
import json
import re
from pathlib import Path

import pytest

from harness.daemons import Meta
from harness.disk import SmallDisk, Unmountable
from harness.hostile import RawHttp, Trial, assert_clean, http_answer
from harness.processes import Workspace, wait_until
from harness.scripted import ScriptedConsole
from harness.zookeeper import ZooKeeper

DC = "jq"
FAST = {"meta.refresh.milli": 300, "http.dc.timeout.milli": 1500, "http.dc.connect.timeout.milli": 500, "zk.session.timeout.milli": 10000}


class Home:
    """One metaserver and its console, which can be away."""

    def __init__(self, workspace, zookeeper):
        self.script = ScriptedConsole(DC)
        self.serve(3, 10)
        self.away = False
        self.console = RawHttp(self._reply)
        self.meta = Meta(workspace, "meta", DC, 1, zookeeper, FAST, "data-dir")
        self.meta.set_addresses(self.console.url, {DC: self.meta.url})
        self.data = workspace.dir / "data"
        self.data.mkdir()
        self.use(self.data)

    def _reply(self, connection, method, path, body):
        if not self.away:
            connection.sendall(http_answer(self.script.document))

    def use(self, folder):
        self.meta.settings["data.dir"] = folder
        self.file = Path(folder) / f"dc-{DC}-meta-1.json"

    def serve(self, clusters, version):
        self.script.serve_clusters(range(1, clusters + 1), version=version)
        self.clusters = clusters

    def kept(self):
        """How many clusters the file has; raises while there is no good one."""
        return len(json.loads(self.file.read_text())["clusters"])

    def served(self):
        return len(self.meta.get("/api/current/debug")["shards"])

    def wait_served(self, count=None):
        wait_until(lambda: self.served() == (count or self.clusters), 20, "the document to be in use")

    def wait_kept(self):
        wait_until(lambda: self.kept() == self.clusters, 20, "the document to be kept")

    def close(self):
        self.meta.stop()
        self.console.close()
        self.script.close()


@pytest.fixture(scope="module")
def home():
    with Workspace("data-dir") as w:
        home = Home(w, ZooKeeper(w).start())
        home.meta.start()
        home.wait_kept()
        assert_clean(home.meta)
        home.good = home.file.read_text()
        yield home
        home.close()


@pytest.fixture
def stopped(home):
    """The good copy is in its folder, the console is there, nothing runs."""
    home.away = False
    home.use(home.data)
    home.file.write_text(home.good)
    home.serve(3, 10)
    yield home
    assert_clean(home.meta)


UNUSABLE = {
    "empty": b"", "cut-off": None, "binary": bytes(range(256)) * 100, "list": b"[]", "deep": b"[" * 100_000, "another-dc": None,
    "clusters-are-text": b'{"id":"jq","clusters":"x","routes":[]}',
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_file_that_is_no_document_of_ours(stopped, kind):
    """The console is away, so it is read: told, not used. The console is back: its document, and a good file again."""
    home = stopped
    data = UNUSABLE[kind]
    if kind == "cut-off":
        data = home.good[:len(home.good) // 2].encode()
    elif kind == "another-dc":
        data = json.dumps({**json.loads(home.good), "id": "fra"}).encode()
    home.file.write_bytes(data)
    home.away = True
    home.meta.start()
    with Trial(home.meta) as trial:
        wait_until(lambda: "document.cache_unusable" in home.meta.log_path.read_text().rpartition("daemon.starting")[2], 15, "the line")
        line = re.findall(r".*document\.cache_unusable.*", home.meta.log_path.read_text())[-1]
        assert str(home.file) in line and re.search(r'error="?\S+', line), line
        assert home.served() == 0 and not home.meta.readiness()[0]
        home.away = False
        home.wait_served()
        home.meta.request("POST", "/api/meta/v2/refresh")
        home.wait_kept()
        assert trial.process.running


def test_file_older_than_the_console(stopped):
    """Used while the console is away; the console's newer one replaces it, in use and on disk."""
    home = stopped
    home.serve(5, 11)
    home.away = True
    home.meta.start()
    home.wait_served(3)
    assert "document.from_cache" in home.meta.log_path.read_text().rpartition("daemon.starting")[2]
    home.away = False
    home.wait_served(5)
    home.wait_kept()


def test_folder_that_does_not_exist(stopped):
    home = stopped
    home.use(home.data / "missing")
    home.meta.start()
    home.wait_served()
    wait_until(lambda: f"document.cache_failed error=\"cache file '{home.file}.new': No such file or directory" in home.meta.log_path.read_text(),
               15, "a line with the file and the reason")
    home.file.parent.mkdir()
    home.wait_kept()  # without a change, without a restart


def test_full_disk_is_given_back_and_written_when_there_is_room(stopped):
    home = stopped
    try:
        disk = SmallDisk(home.meta.dir / "small", mib=1)
    except Unmountable as e:
        pytest.skip(str(e))
    try:
        home.use(disk.path)
        disk.fill()
        home.meta.start()
        home.wait_served()
        wait_until(lambda: "No space left on device" in home.meta.log_path.read_text(), 15, "a line with the reason")
        wait_until(lambda: not list(disk.path.glob("*.new")), 5, "nothing half written to be left")
        disk.empty()
        home.wait_kept()
        home.meta.stop()
    finally:
        disk.close()
