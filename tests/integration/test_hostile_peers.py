"""Metaservers that lie: of another DC, and another member of the own one.

What another DC tells of a shard is the word that reaches Redis as PEEROF, so nonsense must stay with the shard it is told of, and be
shown there. test_safeguards.py has the gids and a real neighbor DC; here are the shapes, the sizes and the odd addresses.
"""
import json

import pytest

from harness.hostile import RawHttp, Trial, drip, flood, http_answer, reset, wait_closed
from harness.hostile_site import FAR, HOME, Site
from harness.processes import HOST, Stretch, stays, wait_until

MB = 1 << 20
POLLS_S = 0.7   # three polls
DEMO = ("demo", "s1")
MEMBER_S = 0.4  # twice the time limit of connecting
LOADED_S = 5  # of a machine with everything else on it, far from the ten seconds of the client


@pytest.fixture(scope="module")
def site(zookeepers):
    with Site(zookeepers[0], "hostile-peers", **{"http.dc.timeout.milli": 400, "http.dc.connect.timeout.milli": 200,
                                                 "http.member.connect.timeout.milli": 200, "http.member.timeout.milli": 400}) as s:
        yield s.start()


@pytest.fixture(params=["xpipe", "java"])
def kind(site, request):
    """A metaserver like this one, asked in batches, or a Java one, asked shard by shard."""
    set_kind(site, request.param)
    yield request.param
    site.heal()


def set_kind(site, kind):
    """Java stays Java for 10 minutes: a restart is the way back."""
    site.peer.java = kind == "java"
    if link(site)["kind"] != kind:
        site.meta.kill()
        site.meta.start()
        wait_until(lambda: link(site)["kind"] == kind, 15, f"a peer of kind {kind}")
        site.wait_calm()


def link(site):
    return site.meta.get("/api/meta/v2/links")[FAR]


def ask(site):
    assert site.meta.request("PUT", f"/api/meta/upstreampeerchange/{FAR}/demo/s1").status_code == 200


def answers(site):
    """How many questions the peer has had."""
    return len(site.peer.seen("POST", "/api/meta/v2/peermasters")) + len(site.peer.seen("GET", "/api/meta/getpeermaster/"))


def wait_asked(site, times=2):
    """Questions asked after now: the second has seen the script for certain, and the answer to the first was taken before it."""
    mark = answers(site)

    def asked():
        ask(site)
        return answers(site) >= mark + times
    wait_until(asked, 20, "questions to the peer")


def unharmed(site):
    site.check_calm()
    assert not site.harmful(), site.harmful()
    return True


# masters that are none: the peer stays as it is, the shard says why or keeps what it knew


JAVA_VERDICTS = {"host-crlf": "OK", "host-blank": "OK", "gid-null": "BAD_GID"}  # refused with the whole answer; null is 0 there


# name -> (gid, host, port), verdict; OK: not taken, the last good word stays
def odd_masters(site):
    port = site.far.port
    return {
        "port-0": ((2, HOST, 0), "OK"), "port-minus-1": ((2, HOST, -1), "OK"), "port-65536": ((2, HOST, 65536), "OK"),
        "port-text": ((2, HOST, str(port)), "OK"), "port-real": ((2, HOST, port + 0.5), "OK"), "port-null": ((2, HOST, None), "OK"),
        "host-empty": ((2, "", port), "OK"), "host-null": ((2, None, port), "OK"), "host-number": ((2, 2130706433, port), "OK"),
        "host-64k": ((2, "1" * 65536, port), "OK"), "host-crlf": ((2, "127.0.0.1\r\nFLUSHALL", port), "BAD_TARGET"),
        "host-blank": ((2, "127.0.0.1 no", port), "BAD_TARGET"), "host-name": ((2, "localhost", port), "BAD_TARGET"),
        "host-no": ((2, "no", port), "BAD_TARGET"), "host-zero": ((2, "0.0.0.0", port), "BAD_TARGET"),
        "host-octal": ((2, "0177.0.0.1", port), "BAD_TARGET"), "host-short": ((2, "127.1", port), "BAD_TARGET"),
        "host-hex": ((2, "0x7f000001", port), "BAD_TARGET"), "host-decimal": ((2, "2130706433", port), "BAD_TARGET"),
        "host-256": ((2, "256.1.1.1", port), "BAD_TARGET"), "host-broadcast": ((2, "255.255.255.255", port), "BAD_TARGET"),
        "host-v6-any": ((2, "::", port), "BAD_TARGET"), "the-master-itself": ((2, HOST, site.home.port), "BAD_TARGET"),
        "gid-0": ((0, HOST, port), "BAD_GID"), "gid-16": ((16, HOST, port), "BAD_GID"), "gid-minus-1": ((-1, HOST, port), "BAD_GID"),
        "gid-own": ((1, HOST, port), "BAD_GID"), "gid-2-40": ((1 << 40, HOST, port), "OK"), "gid-text": (("2", HOST, port), "OK"),
        "gid-null": ((None, HOST, port), "OK"), "gid-real": ((2.5, HOST, port), "OK"),
    }


def test_odd_masters(site, kind):
    site.home.clear_log()
    failures = []
    with Trial(site.meta):
        for name, (master, verdict) in odd_masters(site).items():
            if kind == "java":
                verdict = JAVA_VERDICTS.get(name, verdict)
            site.peer.masters[DEMO] = master
            wait_asked(site)
            try:
                wait_until(lambda: site.verdict() == verdict, 3, f"the verdict {verdict}")
            except AssertionError as e:
                failures.append(f"{name}: {e}")
            if site.harmful():
                failures.append(f"{name}: {site.harmful()}")
                site.home.clear_log()
            site.peer.masters[DEMO] = (2, HOST, site.far.port)
            wait_asked(site)
            site.wait_calm()
    assert not failures, "\n".join(failures)


# answers that are none


def batch(*rows):
    return http_answer({"masters": [list(r) for r in rows]})


def sends(data):
    return lambda c, *_: c.sendall(data)


SILENCE = {
    "500": sends(http_answer({"message": "no"}, 500)), "204": sends(http_answer(b"", 204)), "302": sends(http_answer(b"", 302, ["Location: /x"])),
    "html": sends(http_answer(b"<html>")), "null": sends(http_answer(b"null")), "list": sends(http_answer(b"[[]]")),
    "number": sends(http_answer(b"7")), "deep": sends(http_answer(b"[" * 100_000)), "utf-8": sends(http_answer(b'{"masters":"\xff"}')),
    "cut-off": sends(http_answer(b'{"masters":[["demo","s1",2,"127.0.0.1",1')), "masters-object": sends(http_answer({"masters": {"demo": 1}})),
    "rows-odd": sends(batch((), (1, 2, 3, 4, 5), ("demo",), ("demo", "s1"), ("demo", None, 2, HOST, 1), ("demo", ["s1"], 2, HOST, 1))),
    "not-asked": sends(batch(("demo", "s2", 2, HOST, 1), ("other", "s1", 2, HOST, 1), ("c2", "s1", 2, HOST, 1), ("demo/s1", "", 2, HOST, 1),
                             ("", "demo/s1", 2, HOST, 1), ("DEMO", "S1", 2, HOST, 1))),
    "not-asked-100000": sends(batch(*((f"x{i}", "s1", 2, HOST, 1) for i in range(100_000)))),
    "closes": lambda c, *_: None, "resets": lambda c, *_: reset(c), "no-http": sends(b"\0\xff\r\n\r\n"),
    "shorter-than-said": sends(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}"),
    "endless-body": lambda c, *_: flood(c, b" " * MB, b"HTTP/1.1 200 OK\r\n\r\n"),
    "endless-header": lambda c, *_: flood(c, b"x" * 1000 + b": y\r\n", b"HTTP/1.1 200 OK\r\n"),
    "endless-100": lambda c, *_: flood(c, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "drip": lambda c, *_: drip(c, http_answer({"masters": []}), 0.2), "hangs": lambda c, *_: wait_closed(c),
}

SINGLE = ["500", "html", "null", "list", "deep", "closes", "endless-body", "hangs"]  # of a Java peer


def test_answers_that_are_none(site, kind):
    """No answer changes nothing, and the next good one is taken."""
    site.home.clear_log()
    with Trial(site.meta):
        for name, script in SILENCE.items() if kind == "xpipe" else ((n, SILENCE[n]) for n in SINGLE):
            site.peer.script = script
            wait_asked(site, 1)
            assert unharmed(site), name
            site.peer.script = None
            wait_asked(site, 1)  # else the pauses between failures would grow
        stays(lambda: unharmed(site), POLLS_S, "calm")
        site.heal()
        began = site.meta.get("/api/meta/v2/links")[FAR]["lastOkAt"]
        wait_until(lambda: link(site)["lastOkAt"] > began and not link(site)["lastError"], 20, "an answer again")
        unharmed(site)


def test_first_of_two_answers_for_a_shard_counts(site):
    """A batch that names a shard twice cannot make it flap."""
    set_kind(site, "xpipe")
    site.home.clear_log()
    good = ("demo", "s1", 2, HOST, site.far.port)
    site.peer.script = sends(batch(good, ("demo", "s1", 3, HOST, 1), ("demo", "s1", 2, "localhost", 1)))
    try:
        wait_asked(site)
        stays(lambda: unharmed(site), POLLS_S, "calm")
    finally:
        site.heal()


# another member of the own DC


@pytest.fixture
def member(site):
    """Server 9 of this DC, registered like every other; answers each request with `script`."""
    set_kind(site, "xpipe")
    with RawHttp(lambda *_: None) as liar, site.meta.zookeeper.client() as zk:
        path = "/hostile-peers/metaserver/servers/9"
        zk.create(path, json.dumps({"ip": HOST, "port": liar.port}).encode(), ephemeral=True)
        yield liar
        zk.delete(path)
        wait_until(lambda: site.served() == site.expected(), 20, "every slot to be here again")
    site.wait_calm()


def test_member_that_answers_garbage(site, member):
    """A question of another DC is passed on for what is not known here: the rest of the answer is right whatever a member says."""
    def told():
        answer = site.meta.request("POST", "/api/meta/v2/peermasters", {"dc": FAR, "shards": [list(DEMO), ["nobody", "s1"]]})
        assert answer.status_code == 200, answer.text
        return answer.json()["masters"]
    right = [*DEMO, 1, HOST, site.home.port]
    wait_until(lambda: told() and member.seen("POST", "/api/meta/v2/peermasters"), 15, "a question to the member")
    with Trial(site.meta):
        for name, script in SILENCE.items():
            member.reply = script
            stretch = Stretch()
            masters = told()
            assert masters[0] == right, f"{name}: {masters[:3]}"
            assert stretch.took_s < MEMBER_S + LOADED_S, name
