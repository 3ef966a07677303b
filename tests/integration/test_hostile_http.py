"""What a stranger can send to the HTTP port of both daemons, byte by byte (shared/net/http_*).

The metaserver runs without ZooKeeper and console here: its HTTP server needs neither. Each case ends with a request that is
answered as ever, in the same process.
"""
import random
import resource
import socket
import struct
import threading
import time

import pytest

from harness.daemons import Console, Meta
from harness.hostile import Trial, assert_clean, drip, flood, reset
from harness.processes import HOST, Stretch, Workspace, wait_until

BODY_TIMEOUT_MS, IDLE_TIMEOUT_MS = 1000, 2000
TIMES = {"http.body.timeout.ms": BODY_TIMEOUT_MS, "http.idle.timeout.ms": IDLE_TIMEOUT_MS}
KINDS = ("console", "meta")
# A call with a JSON body that is taken, and one with a name in its path.
POST = {"console": ("/api/organizations", b'{"orgId":7,"orgName":"o"}'), "meta": ("/api/meta/v2/peermasters", b'{"shards":[]}')}
NAMED = {"console": "/api/cluster/", "meta": "/api/meta/peers/c/"}


class Nowhere:
    address = f"{HOST}:1"


def make(workspace, kind, max_connections=500, **settings):
    settings = {**TIMES, **settings}
    if kind == "console":
        daemon = Console(workspace, settings={"console.connections.max": max_connections, **settings})
    else:
        daemon = Meta(workspace, "meta", "jq", 1, Nowhere, {"http.max.connections": max_connections, **settings})
        daemon.set_addresses(f"http://{HOST}:1", {"jq": daemon.url})
        daemon.is_ready = lambda: daemon.request("GET", "/metrics").status_code == 200
    daemon.kind = kind
    daemon.more_settings.setdefault("log.level", "info")
    return daemon


@pytest.fixture(scope="module", params=KINDS)
def daemon(request):
    with Workspace(f"http-{request.param}") as workspace:
        d = make(workspace, request.param).start()
        yield d
        assert_clean(d)


@pytest.fixture(params=KINDS)
def own_daemon(request, workspace):
    """make(...) of this kind, for tests that need settings of their own."""
    return lambda **settings: make(workspace, request.param, **settings).start()


def dial(daemon, timeout=10.0):
    return socket.create_connection((HOST, daemon.port), timeout=timeout)


def rest_of(connection):
    """Everything until the other side closes; a reset counts as closing."""
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def read_answer(connection, buffer=b""):
    """(status, body, what came behind it) of one answer."""
    while b"\r\n\r\n" not in buffer:
        piece = connection.recv(65536)
        assert piece, f"closed after {buffer!r}"
        buffer += piece
    head, _, rest = buffer.partition(b"\r\n\r\n")
    length = next((int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:")), 0)
    while len(rest) < length:
        piece = connection.recv(65536)
        assert piece, f"closed inside {buffer!r}"
        rest += piece
    return int(head.split(b" ")[1]), rest[:length], rest[length:]


GET = b"GET /config HTTP/1.1\r\nHost: x\r\n\r\n"


def post(daemon, head, body=b""):
    path, _ = POST[daemon.kind]
    return b"POST " + path.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + head + b"\r\n\r\n" + body


def assert_serves(daemon, within=2.0):
    stretch = Stretch()
    with dial(daemon) as c:
        c.sendall(GET)
        assert read_answer(c)[0] == 200
    assert stretch.took_s < within


def connections_of(daemon):
    return daemon.metrics()["xpipe_http_connections"]


# ---- one request ----

OPEN, CLOSED = "open", "closed"  # what becomes of the connection behind the answer

# name: (bytes, status, word of the answer, connection)
LINES = {
    "as it should be": (GET, 200, b"log.level", OPEN),
    "HTTP/1.0": (b"GET /config HTTP/1.0\r\n\r\n", 200, b"log.level", CLOSED),
    "HTTP/0.9": (b"GET /config\r\n\r\n", 400, b"malformed", CLOSED),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, b"version", CLOSED),
    "HTTP/9.9": (b"GET /config HTTP/9.9\r\nHost: x\r\n\r\n", 505, b"version", CLOSED),
    "another protocol": (b"GET /config SIP/1.1\r\nHost: x\r\n\r\n", 400, b"malformed", CLOSED),
    "all bytes": (bytes(range(256)) * 10, 400, b"malformed", CLOSED),
    "empty lines first": (b"\r\n\r\n" + GET, 200, b"log.level", OPEN),
    "absolute URI": (b"GET http://elsewhere/config HTTP/1.1\r\nHost: x\r\n\r\n", 200, b"log.level", OPEN),
    "absolute URI, upper case": (b"GET HTTPS://elsewhere/config HTTP/1.1\r\nHost: x\r\n\r\n", 200, b"log.level", OPEN),
    "absolute URI without a path": (b"GET http://elsewhere HTTP/1.1\r\nHost: x\r\n\r\n", 404, b"/", OPEN),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404, b"*", OPEN),
    "CONNECT": (b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", 404, b"a:1", OPEN),
    "TRACE": (b"TRACE /config HTTP/1.1\r\nHost: x\r\n\r\n", (400, 405), b"TRACE is not offered", OPEN),
    "a method of 9,000 bytes": (b"A" * 9000 + b" /config HTTP/1.1\r\nHost: x\r\n\r\n", (400, 405), b"is not offered", OPEN),
    "a path of 64 KiB": (b"GET /" + b"a" * 65536 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, b"too big", CLOSED),
    "a header of 64 KiB": (b"GET /config HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 65536 + b"\r\n\r\n", 431, b"too big", CLOSED),
    "200 headers": (b"GET /config HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: a\r\n" % i for i in range(200)) + b"\r\n",
                    400, b"more than 128 header fields", CLOSED),
    "1,000 headers": (b"GET /config HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: a\r\n" % i for i in range(1000)) + b"\r\n",
                      431, b"too big", CLOSED),
    "NUL in a header's name": (b"GET /config HTTP/1.1\r\nHost: x\r\nX\0A: b\r\n\r\n", 400, b"malformed", CLOSED),
    "a header without a colon": (b"GET /config HTTP/1.1\r\nHost: x\r\nnothing\r\n\r\n", 400, b"malformed", CLOSED),
    "a lone CR": (b"GET /config HTTP/1.1\r\nHost: x\r\nX-A: a\rContent-Length: 5\r\n\r\n", 400, b"control char", CLOSED),
    "a blank before the colon": (b"GET /config HTTP/1.1\r\nHost: x\r\nX : a\r\n\r\n", 400, b"has a name with blanks", CLOSED),
    "two hosts": (b"GET /config HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, b"Host appears more than once", CLOSED),
    "dots in the path": (b"GET /api/../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 404, b"/api/../etc/passwd", OPEN),
    "encoded dots": (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 404, b"no resource", OPEN),
    "a request id of control characters": (b"GET /config HTTP/1.1\r\nHost: x\r\nX-Request-Id: a b\"c\r\n\r\n", 200, b"log", OPEN),
}


def expect(daemon, data, status, word, connection):
    wanted = status if isinstance(status, tuple) else (status,)
    with dial(daemon) as c:
        c.sendall(data)
        got, body, rest = read_answer(c)
        assert got in wanted and word in body, (got, body)
        if connection == OPEN:
            c.sendall(GET)
            assert read_answer(c, rest)[0] == 200
        else:
            assert b"200 OK" not in rest + rest_of(c), "what came behind the refused request was read as a request"
    assert_serves(daemon)


@pytest.mark.parametrize("case", LINES.values(), ids=list(LINES))
def test_a_request_line_or_header(daemon, case):
    expect(daemon, *case)


NAMES = {"a%00b": b"NUL byte", "a%": b"incomplete percent-encoding", "a%zz": b"incomplete percent-encoding", "a%2": b"incomplete",
         "%c0%af": b"not valid UTF-8", "%ed%a0%80": b"not valid UTF-8", "%f4%90%80%80": b"not valid UTF-8", "\xff\xfe": b"not valid UTF-8"}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_an_undecodable_name_is_named(daemon, name):
    path = NAMED[daemon.kind].encode() + name.encode("latin-1")
    expect(daemon, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400, NAMES[name], OPEN)
    expect(daemon, b"GET /config?q=" + name.encode("latin-1") + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400, b"query parameter 'q'", OPEN)


def test_an_encoded_slash_stays_in_its_name(daemon):
    path = NAMED[daemon.kind].encode() + b"a%2fb"
    expect(daemon, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n", 404, b"a/b" if daemon.kind == "console" else b"", OPEN)


# ---- where a request ends ----

CHUNKED = b"Transfer-Encoding: chunked"
# name: (header lines, body, status, word); each is followed by a whole request that must not be answered
SMUGGLING = {
    "two lengths": (b"Content-Length: 2\r\nContent-Length: 30", b"{}", 400, b"Content-Length appears more than once"),
    "the same length twice": (b"Content-Length: 2\r\nContent-Length: 2", b"{}", 400, b"Content-Length appears more than once"),
    "length, then chunked": (b"Content-Length: 6\r\n" + CHUNKED, b"0\r\n\r\n", 400, b"exclude each other"),
    "chunked, then length": (CHUNKED + b"\r\nContent-Length: 4", b"2\r\n{}\r\n0\r\n\r\n", 400, b"exclude each other"),
    "unknown coding": (b"Transfer-Encoding: xchunked", b"2\r\n{}\r\n0\r\n\r\n", 400, b"only 'chunked'"),
    "list of codings": (b"Transfer-Encoding: gzip, chunked", b"2\r\n{}\r\n0\r\n\r\n", 400, b"only 'chunked'"),
    "identity": (b"Transfer-Encoding: identity\r\nX: y", b"{}", 400, b"only 'chunked'"),
    "two codings": (CHUNKED + b"\r\nTransfer-Encoding: identity", b"2\r\n{}\r\n0\r\n\r\n", 400, b"only 'chunked'"),
    "folded coding": (b"Transfer-Encoding:\r\n chunked\r\nX: y", b"", 400, b"Transfer-Encoding: folded"),
    "folded length": (b"Content-Length:\r\n\t2", b"{}", 400, b"Content-Length: folded"),
    "blank before the colon": (b"Content-Length : 2", b"{}", 400, b"has a name with blanks"),
    "negative length": (b"Content-Length: -1", b"", 400, b""),
    "signed length": (b"Content-Length: +2", b"{}", 400, b""),
    "hexadecimal length": (b"Content-Length: 0x2", b"{}", 400, b""),
    "list of lengths": (b"Content-Length: 2, 2", b"{}", 400, b""),
    "length over 64 bits": (b"Content-Length: 99999999999999999999999", b"", 413, b""),
    "length of 2^63-1": (b"Content-Length: 9223372036854775807", b"", 413, b"the body is larger"),
    "chunk of no number": (CHUNKED, b"zz\r\n{}\r\n0\r\n\r\n", 400, b"chunked encoding"),
    "negative chunk": (CHUNKED, b"-2\r\n{}\r\n0\r\n\r\n", 400, b"chunked encoding"),
    "chunk over 64 bits": (CHUNKED, b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n", 413, b"chunk"),
    "chunk longer than its size": (CHUNKED, b"2\r\n{}XX\r\n0\r\n\r\n", 400, b"chunked encoding"),
}


@pytest.mark.parametrize("case", SMUGGLING.values(), ids=list(SMUGGLING))
def test_no_request_hides_in_another(daemon, case):
    head, body, status, word = case
    expect(daemon, post(daemon, head, body) + GET, status, word, CLOSED)


def test_chunked_is_not_in_http_1_0(daemon):
    request = post(daemon, CHUNKED, b"2\r\n{}\r\n0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0")
    expect(daemon, request, 400, b"not in HTTP/1.0", CLOSED)


def chunks(body, size):
    return b"".join(b"%X;name=\"value\"\r\n%s\r\n" % (len(body[i:i + size]), body[i:i + size]) for i in range(0, len(body), size))


@pytest.mark.parametrize("size", (1, 5, 1000))
def test_chunked_bodies_are_read_whole(daemon, size):
    """With extensions, and a trailer that is not a header: X-XPipe-Status would change the status."""
    _, body = POST[daemon.kind]
    broken = b'{"broken": '
    with dial(daemon) as c:
        data = b""
        for text, trailer in ((body, b""), (broken, b"X-XPipe-Status: strict\r\nContent-Length: 9\r\n")):
            c.sendall(post(daemon, CHUNKED, chunks(text, size) + b"0\r\n" + trailer + b"\r\n"))
            status, answer, data = read_answer(c, data)
            assert status == 200 if text is body else (status in (400, 500) and b"JSON" in answer), (status, answer)


def test_an_endless_chunked_body_is_cut(daemon):
    with Trial(daemon, grow_mb=60), dial(daemon) as c:
        with pytest.raises(OSError):
            flood(c, b"10000\r\n" + b"x" * 0x10000 + b"\r\n", post(daemon, CHUNKED))
    assert_serves(daemon)


def test_an_endless_chunk_extension_is_cut(daemon):
    with Trial(daemon, grow_mb=30), dial(daemon) as c:
        with pytest.raises(OSError):
            flood(c, b"a" * 65536, post(daemon, CHUNKED, b"2;"))
    assert_serves(daemon)


def test_a_body_of_100_mb_is_refused_at_its_header(daemon):
    with Trial(daemon, grow_mb=30), dial(daemon) as c:
        c.sendall(post(daemon, b"Content-Length: 104857600"))
        status, answer, _ = read_answer(c)
        assert status == 413 and b"larger than" in answer
        assert rest_of(c) == b""
    assert_serves(daemon)


# ---- connections that do something else ----

def test_pipelined_requests_are_answered_in_order(daemon):
    path = NAMED[daemon.kind].encode()
    with dial(daemon) as c:
        c.sendall(b"".join(b"GET %sn%d HTTP/1.1\r\nHost: x\r\nX-Request-Id: r%d\r\n\r\n" % (path, i, i) for i in range(200)))
        data = b""
        while data.count(b"X-Request-Id: ") < 200:
            piece = c.recv(65536)
            assert piece
            data += piece
    ids = [line[len(b"X-Request-Id: "):].strip() for line in data.split(b"\r\n") if line.startswith(b"X-Request-Id: ")]
    assert ids == [b"r%d" % i for i in range(200)]


def test_a_half_closed_connection_ends_soon(daemon):
    """The library takes the client for gone, so there may be no answer; but no half one, and nothing stays open."""
    _, body = POST[daemon.kind]
    for request in (GET, post(daemon, b"Content-Length: %d" % len(body), body), b"GET /conf", b""):
        with dial(daemon, 5) as c:
            c.sendall(request)
            c.shutdown(socket.SHUT_WR)
            answer = rest_of(c)
            assert answer == b"" or b"Content-Length" in answer
    wait_until(lambda: connections_of(daemon) <= 2, what="the connections to be closed")


def test_resets_at_any_moment(daemon):
    """Every prefix of a request, then RST; nothing is left open."""
    _, body = POST[daemon.kind]
    request = post(daemon, b"Content-Length: %d" % len(body), body)
    for end in range(0, len(request) + 1, 3):
        c = dial(daemon)
        c.sendall(request[:end])
        reset(c)
        c.close()
    wait_until(lambda: connections_of(daemon) <= 2, what="the connections to be closed")
    assert_serves(daemon)


def test_slow_senders_are_cut_and_disturb_nobody(daemon):
    _, body = POST[daemon.kind]
    cases = [(GET[:-2] + b"X-Slow: " + b"a" * 1000, IDLE_TIMEOUT_MS), (b"", IDLE_TIMEOUT_MS), (b"GET /conf", IDLE_TIMEOUT_MS),
             (post(daemon, b"Content-Length: 1000", b"{" + b" " * 900), BODY_TIMEOUT_MS),
             (post(daemon, CHUNKED, chunks(b" " * 1000, 1)), BODY_TIMEOUT_MS)]
    lasted = {}

    def crawl(i, data):
        head = data.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in data else 20
        with dial(daemon) as c:
            stretch = Stretch()
            try:
                c.sendall(data[:head])
                drip(c, data[head:], 0.02)
                rest_of(c)
            except OSError:
                pass
            lasted[i] = stretch.took_s
    threads = [threading.Thread(target=crawl, args=(i, data)) for i, (data, _) in enumerate(cases) for _ in range(5)]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        assert_serves(daemon)
        time.sleep(0.05)
    for i, (_, limit_ms) in enumerate(cases):
        assert lasted[i] < limit_ms / 1000 + 3, f"case {i} was cut after {lasted[i]:.1f} s only"


def test_mutated_requests(daemon):
    """Bytes changed, cut, doubled at random places, with a seed: whatever it answers, it goes on."""
    rng = random.Random(20260403)
    _, body = POST[daemon.kind]
    seeds = [GET, post(daemon, b"Content-Length: %d" % len(body), body), post(daemon, CHUNKED, chunks(body, 3) + b"0\r\n\r\n")]
    with Trial(daemon, grow_mb=60):
        for _ in range(300):
            data = bytearray(rng.choice(seeds))
            for _ in range(rng.randint(1, 6)):
                at = rng.randrange(len(data))
                kind = rng.randrange(4)
                if kind == 0:
                    data[at] = rng.randrange(256)
                elif kind == 1:
                    del data[at:at + rng.randint(1, 10)]
                elif kind == 2:
                    data[at:at] = data[at:at + rng.randint(1, 40)]
                else:
                    data[at:at] = rng.choice([b"\r\n", b"\0", b"%00", b": ", b"\xff\xfe", b"9" * 30, b" "])
                if not data:
                    data = bytearray(b"\r")
            with dial(daemon) as c:
                c.settimeout(0.03)
                try:
                    c.sendall(bytes(data))
                    rest_of(c)
                except OSError:
                    pass  # it waits for the rest of a request
                reset(c)
    assert_serves(daemon)


# ---- crowds ----

def allow_files(count):
    """The daemons inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard if hard == resource.RLIM_INFINITY else max(hard, count)))
        except (ValueError, PermissionError):
            pytest.skip(f"{count} open files are not allowed here (hard limit {hard})")


def crowd(daemon, count):
    """Connections that say nothing. A reset at the end leaves no port in TIME_WAIT."""
    connections = []
    for _ in range(count):
        c = socket.socket()
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.connect((HOST, daemon.port))
        connections.append(c)
    return connections


def test_10000_idle_connections(own_daemon):
    """They are held, others are served at once, memory stays bounded, and all of it comes back."""
    allow_files(16000)
    daemon = own_daemon(max_connections=11000, **{"http.idle.timeout.ms": 60000})
    with Trial(daemon, grow_mb=250):
        idle = crowd(daemon, 10000)
        wait_until(lambda: connections_of(daemon) >= 10000, what="all of them to be taken")
        for _ in range(20):
            assert_serves(daemon)
        for c in idle:
            c.close()
        wait_until(lambda: connections_of(daemon) < 10, what="all of them to be gone")
    assert_serves(daemon)
    assert_clean(daemon)


def test_idle_connections_beyond_the_limit_make_room(own_daemon):
    """A limit of 100, 1,000 that say nothing: whoever has a request is served, or told 503 and served soon."""
    allow_files(4000)
    daemon = own_daemon(max_connections=100, **{"http.idle.timeout.ms": 60000})
    idle = crowd(daemon, 1000)

    def served():
        with dial(daemon) as c:
            c.sendall(GET)
            status, body, _ = read_answer(c)
            assert status == 200 or (status == 503 and b"all 100 connections are in use" in body), body
            return status == 200
    wait_until(served, what="a request to be served among them")
    for c in idle:
        c.close()
    wait_until(lambda: connections_of(daemon) < 10, what="all of them to be gone")
    for _ in range(10):
        assert_serves(daemon)
    assert daemon.metrics()["xpipe_http_connections_cut_total"] > 0
    assert_clean(daemon)


def test_all_bodies_together_are_limited(own_daemon):
    """Bodies of 200 KiB that never end, where 2 MiB may be held: 503 for the others, room again when they are gone.

    50 at once may refuse one another until fewer than fit are left; then more are sent until there is no room.
    """
    daemon = own_daemon(**{"http.bodies.max.bytes": 2 << 20, "http.body.timeout.ms": 30000})
    _, good = POST[daemon.kind]
    request = post(daemon, b"Content-Length: 250000", b" " * 200 * 1024)
    with Trial(daemon, grow_mb=60):
        hogs = []

        def hog(count):
            new = [dial(daemon) for _ in range(count)]
            hogs.extend(new)
            for c in new:
                c.sendall(request)
        hog(50)

        def refused():
            with dial(daemon) as c:
                c.sendall(post(daemon, b"Content-Length: 250000", good + b" " * (250000 - len(good))))
                status, body, _ = read_answer(c)
                if status != 503:
                    hog(1)
                return status == 503 and b"are being received or worked on" in body
        wait_until(refused, what="a body that is refused")
        assert_serves(daemon)
        for c in hogs:
            reset(c)
            c.close()

        def taken():
            with dial(daemon) as c:
                c.sendall(post(daemon, b"Content-Length: %d" % len(good), good))
                return read_answer(c)[0] == 200
        wait_until(taken, what="a body that is taken again")
    assert_clean(daemon)
