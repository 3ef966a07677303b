"""The harness itself: what it starts must end, and its messages must say what went wrong."""
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cluster import World
from harness.processes import Lateness, Process, Timeout, Workspace, accepts, free_port, stays, wait_until
from harness.redis_server import RedisServer
from harness.zookeeper import ZooKeeper

TESTS = Path(__file__).resolve().parents[1]


def alive(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


def test_wait_until_tells_what_and_what_was_seen():
    with pytest.raises(Timeout, match=r"waited 0\.05 s.* for rain; last value: \[\]"):
        wait_until(lambda: [], 0.05, "rain")
    with pytest.raises(Timeout, match=r"last error: ZeroDivisionError"):
        wait_until(lambda: 1 / 0, 0.05, "nothing")


def test_wait_until_waits_longer_on_a_late_machine(monkeypatch):
    """Each pause is told to have lasted six times as long as it should: time for ten of them."""
    seen = []

    def eventually():
        seen.append(1)
        return len(seen) > 10
    pause = Lateness.pause

    def late_pause(seconds):
        pause(seconds)
        Lateness.add(5 * seconds)
    monkeypatch.setattr(Lateness, "pause", late_pause)
    wait_until(eventually, 0.05)


def test_a_process_that_dies_at_start_is_told_with_its_log(workspace):
    server = RedisServer(workspace, "broken", config=["no-such-word 1"])
    with pytest.raises(RuntimeError, match="no-such-word"):
        server.start()


class Fragile(Process):
    must_live = True
    stop_timeout_s = 0.3

    def __init__(self, workspace, script):
        super().__init__(workspace, "fragile")
        self.script = script

    def command(self):
        return ["sh", "-c", f"echo last words; {self.script}"]


@pytest.mark.parametrize(("script", "says"), [("exit 3", "fragile ended by itself with code 3"), ("kill -ABRT $$", "with code -6"),
                                              ("trap '' TERM; sleep 9 & wait; wait", "fragile did not end 0.3 s after SIGTERM")])
def test_a_daemon_that_crashes_or_hangs_unseen_fails_the_test(script, says):
    workspace = Workspace("fragile")
    process = Fragile(workspace, script).start(wait=False)
    wait_until(lambda: "last words" in process.log_tail() and (process.running or process.exit_code), 5, "its last words")
    if "exit" in script or "ABRT" in script:
        wait_until(lambda: not process.running, 5, "its end")
    with pytest.raises(AssertionError, match=says):
        workspace.close()


def test_a_daemon_whose_end_is_seen_or_wanted_fails_nothing():
    with Workspace("fragile") as workspace:
        process = Fragile(workspace, "exit 3").start(wait=False)
        assert process.wait_exit() == 3
        process.script = "exec sleep 60"
        process.start().kill()
        process.start()


def test_closing_ends_everything_also_frozen_processes():
    workspace = Workspace("closing")
    server = RedisServer(workspace, "frozen").start()
    server.pause()
    pid = server.pid
    workspace.close()
    assert not alive(pid) and not accepts(server.port) and not workspace.dir.exists()


def test_only_who_was_paused_is_told_to_go_on():
    """SIGCONT has an effect on a process that a sanitizer stops at its end."""
    with Workspace("going-on") as workspace:
        process = Fragile(workspace, "trap 'echo told' CONT; echo begun; while :; do sleep 0.02; done").start(wait=False)
        wait_until(lambda: "begun" in process.log_tail(), 5, "the trap")
        process.resume()
        stays(lambda: "told" not in process.log_tail(), 0.2, "no signal")
        process.pause()
        process.resume()
        wait_until(lambda: "told" in process.log_tail(), 5, "the signal")
        process.resume()
        stays(lambda: process.log_tail().count("told") == 1, 0.2, "one signal")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_after_a_signal(how):
    script = ("import sys, time; sys.path.insert(0, sys.argv[1])\n"
              "from harness.processes import Workspace\nfrom harness.redis_server import RedisServer\n"
              "w = Workspace('signal'); r = RedisServer(w, 'r').start()\n"
              "print(r.pid, w.dir, flush=True)\ntime.sleep(60)\n")
    python = subprocess.Popen([sys.executable, "-c", script, str(TESTS)], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
    try:
        pid, folder = python.stdout.readline().split()
        assert alive(int(pid))
        python.send_signal(how)
        python.wait(10)
        assert not alive(int(pid)) and not Path(folder).exists()
    finally:
        python.kill()
        python.wait()
        python.stdout.close()


def test_ports_are_given_to_one_process_only():
    """Also to none that starts at once with another pytest, and while nobody listens on them."""
    script = ("import sys; sys.path.insert(0, sys.argv[1])\nfrom harness.processes import free_port\n"
              "print(*[free_port() for _ in range(120)], flush=True)\nsys.stdin.read()\n")
    others = [subprocess.Popen([sys.executable, "-c", script, str(TESTS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
              for _ in range(3)]
    try:
        given = [free_port() for _ in range(120)] + [int(p) for o in others for p in o.stdout.readline().split()]
        assert len(given) == len(set(given)) == 4 * 120
    finally:
        for other in others:
            other.communicate()


def test_zookeeper(workspace):
    zookeeper = ZooKeeper(workspace).start()
    with zookeeper.client() as client:
        client.create("/a", b"1")
        assert client.get("/a")[0] == b"1"
    zookeeper.restart()
    with zookeeper.client() as client:
        assert client.get("/a")[0] == b"1", "data outlives a restart"


def test_world_without_daemons():
    with World(dcs=["jq", "oy", "fra"], shards=2, replicas=1, metas=0,
               proxied=[("jq", "fra"), ("oy", "fra")]) as world:
        world.start_redises()
        world.start_proxies()
        assert len(world.link_problems()) == 12
        world.link_by_hand()
        world.wait_linked()
        assert len(world.peerofs("jq")) == 2
        world.master("fra").run("SET", "k", "v")
        for dc in ("jq", "oy"):
            wait_until(lambda: world.master(dc).run("GET", "k") == "v", 5, f"the write to reach {dc}")
        world.fail_over("jq")
        assert [p for p in world.link_problems() if p.startswith("s1 fra from jq: points at")]
        world.link_by_hand()
        world.wait_linked()
        assert world.dcs["fra"].proxy.tunnels()
