"""The console's database on a disk that breaks, or in the hands of somebody else.

Every case keeps the same promise: writes are refused with an error that says why, reads go on, /ready and /health tell,
what was answered with success is there afterwards, the change log is whole, and it works again when the cause is gone.
"""
import hashlib
import os
import resource
import shutil
import sqlite3
import subprocess
import threading

import pytest

from harness.daemons import Console
from harness.disk import FragileDisk, SmallDisk, Unmountable
from harness.processes import wait_until


class Writer:
    """Puts descriptions d1, d2, .. to the DC 'jq', one at a time; remembers the last one that was acknowledged."""

    def __init__(self, console):
        self.console = console
        self.number = 0
        self.acknowledged = 0

    def put(self):
        """Acknowledged: None; refused: the text of the error."""
        self.number += 1
        answer = self.console.request("PUT", "/api/dc", {"dc_name": "jq", "description": f"d{self.number} {'x' * 900}"})
        body = answer.json()
        if answer.status_code == 200 and body["state"] == 0:
            self.acknowledged = self.number
            return None
        assert body["state"] == -1, f"{answer.status_code} {answer.text}"
        return body["message"]

    def stored(self):
        description = self.console.get("/api/dc")["payload"][0]["description"]
        return int(description.split()[0][1:])

    def check_nothing_lost(self):
        """What is stored is the last acknowledged one: nothing less, and nothing that was refused."""
        assert self.stored() == self.acknowledged


def make_console(workspace, folder=None, name="console", **settings):
    console = Console(workspace, name, {"console.db.check.ms": 100, "console.notify.poll.ms": 200, **settings})
    if folder:
        console.db_path = folder / "console.db"
        console.settings["console.db.path"] = console.db_path
    return console


def install(console):
    console.post("/api/zone", {"name": "SHA"})
    console.post("/api/dc", {"zone_id": 1, "dc_name": "jq", "description": "d0 "})
    return Writer(console)


def ready(console):
    return console.readiness()[0]


def wait_not_ready(console, *words):
    def told():
        is_ready, reasons = console.readiness()
        assert not is_ready and all(w in " ".join(reasons) for w in words), reasons
        health = console.get("/health")
        assert health["ready"] is False and health["reasons"] == reasons
        assert console.metrics()["xpipe_store_failing"] == 1
        return True
    wait_until(told, what=f"/ready and /health to tell {words}")


def check_chain(db_path):
    """The change log has no gap, every row continues the one before it, and SQLite finds the file sound."""
    db = sqlite3.connect(f"file:{db_path}?mode=ro", uri=True)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    prev, last = "0" * 64, 0
    for row in db.execute("SELECT idx, epoch, wall_ms, actor, request_id, op, body, prev_hash, hash FROM change_log "
                          "ORDER BY idx"):
        fields = [row[7], *map(str, row[:7])]
        text = b"".join(b"%d:%s," % (len(f.encode()), f.encode()) for f in fields)
        assert (row[0], row[7], row[8]) == (last + 1, prev, hashlib.sha256(text).hexdigest())
        prev, last = row[8], row[0]
    db.close()
    return last


def stop_and_check(console):
    console.stop()
    assert console.exit_code == 0
    assert check_chain(console.db_path) > 0


# ---- causes that come and go while the console runs ----

class FullDisk:
    words = ("the disk is full",)

    def __init__(self, workspace):
        self.disk = SmallDisk(workspace.dir / "small")
        self.folder = self.disk.path
        self.close = self.disk.close

    def begin(self, console):
        self.disk.fill()

    def end(self, console):
        self.disk.empty()


class FileSizeLimit:
    """RLIMIT_FSIZE under what the files have: SIGXFSZ and EFBIG. Needs no right."""
    words = ("the disk",)  # "is full" or "refuses", as SQLite takes it

    def __init__(self, workspace):
        self.folder = None
        self.close = lambda: None

    def begin(self, console):
        self.before = resource.prlimit(console.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    def end(self, console):
        resource.prlimit(console.pid, resource.RLIMIT_FSIZE, self.before)


class Moved:
    """A file of the database is taken away, and comes back."""

    def __init__(self, suffix, words):
        self.suffix, self.words = suffix, words

    def __call__(self, workspace):
        self.folder = None
        self.close = lambda: None
        return self

    def begin(self, console):
        self.path = f"{console.db_path}{self.suffix}"
        os.rename(self.path, f"{self.path}.away")

    def end(self, console):
        os.rename(f"{self.path}.away", self.path)


class Replaced(Moved):
    """Somebody puts another file in its place."""

    def begin(self, console):
        super().begin(console)
        shutil.copy(f"{self.path}.away", self.path)


PASSING = {
    "disk full": FullDisk,
    "file size limit": FileSizeLimit,
    "database deleted": Moved("", ("console.db", "is gone")),
    "wal deleted": Moved("-wal", ("-wal is gone",)),
    "lock deleted": Moved(".lock", (".lock is gone",)),
    "database replaced": Replaced("", ("console.db", "was replaced")),
    "wal replaced": Replaced("-wal", ("-wal was replaced",)),
}


def make_or_skip(make, workspace):
    try:
        return make(workspace)
    except Unmountable as e:
        pytest.skip(f"a file system cannot be mounted here: {e}")


@pytest.mark.parametrize("make", PASSING.values(), ids=list(PASSING))
def test_a_passing_failure_loses_nothing(workspace, make):
    cause = make_or_skip(make, workspace)
    try:
        console = make_console(workspace, cause.folder).start()
        writer = install(console)
        document = console.get("/api/dc/jq")
        cause.begin(console)
        wait_until(writer.put, what="a refused write")  # a full disk has room in the WAL for some
        for _ in range(3):
            why = writer.put()
            assert why and all(w in why for w in cause.words), why
        wait_not_ready(console, *cause.words)
        writer.check_nothing_lost()
        assert console.get("/api/dc/jq")["id"] == document["id"]
        cause.end(console)
        wait_until(lambda: ready(console), what="the console to be ready by itself")
        for _ in range(3):
            assert writer.put() is None
        console.kill()  # what was acknowledged does not live in the process
        console.start()
        writer.check_nothing_lost()
        stop_and_check(console)
    finally:
        cause.close()


def test_a_disk_full_for_long_under_many_writers(workspace):
    """Full, empty, full: at each acknowledgment the row is there, at each refusal it is not. The writers alone must not fill the disk, however
    long they write: emptied, it would still be full."""
    disk = make_or_skip(lambda w: SmallDisk(w.dir / "small", 64), workspace)
    try:
        console = make_console(workspace, disk.path).start()
        install(console)
        acknowledged, refused = set(), set()
        stop = threading.Event()

        def create(thread):
            n = 0
            while not stop.is_set():
                n += 1
                name = f"org-{thread}-{n}"
                body = {"orgId": thread * 100000 + n, "orgName": name}
                answer = requests_of(console).post(f"{console.url}/api/organizations", json=body, timeout=20).json()
                (acknowledged if answer["state"] == 0 else refused).add(name)
        threads = [threading.Thread(target=create, args=(i,)) for i in range(1, 5)]
        for t in threads:
            t.start()
        try:
            for _ in range(3):
                seen = len(acknowledged)
                wait_until(lambda: len(acknowledged) > seen + 10, what="writes that are taken")
                disk.fill()
                seen = len(refused)
                wait_until(lambda: len(refused) > seen + 10, what="writes that are refused")
                disk.empty()
        finally:
            stop.set()
            for t in threads:
                t.join()
        wait_until(lambda: ready(console), what="the console to be ready again")
        console.kill()
        console.start()
        stored = {o["orgName"] for o in console.get("/api/organizations/all")}
        assert acknowledged <= stored
        assert not refused & stored
        stop_and_check(console)
    finally:
        disk.close()


def requests_of(console):
    """A session of this thread: those of the requests package are not shared by threads."""
    import requests
    session = requests.Session()
    session.trust_env = False
    return session


# ---- a file system that fails under the console ----

def test_a_file_system_that_turns_read_only(workspace):
    disk = make_or_skip(lambda w: FragileDisk(w.dir / "fragile"), workspace)
    try:
        console = make_console(workspace, disk.path).start()
        writer = install(console)
        assert writer.put() is None
        disk.fail()
        for _ in range(3):
            why = writer.put()
            assert why and "console.db" in why and ("the disk refuses" in why or "cannot be written" in why), why
        wait_not_ready(console, "console.db")
        writer.check_nothing_lost()
        console.kill()
        disk.repair("ro")
        console.start(wait=False)
        assert console.wait_exit() == 1
        assert "Read-only file system" in console.log_tail() and "console.db" in console.log_tail()
        disk.repair()
        console.start()
        writer.check_nothing_lost()
        assert ready(console) and writer.put() is None
        stop_and_check(console)
    finally:
        disk.close()


# ---- a database that is damaged, or another one ----

def overwrite(path, at, data):
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(data)


def checkpoint(console):
    """By another tool: everything is in the main file then."""
    db = sqlite3.connect(console.db_path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    db.close()


def fill_pages(console, rows=300):
    """Enough rows for some pages."""
    for i in range(rows // 100):
        console.post("/api/clusters", {"clusterName": f"c{i}", "clusterType": "SINGLE_DC", "dcs": ["jq"], "desc": "d",
                                       "organizationId": 0, "clusterAdminEmails": "dba@example.com"})
        console.post(f"/api/shards/c{i}", [{"shardName": f"shard-{n}", "shardMonitorName": f"shard-{n}"} for n in range(100)])


DAMAGES = {
    "cut in half": lambda path: os.truncate(path, os.path.getsize(path) // 2 // 4096 * 4096),
    "cut inside a page": lambda path: os.truncate(path, os.path.getsize(path) - 1000),
    "garbage in the middle": lambda path: overwrite(path, os.path.getsize(path) // 2, os.urandom(40000)),
    "garbage at the head": lambda path: overwrite(path, 0, b"this is no database " * 20),
    "another text file": lambda path: path.write_text("hello\n" * 3000),
    "cut to nothing": lambda path: os.truncate(path, 0),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_database(workspace, damage):
    """Under the running console and at its start: named, no crash, nothing overwritten; a backup brings all back."""
    console = make_console(workspace).start()
    writer = install(console)
    fill_pages(console)
    checkpoint(console)
    assert writer.put() is None and ready(console)  # a checkpoint by another tool is no damage
    checkpoint(console)
    backup = workspace.dir / "backup.db"
    subprocess.run(["/usr/bin/python3", "-c", "import sqlite3,sys; a=sqlite3.connect(sys.argv[1]); b=sqlite3.connect("
                    "sys.argv[2]); a.backup(b); b.close()", console.db_path, backup], check=True)
    damage(console.db_path)
    why = writer.put()
    assert why and "console.db" in why, why
    wait_not_ready(console, "console.db")
    assert console.request("GET", "/api/organizations/all").status_code in (200, 500)  # as far as it can be read
    console.kill()
    console.start(wait=False)
    assert console.wait_exit() == 1, "a damaged database was opened"
    assert "console.db" in console.log_tail()
    for suffix in ("-wal", "-shm"):
        console.db_path.with_name(f"console.db{suffix}").unlink(missing_ok=True)
    shutil.copy(backup, console.db_path)
    console.start()
    writer.check_nothing_lost()
    assert writer.put() is None
    stop_and_check(console)


def test_a_database_of_a_newer_program(workspace):
    console = make_console(workspace).start()
    writer = install(console)
    console.stop()
    db = sqlite3.connect(console.db_path)
    version = db.execute("PRAGMA user_version").fetchone()[0]
    db.execute("PRAGMA user_version = 99")
    db.close()
    console.start(wait=False)
    assert console.wait_exit() == 1
    assert "schema 99" in console.log_tail() and "start the newer program" in console.log_tail()
    db = sqlite3.connect(console.db_path)
    db.execute(f"PRAGMA user_version = {version}")
    db.close()
    console.start()
    assert writer.put() is None


def test_changes_without_their_database(workspace):
    """SQLite would throw the WAL away."""
    console = make_console(workspace).start()
    writer = install(console)
    console.kill()
    console.db_path.rename(console.db_path.with_name("away.db"))
    wal = console.db_path.with_name("console.db-wal")
    size = wal.stat().st_size
    console.start(wait=False)
    assert console.wait_exit() == 1
    assert "is missing" in console.log_tail() and wal.stat().st_size == size
    console.db_path.with_name("away.db").rename(console.db_path)
    console.start()
    writer.check_nothing_lost()


# ---- a second console ----

@pytest.mark.parametrize("path_of", [lambda c: c.db_path, lambda c: _link(c)], ids=["same path", "through a link"])
def test_a_second_console_on_the_same_database(workspace, path_of):
    first = make_console(workspace, name="first").start()
    writer = install(first)
    second = make_console(workspace, name="second")
    second.settings["console.db.path"] = path_of(first)
    second.start(wait=False)
    assert second.wait_exit() == 1
    assert f"in use by another console (process {first.pid}" in second.log_tail()
    assert ready(first) and writer.put() is None
    first.kill()  # leaves the lock file, not the lock
    second.start()
    writer.console = second
    writer.check_nothing_lost()
    assert writer.put() is None
    first.start(wait=False)
    assert first.wait_exit() == 1


def _link(console):
    link = console.dir / "link.db"
    link.symlink_to(console.db_path)
    return link
