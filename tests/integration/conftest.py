"""Fixtures of the integration tests. Everything listens on free ports of 127.0.0.1 and lives in a temporary folder."""
import os
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.processes import Workspace  # noqa: E402
from harness.proxy import Proxy  # noqa: E402
from harness.redis_server import CrdtRedis, RedisServer, uses_real_crdt  # noqa: E402
from harness.zookeeper import ZooKeeper  # noqa: E402


TOOLS = Path(__file__).resolve().parents[1] / "tools"
_reports = None  # where the sanitizers of the daemons write what they find (MODE=asan, tsan); else it stays empty


def pytest_configure(config):
    config.addinivalue_line("markers", "standin_only: needs the stand-in; left out when a real CRDT Redis is configured")
    config.addinivalue_line("markers", "slow: takes more than about 5 seconds")
    config.addinivalue_line("markers", "serial: has a bar on time, nothing else may run beside it (pytest.sh, JOBS)")
    global _reports
    _reports = tempfile.TemporaryDirectory(prefix="xpipe-reports-")
    for name, options in (("ASAN", "detect_leaks=1"), ("LSAN", f"suppressions={TOOLS}/lsan.supp"), ("UBSAN", "print_stacktrace=1"),
                          ("TSAN", f"suppressions={TOOLS}/tsan.supp")):
        # With log_path a report does not hide in the log of a daemon that nobody reads.
        os.environ[f"{name}_OPTIONS"] = f"{options}:print_suppressions=0:log_path={_reports.name}/{name.lower()}"


def _check_reports():
    found = sorted(Path(_reports.name).iterdir())
    text = "\n".join(f"--- {p.name}\n{p.read_text(errors='replace')[:20000]}" for p in found)
    for p in found:
        p.unlink()
    if found:
        pytest.fail(text, pytrace=False)


# Made before, and so ended after, everything else of its scope: daemons have ended, and written their reports.
@pytest.fixture(autouse=True)
def sanitizer_reports():
    """A sanitizer's report fails the test during which the daemon wrote it."""
    yield
    _check_reports()


@pytest.fixture(autouse=True, scope="session")
def last_sanitizer_reports():
    """The reports of daemons that outlive a test."""
    yield
    _check_reports()


def pytest_collection_modifyitems(items):
    if not uses_real_crdt():
        return
    skip = pytest.mark.skip(reason="only with the stand-in (XPIPE_CRDT_SERVER and XPIPE_CRDT_MODULE are set)")
    for item in items:
        if "standin_only" in item.keywords:
            item.add_marker(skip)


@pytest.fixture
def workspace(request):
    with Workspace(request.node.name.split("[")[0]) as w:
        yield w


@pytest.fixture
def redis_of(workspace):
    """redis_of(gid, name=..., **settings) starts a CRDT Redis; without a gid a stock one."""
    def start(gid=None, name=None, **settings):
        name = name or f"redis-{len(workspace.processes)}"
        server = RedisServer(workspace, name, **settings) if gid is None else CrdtRedis(workspace, name, gid, **settings)
        return server.start()
    return start


@pytest.fixture
def proxy_of(workspace):
    def start(name=None):
        return Proxy(workspace, name or f"proxy-{len(workspace.processes)}").start()
    return start


@pytest.fixture(scope="session")
def session_workspace():
    with Workspace("session") as w:
        yield w


@pytest.fixture(scope="session")
def zookeepers(session_workspace):
    """Two ZooKeepers for the whole run, one per DC. Tests use their own namespace in them."""
    found = [ZooKeeper(session_workspace, f"zookeeper-{i}").start(wait=False) for i in range(2)]
    for z in found:
        z.wait_ready()
    return found


@pytest.fixture(scope="module")
def shared():
    """One workspace with a pair of linked CRDT Redis for the tests of a module that only ask questions."""
    with Workspace("shared") as w:
        yield w
