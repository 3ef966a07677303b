"""A Redis that answers anything: its shard is left alone and says why, its neighbors and the daemon do not notice.

The site of the module has one more cluster, "odd" (id 60), whose only Redis is scripted; DC fra tells a master for it too, so that
there is something to correct as soon as it looks sound.
"""
import pytest

from harness.hostile import FakeRedis, Trial, bulk, crdt_info
from harness.hostile_site import FAR, HOME, Site, cluster
from harness.processes import HOST, stays, wait_until

MB = 1 << 20
POLLS_S = 0.7   # three polls
TIMEOUT_MS = 600


@pytest.fixture(scope="module")
def redis():
    with FakeRedis() as r:
        yield r


@pytest.fixture(scope="module")
def site(zookeepers, redis):
    with Site(zookeepers[0], "hostile-redis", **{"meta.redis.timeout.milli": TIMEOUT_MS}) as s:
        good = s.good
        s.good = lambda more=(), **fields: good([cluster(60, "odd", [redis.port], f"{HOME},{FAR}"), *more], **fields)
        expected = s.expected
        s.expected = lambda: expected() | {"odd"}
        redis.replies["crdt.info"] = sound(s)
        s.more_masters[("odd", "s1")] = (2, HOST, s.far.port)
        yield s.start()


def peer_row(port, gid=2, **fields):
    return {"host": HOST, "port": port, "gid": gid, "dbid": 0, "link_status": "up", "last_io_seconds_ago": 0,
            "sync_in_progress": 0, "repl_offset": 1, "replid": "0" * 40, **fields}


def sound(site, gid=1, peers=None):
    """CRDT.INFO of a master whose peer is as it should be."""
    return bulk(crdt_info(gid, peers if peers is not None else [peer_row(site.far.port)]))


def is_sound(site):
    state = site.state("odd")
    assert state["masterVerdict"] == "OK" and state["peers"][0]["verdict"] == "OK", state
    return True


@pytest.fixture
def trial(site, redis):
    wait_until(lambda: is_sound(site), 15, "a sound start")
    redis.commands.clear()
    site.home.clear_log()
    with Trial(site.meta) as t:
        yield t
        assert not redis.harmful(), redis.harmful()
        site.check_calm()
        assert not site.harmful()
        redis.heal()
        redis.replies["crdt.info"] = sound(site)
        redis.cut()
        wait_until(lambda: is_sound(site), 20, "recovery")
        assert not redis.harmful()


def problem(site):
    return site.state("odd")["redises"][0]["problem"]


# replies of one command: reply -> what is shown of the Redis, or None where it is as good as silence


GARBAGE = {
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n", "binary": bytes(range(256)) * 10, "nul": b"\0\0\0\0\r\n", "empty-lines": b"\r\n" * 100,
    "length-minus-2": b"$-2\r\n", "length-99999999999": b"$99999999999\r\n", "length-2-63": b"$9223372036854775808\r\n",
    "length-text": b"$abc\r\n", "array-2147483647": b"*2147483647\r\n", "array-minus-2": b"*-2\r\n", "array-2-64": b"*18446744073709551616\r\n",
    "integer-2-70": b":1180591620717411303424\r\n", "nested-1000": b"*1\r\n" * 1000 + b":1\r\n", "resp3-map": b"%1\r\n+a\r\n+b\r\n",
    "bulk-without-end": b"$3\r\nabcXY", "two-mb": b"$2097152\r\n" + b"x" * 2 * MB + b"\r\n",
    "a-million-elements": b"*1000000\r\n" + b":1\r\n" * 1_000_000,
}


@pytest.mark.parametrize("command", ["role", "crdt.info"])
@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_no_answer(site, trial, redis, command, kind):
    redis.replies[command] = GARBAGE[kind]
    wait_until(lambda: site.state("odd")["masterVerdict"] != "OK" or problem(site), 10, "the shard to be in doubt")
    stays(lambda: not redis.harmful(), POLLS_S, "no command")
    assert problem(site), site.state("odd")


ERRORS = ["-ERR unknown command", "-LOADING Redis is loading the dataset in memory", "-NOAUTH Authentication required.",
          "-NOPERM this user has no permissions", "-" + "x" * 70000, "-", "-ERR \x1b[31mred\x07"]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: e[1:8] or "empty")
def test_refused_questions(site, trial, redis, error):
    redis.replies["role"] = error.encode() + b"\r\n"
    wait_until(lambda: site.state("odd")["masterVerdict"] == "NO_MASTER" and problem(site), 10, "the verdict")
    if 2 < len(error) < 200:
        assert "ROLE was refused" in problem(site)
        assert not error.isprintable() or error[1:9] in problem(site), "what it said"
    assert "\x1b" not in site.meta.log_path.read_text(errors="replace")


WRONG_TYPES = {
    "role": [b":1\r\n", b"$-1\r\n", b"*0\r\n", b"*-1\r\n", b"+master\r\n", b"*1\r\n:1\r\n", b"*1\r\n*0\r\n", b"*1\r\n$-1\r\n",
             b"*2\r\n$6\r\nMASTER\r\n:0\r\n", b"*1\r\n$8\r\nsentinel\r\n", b"*1\r\n$7\r\nmaster\0\r\n", b"*3\r\n*1\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"],
    "crdt.info": [b":1\r\n", b"$-1\r\n", b"*0\r\n", b"+OK\r\n", b"$0\r\n\r\n", bulk("no colon at all"), bulk(b"\xff\0" * 500),
                  bulk("gid:1" * 10000), bulk("peer0_gid:2\r\n" * 10000), bulk("gid:\r\n"), bulk("\r\n" * 5000)],
}


@pytest.mark.parametrize("command,reply", [(c, r) for c, rs in WRONG_TYPES.items() for r in rs], ids=lambda v: repr(v)[:24])
def test_wrong_type_of_answer(site, trial, redis, command, reply):
    redis.replies[command] = reply
    wait_until(lambda: site.state("odd")["masterVerdict"] != "OK" or problem(site), 10, "the shard to be in doubt")
    stays(lambda: not redis.harmful(), POLLS_S, "no command")


@pytest.mark.parametrize("gid", [0, 16, -1, 2 ** 31, 2 ** 63, 2 ** 65, "1x", "0x1", "1.0", ""])
def test_gid_of_the_redis_itself(site, trial, redis, gid):
    """Odd gids are no gids: the master is not accepted and is not corrected."""
    redis.replies["crdt.info"] = sound(site, gid, [])
    wait_until(lambda: site.state("odd")["masterVerdict"] in ("BAD_GID", "READING_GID") or problem(site), 10, "the verdict")
    stays(lambda: not redis.harmful(), POLLS_S, "no command")


def test_own_gid_is_that_of_the_other_dc(site, trial, redis):
    redis.replies["crdt.info"] = sound(site, 2, [])
    wait_until(lambda: site.state("odd")["peers"][0]["verdict"] == "BAD_GID", 10, "the verdict")
    assert "own" in site.state("odd")["peers"][0]["note"]
    stays(lambda: not redis.harmful(), POLLS_S, "no command")


def test_gid_given_twice(site, trial, redis):
    redis.replies["crdt.info"] = bulk(crdt_info(1, [peer_row(site.far.port)], more="gid:3\r\ngid:1\r\n"))
    stays(lambda: not redis.harmful(), POLLS_S, "no command")
