"""The scripts that judge the rest: a runner that misses a failure makes every other test worthless."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
TOOLS = TOP / "tests" / "tools"


OF_THE_RUNNERS = {"RESULTS", "TESTS", "JOBS", "FUZZ_JOBS", "FUZZ_SECONDS"}  # these tests run inside such a run


def run(*command, cwd=TOP, **env):
    inherited = {key: value for key, value in os.environ.items() if key not in OF_THE_RUNNERS}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**inherited, **{key: str(value) for key, value in env.items()}},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text, encoding="utf-8")
    path.chmod(0o755)
    return path


class TestRun:
    """tests/tools/run.sh"""

    @pytest.mark.parametrize(
        ("body", "counts", "word"),
        [
            ("echo 'ok 1 - a'; echo 'ok 2 - b'", "2 0", "ok"),
            ("echo 'ok 1 - a'; echo 'not ok 2 - b'; exit 1", "1 1", "FAILED"),
            ("echo 'ok 1 - a'; echo 'not ok 2 - b'; exit 0", "1 1", "1 failed"),
            ("echo 'ok 1 - a'; kill -SEGV $$", "1 1", "signal 11"),
            ("echo 'ok 1 - a'; exit 66", "1 1", "exit status 66"),
            ("exit 0", "0 1", "ran no test"),
            ("echo 'ok 1 - a # SKIP no server'", "0 1", "ran no test"),
            ("echo 'ok 1 - a'; echo 'ok 2 - b # SKIP'", "1 0", "1 skipped"),
            ("echo 'ok 1 - a'; exec sleep 30", "1 1", "longer than 1 s"),
        ],
    )
    def test_verdict(self, tmp_path, body, counts, word):
        binary = script(tmp_path / "some_test", body)
        limit_s = 1 if "longer" in word else 30
        done = run(TOOLS / "run.sh", "unit", binary, RESULTS=tmp_path / "results", TEST_TIMEOUT_S=limit_s)
        assert (tmp_path / "results" / "unit").read_text() == counts + "\n"
        assert word in done.stdout
        assert done.returncode == (0 if counts.endswith(" 0") else 1)

    def test_output_of_a_failure_is_shown_and_the_rest_still_runs(self, tmp_path):
        bad = script(tmp_path / "bad_test", "echo details; exit 3")
        good = script(tmp_path / "good_test", "echo chatter; echo 'ok 1 - a'")
        done = run(TOOLS / "run.sh", "sim", bad, good, RESULTS=tmp_path / "results")
        assert "details" in done.stdout and "chatter" not in done.stdout
        assert done.stdout.endswith("sim: 1 passed, 1 failed\n")
        assert done.returncode == 1

    def test_a_layer_without_binaries_fails(self, tmp_path):
        done = run(TOOLS / "run.sh", "golden", RESULTS=tmp_path / "results")
        assert done.returncode == 1
        assert (tmp_path / "results" / "golden").read_text() == "0 1\n"


class TestFuzz:
    """tests/tools/fuzz.sh"""

    def test_a_broken_target_is_counted_and_the_rest_still_runs(self, tmp_path):
        bad = script(tmp_path / "bad_fuzz", "echo 'Test unit written to x/crash-1'; exit 77")
        good = script(tmp_path / "good_fuzz", "echo 'stat::number_of_executed_units: 12'")
        done = run(TOOLS / "fuzz.sh", tmp_path, bad, good, RESULTS=tmp_path / "results", FUZZ_JOBS=2)
        assert (tmp_path / "results" / "fuzz").read_text() == "1 1\n"
        assert "crash-1" in done.stdout and "12 runs  good" in done.stdout
        assert done.returncode == 1

    def test_time_is_given_to_each(self, tmp_path):
        target = script(tmp_path / "some_fuzz", 'case " $* " in *" -max_total_time=7 "*) exit 0;; esac; exit 1')
        assert run(TOOLS / "fuzz.sh", tmp_path, target, FUZZ_SECONDS=7).returncode == 0


PAIR = """
import os, pytest

def test_beside():
    assert "PYTEST_XDIST_WORKER" in os.environ

@pytest.mark.serial
def test_alone():
    assert "PYTEST_XDIST_WORKER" not in os.environ
"""


class TestPytest:
    """tests/tools/pytest.sh"""

    @pytest.mark.parametrize(("text", "counts"), [(PAIR, "2 0"), (PAIR + "    assert False", "1 1"), ("syntax error", "0 2")])
    def test_serial_tests_run_alone_and_both_parts_count(self, tmp_path, monkeypatch, text, counts):
        monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
        (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = serial: x\n")
        (tmp_path / "test_x.py").write_text(text)
        done = run(TOOLS / "pytest.sh", "some", tmp_path, sys.executable, "--rootdir", tmp_path, TESTS=tmp_path / "test_x.py", JOBS=2,
                   RESULTS=tmp_path / "results")
        assert (tmp_path / "results" / "some").read_text() == counts + "\n", done.stdout + done.stderr
        assert done.returncode == (0 if counts.endswith(" 0") else 1)


class TestTotal:
    """tests/tools/total.sh"""

    @pytest.mark.parametrize(
        ("results", "line", "status"),
        [
            ({"unit": "3 0", "sim": "2 0"}, "5 passed, 0 failed", 0),
            ({"unit": "3 1", "sim": "2 2"}, "5 passed, 3 failed", 1),
            ({"unit": "3 0"}, "3 passed, 1 failed", 1),
            ({"unit": "3 0", "sim": ""}, "3 passed, 1 failed", 1),
            ({"unit": "0 0", "sim": "0 0"}, "0 passed, 0 failed", 1),
        ],
    )
    def test_sum(self, tmp_path, results, line, status):
        for layer, text in results.items():
            (tmp_path / layer).write_text(text + "\n" if text else "")
        done = run(TOOLS / "total.sh", tmp_path, "unit", "sim")
        assert done.stdout.splitlines()[-1] == line
        assert done.returncode == status


class TestTree:
    """tests/tools/check_tree.py"""

    @pytest.fixture
    def tree(self, tmp_path):
        subprocess.run(["git", "init", "-q", tmp_path], check=True)
        self.add(tmp_path, "shared/base/banned.h", "")
        self.add(tmp_path, "shared/base/err.h", "")
        self.add(tmp_path, "shared/net/loop.h", '#include "shared/base/err.h"\n')
        self.add(tmp_path, "meta/main.c", '#include "shared/net/loop.h"\n#include "shared/base/banned.h"\n')
        return tmp_path

    @staticmethod
    def add(tree, name, text):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)

    def test_a_clean_tree_passes(self, tree):
        done = run(TOOLS / "check_tree.py", tree)
        assert done.returncode == 0, done.stdout

    @pytest.mark.parametrize(
        ("name", "text", "breach"),
        [
            ("shared/base/str.h", '#include "shared/net/loop.h"\n', "shared/base must not include shared/net/loop.h"),
            ("shared/net/db.h", '#include "shared/model/dc.h"\n', "shared/net must not include"),
            ("shared/net/zk.h", '#include "loop.h"\n', "not a path from the top"),
            ("meta/a.c", '#include "console/b.h"\n#include "shared/base/banned.h"\n', "must not include console/b.h"),
            ("ctl/a.h", '#include "meta/c.h"\n', "must not include meta/c.h"),
            ("meta/a.c", '#include "shared/base/banned.h"\n#include <stdio.h>\n', "last include"),
            ("meta/a.c", "int x;\n", "last include"),
            ("meta/zk/loop.h", "", "same file name"),
            ("shared/extra/x.h", "", "has no rule"),
        ],
    )
    def test_a_breach_is_named(self, tree, name, text, breach):
        self.add(tree, "console/b.h", "")
        self.add(tree, "meta/c.h", "")
        self.add(tree, "shared/model/dc.h", "")
        assert run(TOOLS / "check_tree.py", tree).returncode == 0
        self.add(tree, name, text)
        done = run(TOOLS / "check_tree.py", tree)
        assert breach in done.stdout
        assert done.returncode == 1


class TestDeps:
    """packaging/deps.sh, over a scripted dpkg and apt-get"""

    @pytest.fixture
    def machine(self, tmp_path):
        tools = tmp_path / "bin"
        script(tools / "dpkg-query", f'grep -qx "$3" {tmp_path}/installed && printf installed || exit 1')
        script(tools / "id", "echo ${FAKE_UID:-0}")
        script(
            tools / "apt-get",
            f"""echo "$@" >>{tmp_path}/apt
cat {tmp_path}/policy >>{tmp_path}/policy-seen 2>/dev/null
case " $* " in *" install "*) ;; *) exit 0 ;; esac
[ "$FAKE_APT" = hang ] && kill -INT $PPID && sleep 0.2
[ "$FAKE_APT" = broken ] && exit 100
while [ "$1" != --no-install-recommends ]; do shift; done; shift
printf '%s\\n' "$@" >>{tmp_path}/installed
""",
        )
        for name in ("sh", "bash", "env", "sed", "tr", "grep", "tee", "chmod", "rm", "cat", "dirname", "sleep"):
            (tools / name).symlink_to(shutil.which(name))
        (tmp_path / "deps.txt").write_text("# comment\nalpha # why\n\nredis-server\n")
        (tmp_path / "installed").write_text("alpha\n")
        return tmp_path

    @staticmethod
    def deps(machine, **env):
        return run(
            machine / "bin/bash",
            TOP / "packaging/deps.sh",
            machine / "deps.txt",
            PATH=machine / "bin",
            POLICY_RC_D=machine / "policy",
            **env,
        )

    def test_nothing_is_done_when_all_is_there(self, machine):
        (machine / "installed").write_text("alpha\nredis-server\n")
        done = self.deps(machine, FAKE_UID=1000)
        assert done.returncode == 0, done.stderr
        assert not (machine / "apt").exists()

    def test_only_what_is_missing_is_installed_and_no_service_may_start(self, machine):
        done = self.deps(machine)
        assert done.returncode == 0, done.stderr
        assert "installing redis-server" in done.stdout
        update, install = (machine / "apt").read_text().splitlines()
        assert update.endswith("update")
        assert install.endswith("install --no-install-recommends redis-server")
        assert "exit 101" in (machine / "policy-seen").read_text()
        assert not (machine / "policy").exists()

    @pytest.mark.parametrize("how", ["hang", "broken"])
    def test_the_policy_is_removed_after_a_failure(self, machine, how):
        done = self.deps(machine, FAKE_APT=how)
        assert done.returncode != 0
        assert "exit 101" in (machine / "policy-seen").read_text()
        assert not (machine / "policy").exists()

    def test_the_policy_of_somebody_else_stays(self, machine):
        (machine / "policy").write_text("#!/bin/sh\nexit 104\n")
        assert self.deps(machine).returncode == 0
        assert (machine / "policy").read_text() == "#!/bin/sh\nexit 104\n"

    def test_without_root_and_sudo_it_says_what_to_do(self, machine):
        done = self.deps(machine, FAKE_UID=1000)
        assert done.returncode == 1
        assert "apt-get install --no-install-recommends redis-server" in done.stderr
        assert not (machine / "apt").exists()

    def test_sudo_is_used_when_not_root(self, machine):
        script(machine / "bin/sudo", f'echo sudo "$1" >>{machine}/sudo; exec "$@"')
        done = self.deps(machine, FAKE_UID=1000)
        assert done.returncode == 0, done.stderr
        assert "sudo env" in (machine / "sudo").read_text()
        assert not (machine / "policy").exists()

    def test_another_distribution_gets_the_list(self, machine):
        (machine / "bin/apt-get").unlink()
        done = self.deps(machine)
        assert done.returncode == 1
        assert "not a Debian system" in done.stderr and "redis-server" in done.stderr


class TestConfigFile:
    """tests/tools/config_file.sh"""

    COMMON = "[common]\n\n; Level.\nlog.level = info\n"

    def daemons(self, tmp_path, meta, console):
        for name, text in (("meta", meta), ("console", console)):
            (tmp_path / f"{name}.txt").write_text(text)
            script(tmp_path / f"xpipe-{name}", f'[ "$1" = --print-config ] && cat {tmp_path}/{name}.txt')
        return run(TOOLS / "config_file.sh", tmp_path)

    def test_common_is_printed_once(self, tmp_path):
        done = self.daemons(tmp_path, self.COMMON + "\n[meta]\na = 1\n", self.COMMON + "\n[console]\nb = 2\n")
        assert done.returncode == 0, done.stderr
        head, _, body = done.stdout.partition("\n[common]\n")
        assert all(line.startswith(";") or not line for line in head.splitlines())
        assert "[common]\n" + body == self.COMMON + "\n[meta]\na = 1\n\n[console]\nb = 2\n"

    def test_a_disagreement_is_an_error(self, tmp_path):
        other = self.COMMON.replace("info", "warn")
        done = self.daemons(tmp_path, self.COMMON + "[meta]\n", other + "[console]\n")
        assert done.returncode == 1
        assert "disagree about [common]" in done.stderr
