"""Fixtures of the scenarios, and the list of them that ends a run: "ok F01 ..", "not ok F01 ..", "todo F33 ..", a summary.

A world is shared by the scenarios of a session that want the same one; a scenario that failed spoils it, and the next gets a new one.
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
from harness.switch import Drill, SwitchWorld  # noqa: E402
from harness.zookeeper import ZooKeeper  # noqa: E402

TOOLS = Path(__file__).resolve().parents[1] / "tools"
HOME, AWAY = "jq", "fra"
_results = {}  # scenario -> [(test, verdict, why)]
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
    config.scenarios_listed = {_scenario(i) for i in items} - {None}  # those that have a test at all
    items[:] = sorted(keep, key=lambda i: (_scenario(i) or "", "site" not in i.fixturenames))


def _verdict(report):
    if hasattr(report, "wasxfail"):
        return "not ok" if report.skipped or report.passed else "not ok", report.wasxfail
    if report.skipped:
        return "skipped", str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    if report.failed:
        text = getattr(getattr(report.longrepr, "reprcrash", None), "message", "") or str(report.longrepr)
        return "not ok", " ".join(text.split())[:160]
    return "ok", ""


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    scenario = _scenario(item)
    if scenario and (report.when == "call" or not report.passed):
        _results.setdefault(scenario, []).append((item.name, *_verdict(report)))


def pytest_terminal_summary(terminalreporter, config):
    """One line for each scenario. Those that a --scenario or --fast run left out are counted, not listed."""
    if hasattr(config, "workerinput"):
        return
    listed = getattr(config, "scenarios_listed", set())
    counts = {"ok": 0, "not ok": 0, "todo": 0, "skipped": 0, "not run": 0}
    terminalreporter.section("scenarios of dr-switchover.md 6.2")
    for scenario, what in SCENARIOS.items():
        results = _results.get(scenario, [])
        bad = [r for r in results if r[1] == "not ok"]
        state = ("todo" if scenario not in listed else "not run" if not results else "not ok" if bad
                 else "ok" if any(r[1] == "ok" for r in results) else "skipped")
        counts[state] += 1
        if state == "not run":
            continue
        terminalreporter.line(f"{state} {scenario} {what}" + (f" ({len(results)} tests)" if len(results) > 1 else ""))
        for name, verdict, why in results:
            if verdict != "ok":
                terminalreporter.line(f"    {verdict} {name}: {why}")
    terminalreporter.line("scenarios: " + ", ".join(f"{n} {state}" for state, n in counts.items()))


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
    """One world of each kind; a spoilt one is thrown away."""

    def __init__(self, zookeepers):
        self._zookeepers = zookeepers
        self._worlds = {}
        self._made = 0

    def get(self, **options):
        key = repr(sorted(options.items()))
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


@pytest.fixture(params=["plain", "keepers"])
def any_site(request, worlds):
    return worlds.get() if request.param == "plain" else worlds.get(containers=2)


_numbers = iter(range(10_000))


@pytest.fixture
def drill(request):
    """drill(world, **options): a Drill whose cluster is named for the scenario; ended with the test."""
    open_ones = []

    def start(world, **options):
        marker = request.node.get_closest_marker("scenario")
        name = f"{marker.args[0].lower() if marker else 'x'}-{next(_numbers)}"
        d = Drill(world, name, **options)
        d.__enter__()
        open_ones.append(d)
        return d
    yield start
    failed = getattr(request.node, "failed_call", False)
    for d in reversed(open_ones):
        d.__exit__(AssertionError if failed else None, None, None)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_call(item):
    outcome = yield
    item.failed_call = outcome.excinfo is not None
