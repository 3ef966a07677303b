"""A Redis that answers anything: its shard is left alone and says why, its neighbors and the daemon do not notice.

The site of the module has further clusters, "odd0" and so on, each with one scripted Redis, the lane of one case; DC fra tells a
master for every one of them, so that there is something to correct as soon as it looks sound. The cases of a table run at the same
time in one metaserver; what failed is told by the name of the case.
"""
import time
from dataclasses import dataclass
from typing import Callable

import pytest

from harness.hostile import FakeRedis, Trial, bulk, crdt_info, drip, flood, reset, role_master, wait_closed
from harness.hostile_site import FAR, HOME, Site, cluster
from harness.processes import HOST, Timeout, stays, wait_until

MB = 1 << 20
LANES = 40
POLLS_S = 0.7   # three polls
TIMEOUT_MS = 600
DOUBT_S = 15
RECOVERY_S = 25


class Lane(FakeRedis):
    """The only Redis of the cluster `name`."""

    def __init__(self, name, far_port):
        self.name, self.far_port = name, far_port
        self.right = ["PEEROF", "2", HOST, str(far_port)]
        super().__init__(peers=[peer_row(far_port)])

    def polls(self):
        return sum(c[0] == "CRDT.INFO" for c in list(self.commands))


def peer_row(port, gid=2, **fields):
    return {"host": HOST, "port": port, "gid": gid, "dbid": 0, "link_status": "up", "last_io_seconds_ago": 0,
            "sync_in_progress": 0, "repl_offset": 1, "replid": "0" * 40, **fields}


class OddSite(Site):
    """The site with the lanes."""

    def __init__(self, zookeeper, namespace, **settings):
        super().__init__(zookeeper, namespace, **settings)
        self.lanes = [Lane(f"odd{i}", self.far.port) for i in range(LANES)]
        self.more_masters = {(lane.name, "s1"): (2, HOST, self.far.port) for lane in self.lanes}

    def good(self, more=(), **fields):
        odd = [cluster(60 + i, lane.name, [lane.port], f"{HOME},{FAR}") for i, lane in enumerate(self.lanes)]
        return super().good([*odd, *more], **fields)

    def expected(self):
        return super().expected() | {lane.name for lane in self.lanes}

    def close(self):
        try:
            super().close()
        finally:
            for lane in self.lanes:
                lane.close()


@pytest.fixture(scope="module")
def site(zookeepers):
    with OddSite(zookeepers[0], "hostile-redis", **{"meta.redis.timeout.milli": TIMEOUT_MS}) as s:
        yield s.start()


# what is seen of a shard


def verdict_of(state, dc=FAR):
    return next(p["verdict"] for p in state["peers"] if p["dc"] == dc)


def problem_of(state):
    return state["redises"][0]["problem"]


def wait_sound(site, lane):
    def is_sound():
        state = site.state(lane.name)
        assert state["masterVerdict"] == "OK" and verdict_of(state) == "OK", state
        return True
    wait_until(is_sound, RECOVERY_S, f"{lane.name} to be sound")


def in_doubt(site, lane):
    """Its shard has no master, or what its Redis said is told to be a problem."""
    def doubted():
        state = site.state(lane.name)
        return state if state["masterVerdict"] != "OK" or problem_of(state) else None
    return wait_until(doubted, DOUBT_S, "the shard to be in doubt")


# cases


@dataclass
class Case:
    """attack(lane) makes the Redis odd; judge(site, lane) waits for what must be seen of it. One that `may_correct` may be sent the
    right PEEROF, and no other command."""
    attack: Callable
    judge: Callable = in_doubt
    may_correct: bool = False


def answering(command, reply):
    def attack(lane):
        lane.replies[command] = reply
    return attack


def check_commands(lane, case):
    harmful = lane.harmful()
    assert case.may_correct or not harmful, harmful
    assert all(c in (lane.right, ["CONFIG", "REWRITE"]) for c in harmful), harmful
    assert len([c for c in harmful if c == lane.right]) <= 4, "no hammering"


def all_at_once(site, cases):
    """Every case on a lane of its own: attacked, judged, left alone for three polls, healed, sound again."""
    assert len(cases) <= len(site.lanes)
    played = {name: (case, lane) for (name, case), lane in zip(cases.items(), site.lanes)}
    failures = {}

    def of_each(step):
        for name, (case, lane) in played.items():
            try:
                step(case, lane)
            except (AssertionError, Timeout) as e:
                failures.setdefault(name, str(e))
    of_each(lambda case, lane: wait_sound(site, lane))
    assert not failures, failures
    site.home.clear_log()
    with Trial(site.meta):
        for case, lane in played.values():
            lane.commands.clear()
            case.attack(lane)
        of_each(lambda case, lane: case.judge(site, lane))
        stays(lambda: all(case.may_correct or not lane.harmful() for case, lane in played.values()), POLLS_S, "no command")
        of_each(lambda case, lane: check_commands(lane, case))
        site.check_calm()
        assert not site.harmful()
        for _, lane in played.values():
            lane.heal()
            lane.cut()
        of_each(lambda case, lane: wait_sound(site, lane))
        of_each(lambda case, lane: check_commands(lane, case))
    assert not failures, "\n".join(f"{name}: {why}" for name, why in failures.items())


# answers that are none

GARBAGE = {
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n", "binary": bytes(range(256)) * 10, "nul": b"\0\0\0\0\r\n", "empty-lines": b"\r\n" * 100,
    "length-minus-2": b"$-2\r\n", "length-99999999999": b"$99999999999\r\n", "length-2-63": b"$9223372036854775808\r\n",
    "length-text": b"$abc\r\n", "array-2147483647": b"*2147483647\r\n", "array-minus-2": b"*-2\r\n", "array-2-64": b"*18446744073709551616\r\n",
    "integer-2-70": b":1180591620717411303424\r\n", "nested-1000": b"*1\r\n" * 1000 + b":1\r\n", "resp3-map": b"%1\r\n+a\r\n+b\r\n",
    "bulk-without-end": b"$3\r\nabcXY", "two-mb": b"$2097152\r\n" + b"x" * 2 * MB + b"\r\n",
    "a-million-elements": b"*1000000\r\n" + b":1\r\n" * 1_000_000,
}


def has_problem(site, lane):
    in_doubt(site, lane)
    assert problem_of(site.state(lane.name)), site.state(lane.name)


def test_garbage_is_no_answer(site):
    all_at_once(site, {f"{command}-{kind}": Case(answering(command, reply), has_problem)
                       for command in ("role", "crdt.info") for kind, reply in GARBAGE.items()})


# answers of another type

ERRORS = ["-ERR unknown command", "-LOADING Redis is loading the dataset in memory", "-NOAUTH Authentication required.",
          "-NOPERM this user has no permissions", "-" + "x" * 70000, "-", "-ERR \x1b[31mred\x07"]

WRONG_TYPES = {
    "role": [b":1\r\n", b"$-1\r\n", b"*0\r\n", b"*-1\r\n", b"+master\r\n", b"*1\r\n:1\r\n", b"*1\r\n*0\r\n", b"*1\r\n$-1\r\n",
             b"*2\r\n$6\r\nMASTER\r\n:0\r\n", b"*1\r\n$8\r\nsentinel\r\n", b"*1\r\n$7\r\nmaster\0\r\n", b"*3\r\n*1\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"],
    "crdt.info": [b":1\r\n", b"$-1\r\n", b"*0\r\n", b"+OK\r\n", b"$0\r\n\r\n", bulk("no colon at all"), bulk(b"\xff\0" * 500),
                  bulk("gid:1" * 10000), bulk("peer0_gid:2\r\n" * 10000), bulk("gid:\r\n"), bulk("\r\n" * 5000)],
}


def refused(error):
    def judge(site, lane):
        def told():
            state = site.state(lane.name)
            return state if state["masterVerdict"] == "NO_MASTER" and problem_of(state) else None
        said = problem_of(wait_until(told, DOUBT_S, "the verdict"))
        if 2 < len(error) < 200:
            assert "ROLE was refused" in said, said
            assert not error.isprintable() or error[1:9] in said, "what it said"
    return judge


def test_errors_and_answers_of_another_type(site):
    cases = {f"error {e[:8]!r} {len(e)}": Case(answering("role", e.encode() + b"\r\n"), refused(e)) for e in ERRORS}
    cases.update({f"{command} {reply[:24]!r} {len(reply)}": Case(answering(command, reply))
                  for command, replies in WRONG_TYPES.items() for reply in replies})
    assert len(cases) == len(ERRORS) + sum(map(len, WRONG_TYPES.values())), "a name of each"
    all_at_once(site, cases)
    assert "\x1b" not in site.meta.log_path.read_text(errors="replace")


# gids

ODD_GIDS = [0, 16, -1, 2 ** 31, 2 ** 63, 2 ** 65, "1x", "0x1", "1.0", ""]


def no_gid(site, lane):
    """Odd gids are no gids: the master is not accepted."""
    def seen():
        state = site.state(lane.name)
        return state["masterVerdict"] in ("BAD_GID", "READING_GID") or problem_of(state)
    wait_until(seen, DOUBT_S, "the verdict")


def own_gid_is_fars(site, lane):
    wait_until(lambda: verdict_of(site.state(lane.name)) == "BAD_GID", DOUBT_S, "the verdict")
    assert "own" in site.state(lane.name)["peers"][0]["note"]


def three_polls(site, lane):
    """Since the attack; one more may have been under way."""
    wait_until(lambda: lane.polls() > 3, DOUBT_S, "three polls")


def test_gid_of_the_redis_itself(site):
    cases = {repr(gid): Case(answering("crdt.info", bulk(crdt_info(gid))), no_gid) for gid in ODD_GIDS}
    cases["of-far"] = Case(answering("crdt.info", bulk(crdt_info(2))), own_gid_is_fars)
    twice = bulk(crdt_info(1, [peer_row(site.far.port)], more="gid:3\r\ngid:1\r\n"))
    cases["twice"] = Case(answering("crdt.info", twice), three_polls)
    all_at_once(site, cases)


# peers


def peer_lists(port):
    """name -> (peers of CRDT.INFO, the verdict of fra)"""
    row = peer_row(port)

    def without(key):
        return [{k: v for k, v in row.items() if k != key}]
    return {
        **{f"without-{k}": (without(k), "UNREADABLE") for k in ("host", "port", "link_status")},
        "without-gid": (without("gid"), "MISSING"),
        **{f"without-{k}": (without(k), "OK") for k in ("dbid", "last_io_seconds_ago", "sync_in_progress", "repl_offset", "replid")},
        "twice-the-same": ([row, row], "UNREADABLE"),
        "twice-different": ([row, {**row, "port": 1}], "UNREADABLE"),
        "2000": ([row] + [{**row, "gid": 3 + i % 12, "port": 1 + i} for i in range(2000)], "OK"),
        "2000-of-gid-2": ([{**row, "port": 1 + i} for i in range(2000)], "UNREADABLE"),
        "gid-16": ([{**row, "gid": 16}, row], "OK"),
        "gid-0": ([{**row, "gid": 0}, row], "OK"),
        "gid-minus-1": ([{**row, "gid": -1}, row], "OK"),
        "gid-own": ([{**row, "gid": 1}, row], "OK"),
        "gid-words": ([{**row, "gid": "2 no one"}], "MISSING"),
        "port-5e9": ([{**row, "port": 5_000_000_000}], "UNREADABLE"),
        "host-64k": ([{**row, "host": "h" * 65536}], "UNREADABLE"),
        "status-odd": ([{**row, "link_status": "sideways"}], "UNREADABLE"),
        "offset-2-70": ([{**row, "repl_offset": 2 ** 70}], "OK"),
        "proxy-type-odd": ([{**row, "proxy_type": "SOCKS", "proxy_servers": "1.1.1.1:80"}], "CHANGED"),
        "proxy-servers-64k": ([{**row, "proxy_type": "XPIPE-PROXY", "proxy_servers": "PROXYTCP://1.1.1.1:80," * 3000}], "CHANGED"),
    }


def judged(verdict):
    def judge(site, lane):
        def shown():
            state = site.state(lane.name)
            assert state["masterVerdict"] == "OK" and verdict_of(state) == verdict, state
            return state
        three_polls(site, lane)
        assert len(wait_until(shown, DOUBT_S, f"the verdict {verdict}")["peers"]) <= 40
    return judge


def read_back(site, lane):
    """PEEROF is answered with nonsense: unknown, read back, sent again; never a second command beside the first, and a pause after
    the second without an answer (it was one a second for ever)."""
    wait_until(lambda: "backing off" in site.state(lane.name)["held"], DOUBT_S, "a pause")
    assert len([c for c in lane.harmful() if c == lane.right]) == 2, "repeated once, after reading back"
    words = [c[0] for c in list(lane.commands)]
    first = words.index("PEEROF")
    assert "CRDT.INFO" in words[first:words.index("PEEROF", first + 1)], "read back between the two"


def correction_is_garbage(lane):
    lane.replies.update({"peerof": GARBAGE["binary"], "crdt.info": bulk(crdt_info(1))})


def test_odd_peers_of_crdt_info(site):
    """A peer that cannot be read is not corrected; what can be, is corrected with the right words and nothing else."""
    cases = {name: Case(answering("crdt.info", bulk(crdt_info(1, peers))), judged(verdict), verdict in ("CHANGED", "MISSING"))
             for name, (peers, verdict) in peer_lists(site.far.port).items()}
    many = [peer_row(1 + i) for i in range(10_000)]
    cases["10000"] = Case(answering("crdt.info", bulk(crdt_info(1, many))), has_problem)
    cases["answer-of-peerof"] = Case(correction_is_garbage, read_back, may_correct=True)
    all_at_once(site, cases)


# connections


def twice(connection):
    connection.sendall(role_master() * 2)


def half(connection):
    connection.sendall(role_master()[:9])


def whole_then_gone(connection):
    connection.sendall(role_master())
    raise OSError("ends the connection")


def rst(connection):
    reset(connection)
    raise OSError("ends the connection")


REPLIES = {
    "twice": twice, "half": half, "then-gone": whole_then_gone, "rst": rst,
    "drip": lambda c: drip(c, role_master(), 0.05), "silence": lambda c: None,
    "endless-line": lambda c: flood(c, b"x" * MB, b"+"), "endless-error": lambda c: flood(c, b"x" * MB, b"-ERR "),
    "endless-integer": lambda c: flood(c, b"1" * MB, b":"), "100-mb-bulk": lambda c: flood(c, b"x" * MB, b"$104857600\r\n", 100 * MB),
    "endless-replies": lambda c: flood(c, b"+OK\r\n" * 10000), "endless-array": lambda c: flood(c, b":1\r\n" * 10000, b"*300000000\r\n"),
}


def test_reply_that_never_comes_right(site):
    all_at_once(site, {f"{command}-{kind}": Case(answering(command, reply))
                       for command in ("role", "crdt.info") for kind, reply in REPLIES.items()})


CONNECTS = {
    "closes": lambda c: None, "resets": reset, "never-answers": wait_closed, "greets": lambda c: (c.sendall(b"+hello\r\n"), wait_closed(c)),
    "says-garbage": lambda c: (c.sendall(b"\xff" * 1000), wait_closed(c)), "max-clients": lambda c: c.sendall(b"-ERR max number of clients reached\r\n"),
    "floods": lambda c: flood(c, b"\r\n" * MB), "a-byte-a-second": lambda c: drip(c, b"+OK\r\n" * 100),
}


def connecting(kind):
    """A case of its own beginning: reconnects are counted from the attack."""
    began = {}

    def attack(lane):
        began.update(at=time.monotonic(), connections=lane.connections)
        lane.on_connect = CONNECTS[kind]
        lane.cut()

    def no_master_and_paced(site, lane):
        def told():
            state = site.state(lane.name)
            assert lane.serving <= 2, "one connection at a time, and one that ends"
            return state["masterVerdict"] == "NO_MASTER" and problem_of(state)
        wait_until(told, DOUBT_S, "the verdict")
        tries, seconds = lane.connections - began["connections"], time.monotonic() - began["at"]
        assert tries <= 2 + seconds * 3, f"{tries} connections in {seconds:.1f} s: reconnects are paced"
    return Case(attack, no_master_and_paced)


def test_connection_that_is_none(site):
    all_at_once(site, {kind: connecting(kind) for kind in CONNECTS})
