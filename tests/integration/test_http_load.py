"""bench/http_load and bench/bare_store as judges of the console: a load that hides waiting, or takes any answer for a good one,
would prove nothing."""
import json
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness.daemons import Console
from harness.processes import built
from harness.scripted import ScriptedServer

TOP = Path(__file__).resolve().parents[2]  # bare_store reads schema/queries

class Server(ScriptedServer):
    """Answers 'status'; the request number 'stall_at' holds up all that come until it is over."""

    def __init__(self, status=200, body=b"x" * 5000, stall_at=None, stall_s=0.0):
        self.status, self.body = status, body
        self.stall_at, self.stall_s = stall_at, stall_s
        self.lock = threading.Lock()
        self.count = 0
        super().__init__()

    def answer(self, method, path, body):
        with self.lock:
            self.count += 1
            if self.count == self.stall_at:
                time.sleep(self.stall_s)  # the server stands still: what is under test is who is charged for it
        return self.status, self.body


def load(server, *options):
    done = subprocess.run([built("http_load"), "--port", str(server.port), *map(str, options)], capture_output=True,
                          text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def test_every_answer_is_counted_with_its_body():
    with Server() as server:
        code, report = load(server, "--path", "/x", "--count", 200, "--connections", 4)
        assert code == 0, report
        assert report["requests"] == report["answered"] == server.count == 200
        assert report["body_bytes"] == 200 * 5000
        assert 0 < report["p50_us"] <= report["p99_us"] <= report["max_us"]


def test_a_304_has_no_body():
    with Server(status=304, body=None) as server:
        code, report = load(server, "--path", "/x", "--count", 50, "--expect", 304)
        assert (code, report["answered"], report["body_bytes"]) == (0, 50, 0)


def test_another_status_is_an_error():
    with Server(status=503) as server:
        code, report = load(server, "--path", "/x", "--count", 5)
        assert (code, report["unexpected"], report["last_unexpected"]) == (2, 5, 503)


def test_a_fixed_rate_charges_a_stall_to_all_it_kept_waiting():
    """200/s for 2 s, the server stands still for 0.5 s: about 100 of 400 requests were due meanwhile. A closed loop on the same
    four connections would have sent four."""
    with Server(stall_at=100, stall_s=0.5) as server:
        code, report = load(server, "--path", "/x", "--rate", 200, "--seconds", 2, "--connections", 4)
        assert code == 0, report
        assert report["answered"] == 400
        assert report["p90_us"] > 200_000  # the latest 10 % waited 0.3 s and more of the half second
        assert report["max_us"] >= 450_000


def test_requests_of_a_file_are_sent_once_each_with_their_bodies(tmp_path):
    lines = [f'/api/{i} {{"n": {i}}}' for i in range(30)] + ["/bare"]
    (tmp_path / "requests").write_text("\n".join(lines) + "\n")
    with Server() as server:
        code, report = load(server, "--method", "PUT", "--requests", tmp_path / "requests", "--connections", 3)
        assert code == 0, report
        seen = sorted(server.requests, key=str)
        assert seen == sorted([("PUT", f"/api/{i}", {"n": i}) for i in range(30)] + [("PUT", "/bare", None)], key=str)


@pytest.mark.parametrize("options", [[], ["--path", "/x"], ["--path", "/x", "--count", "0"], ["--path", "/x", "--rat", "y"]])
def test_wrong_use_is_told(options):
    with Server() as server:
        code, text = load(server, *options)
        assert code == 1 and text.startswith("http_load: ")


def test_the_bare_store_writes_the_rows_of_the_console(workspace, tmp_path):
    """What bare_store wrote is a cluster for the console, and a change with its number."""
    console = Console(workspace, "console-bare")
    console.start()
    console.post("/api/zone", {"name": "bench"})
    zone = console.get("/api/zone/all")[0]["id"]
    for dc in ("jq", "oy"):
        console.post("/api/dc", {"zone_id": zone, "dc_name": dc, "description": dc})
    console.stop()
    copy = tmp_path / "bare.db"
    shutil.copy(console.db_path, copy)
    done = subprocess.run([built("bare_store"), copy], input="7 3\n", capture_output=True, text=True, timeout=60,
                          check=False, cwd=TOP)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["count"] == 3
    shutil.copy(copy, console.db_path)
    console.start()
    assert console.get("/api/clusterids") == ["bench-00007", "bench-00008", "bench-00009"]
    assert console.get("/api/cluster/bench-00008")["dcs"] == ["jq", "oy"]
