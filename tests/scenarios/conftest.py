"""Fixtures of the scenarios, and the list of them that ends a run: "ok F01 ..", "not ok F01 ..", "todo F33 ..", a summary. A run in which
not all is ok fails: also for a known defect (xfail), a scenario without a test, and one whose tests were all skipped.

A world is shared by the scenarios of a process that want the same one; a scenario that failed spoils it, and the next gets a new one.
With pytest-xdist each worker has worlds of its own.
"""
import os
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from catalogue import SCENARIOS  # noqa: E402
from harness.processes import Workspace  # noqa: E402
from harness.redis_server import RedisServer, redis_programs, redis_version  # noqa: E402
from harness.switch import Drill, SwitchWorld  # noqa: E402
from harness.zookeeper import ZooKeeper  # noqa: E402

TOOLS = Path(__file__).resolve().parents[1] / "tools"
HOME, AWAY = "jq", "fra"
SITES = {"plain": {}, "keepers": {"containers": 2}}
_results = {}  # scenario -> [(test, verdict, why, seconds)]
_listed = set()  # the scenarios that have a test at all
_reports = None


def pytest_addoption(parser):
    parser.addoption("--scenario", default="", help="only these, for instance F07 or F07,F09")
    parser.addoption("--fast", action="store_true", help="only those that are marked fast: what `make test` runs")


def pytest_configure(config):
    config.addinivalue_line("markers", "scenario(id): the scenario of dr-switchover.md 6.2 that the test is about")
    config.addinivalue_line("markers", "fast: part of `make test`")
    global _reports
    _reports = tempfile.TemporaryDirectory(prefix="xpipe-reports-")
    for name, options in (("ASAN", "detect_leaks=1"), ("LSAN", f"suppressions={TOOLS}/lsan.supp"), ("UBSAN", "print_stacktrace=1"),
                          ("TSAN", f"suppressions={TOOLS}/tsan.supp")):
        os.environ[f"{name}_OPTIONS"] = f"{options}:print_suppressions=0:log_path={_reports.name}/{name.lower()}"


def _scenario(item):
    marker = item.get_closest_marker("scenario")
    return marker.args[0] if marker else None


def pytest_collection_modifyitems(config, items):
    wanted = {w for w in config.getoption("--scenario").upper().split(",") if w}
    unknown = wanted - set(SCENARIOS)
    if unknown:
        raise pytest.UsageError(f"unknown scenario {', '.join(sorted(unknown))}")
    keep = [i for i in items if (not wanted or _scenario(i) in wanted)
            and (not config.getoption("--fast") or i.get_closest_marker("fast") or _scenario(i) is None)]
    config.hook.pytest_deselected(items=[i for i in items if i not in keep])
    _listed.update({_scenario(i) for i in items} - {None})
    items[:] = sorted(keep, key=lambda i: (_scenario(i) or "", "site" not in i.fixturenames))


def _verdict(report):
    if hasattr(report, "wasxfail"):
        return "not ok", report.wasxfail
    if report.skipped:
        return "skipped", str(report.longrepr[2] if isinstance(report.longrepr, (tuple, list)) else report.longrepr)
    if report.failed:
        text = getattr(getattr(report.longrepr, "reprcrash", None), "message", "") or str(report.longrepr)
        return "not ok", " ".join(text.split())[:160]
    return "ok", ""


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    report.scenario = _scenario(item)
    report.verdict = _verdict(report)  # what xdist hands on of a failure is less


def pytest_runtest_logreport(report):
    if report.scenario and (report.when == "call" or not report.passed):
        name = report.nodeid.rsplit("::", 1)[-1]
        _results.setdefault(report.scenario, []).append((name, *report.verdict, report.duration))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """What a worker of pytest-xdist has collected; this process collects nothing then."""
    _listed.update(getattr(node, "workeroutput", {}).get("listed", []))


def _states():
    """Scenario -> "ok", "not ok", "todo", "skipped", "not run"."""
    return {scenario: _state(scenario, [r[1] for r in _results.get(scenario, [])]) for scenario in SCENARIOS}


def _state(scenario, verdicts):
    if scenario not in _listed:
        return "todo"
    return next((v for v in ("not ok", "ok", "skipped") if v in verdicts), "not run")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["listed"] = sorted(_listed)
    elif session.exitstatus == pytest.ExitCode.OK and set(_states().values()) & {"not ok", "todo", "skipped"}:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    """One line for each scenario. Those that a --scenario or --fast run left out are counted, not listed."""
    if hasattr(config, "workerinput"):
        return
    states = _states()
    terminalreporter.section("scenarios of dr-switchover.md 6.2")
    for scenario, state in states.items():
        results = _results.get(scenario, [])
        if state == "not run":
            continue
        seconds = sum(r[3] for r in results)
        terminalreporter.line(f"{state} {scenario} {SCENARIOS[scenario]} ({len(results)} tests, {seconds:.0f} s)")
        for name, verdict, why, _ in results:
            if verdict != "ok":
                terminalreporter.line(f"    {verdict} {name}: {why}")
    counts = [f"{list(states.values()).count(state)} {state}" for state in ("ok", "not ok", "todo", "skipped", "not run")]
    terminalreporter.line("scenarios: " + ", ".join(counts))


@pytest.fixture(autouse=True)
def sanitizer_reports():
    """A sanitizer's report fails the test during which the daemon wrote it."""
    yield
    found = sorted(Path(_reports.name).iterdir())
    text = "\n".join(f"--- {p.name}\n{p.read_text(errors='replace')[:20000]}" for p in found)
    for p in found:
        p.unlink()
    if found:
        pytest.fail(text, pytrace=False)


@pytest.fixture(scope="session")
def zookeepers():
    with Workspace("scenarios") as w:
        found = [ZooKeeper(w, f"zookeeper-{i}").start(wait=False) for i in range(3)]
        for z in found:
            z.wait_ready()
        yield found


class Worlds:
    """One world of each kind (a name where the options are the same); a spoilt one is thrown away."""

    def __init__(self, zookeepers):
        self._zookeepers = zookeepers
        self._worlds = {}
        self._made = 0

    def get(self, kind="", **options):
        key = repr((kind, sorted(options.items())))
        world = self._worlds.get(key)
        if world and getattr(world, "is_spoilt", False):
            self._close(self._worlds.pop(key))
            world = None
        if not world:
            self._made += 1
            world = SwitchWorld(self._zookeepers, f"drill{self._made}", **options)
            self._worlds[key] = world
            try:
                world.start()
            except BaseException:
                self._worlds.pop(key).close()
                raise
        return world

    @staticmethod
    def _close(world):
        try:
            world.close()
        except AssertionError as e:
            if not getattr(world, "is_spoilt", False):
                raise
            print(f"a spoilt world: {e}")

    def close(self):
        for world in self._worlds.values():
            self._close(world)


@pytest.fixture(scope="session")
def worlds(zookeepers):
    w = Worlds(zookeepers)
    yield w
    w.close()


@pytest.fixture
def site(worlds):
    """Two DCs without keepers."""
    return worlds.get()


@pytest.fixture
def keeper_site(worlds):
    """Two DCs with two keeper containers each."""
    return worlds.get(containers=2)


@pytest.fixture(params=SITES)
def any_site(request, worlds):
    return worlds.get(**SITES[request.param])


@pytest.fixture(params=redis_programs(), ids=redis_version)
def redis_program(request):
    """redis-server; with XPIPE_REDIS_SERVERS each of those programs."""
    return request.param


_numbers = iter(range(10_000))


class Drills:
    """drill(world, **options): a Drill whose cluster is named for the scenario; ended with the test."""

    def __init__(self, scenario):
        self._scenario = scenario
        self._open = []

    def __call__(self, world, **options):
        return self._begin([self._make(world, options)])[0]

    def many(self, world, count):
        """Small ones, without witnesses."""
        small = {"shards": 1, "replicas": 0, "writers": False, "prober": False, "direct": True}
        return self._begin([self._make(world, small) for _ in range(count)])

    def _make(self, world, options):
        program = options.get("program", RedisServer.program)
        if program != RedisServer.program and any(dc.containers for dc in world.dcs.values()):
            pytest.skip("keepers are stand-ins on the redis-server of the PATH: others do not read its snapshots, or it not theirs")
        return Drill(world, f"{self._scenario}-{next(_numbers)}", **options)

    def _begin(self, drills):
        self._open += Drill.begin(drills)
        return drills

    def end(self, failed):
        for d in reversed(self._open):
            d.__exit__(AssertionError if failed else None, None, None)


@pytest.fixture
def drill(request):
    marker = request.node.get_closest_marker("scenario")
    drills = Drills(marker.args[0].lower() if marker else "x")
    yield drills
    drills.end(getattr(request.node, "failed_call", False))


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_call(item):
    outcome = yield
    item.failed_call = outcome.excinfo is not None
