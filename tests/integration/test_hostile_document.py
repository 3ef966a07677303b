"""What a console, or whoever pushes, may send as metadata: nothing of it may disturb what is right, and the error says what is wrong.

One metaserver for the module. Each case ends with the good document: full recovery.
"""
import gzip
import json
import re

import pytest

from harness.hostile import Trial, drip, flood, http_answer, reset, wait_closed
from harness.hostile_site import FAR, HOME, OTHERS, Site, cluster
from harness.processes import HOST, stays, wait_until

MB = 1 << 20


@pytest.fixture(scope="module")
def site(zookeepers):
    with Site(zookeepers[0], "hostile-document") as s:
        yield s.start()


@pytest.fixture
def trial(site):
    """The site is calm before and after; meanwhile memory is bounded and no command is sent."""
    site.check_calm()
    site.home.clear_log()
    with Trial(site.meta) as t:
        yield t
        site.heal()
        site.wait_accepted()
        site.wait_calm()
        assert site.served() == site.expected()
        assert site.last_error() == "" and site.meta.get("/api/meta/v2/quarantine")["held"] == 0
        assert not site.harmful()


def text(document):
    return json.dumps(document).encode()


def doubled(document, key, value):
    """The key stands in the document twice."""
    return text(document)[:-1] + f", {json.dumps(key)}: {json.dumps(value)}}}".encode()


def nulls(value):
    """The same shape, all leaves null."""
    if isinstance(value, dict):
        return {k: nulls(v) for k, v in value.items()}
    return [nulls(v) for v in value] if isinstance(value, list) else None


ROUTE = {"id": 1, "tag": "meta", "srcDc": HOME, "dstDc": FAR, "orgId": 0, "clusterType": "", "isPublic": True}

# name -> (site -> the document, what the error says)
REFUSED = {
    "blank": (lambda s: b" \r\n", "JSON"),
    "cut-off-by-a-byte": (lambda s: text(s.good())[:-1], "JSON, line 1, column"),
    "cut-off-in-a-name": (lambda s: text(s.good())[:len(text(s.good())) // 2], "JSON, line 1, column"),
    "two-documents": (lambda s: text(s.good()) * 2, "JSON, line 1, column"),
    "number": (lambda s: b"7", "not an object"),
    "dc-in-capitals-of-another": (lambda s: text(s.good(id="FRA")), "field 'id' is 'fra'"),
    "dc-missing": (lambda s: text({k: v for k, v in s.good().items() if k != "id"}), "field 'id' is 'null'"),
    "dc-a-number": (lambda s: text(s.good(id=7)), "id: it is not a text"),
    "dc-with-nul": (lambda s: text(s.good(id="jq\0fra")), "u0000 is not allowed"),
    "every-leaf-null": (lambda s: text(nulls(s.good())), "field 'id' is 'null'"),
    "version-negative": (lambda s: text(s.good(version=-1)), "version: -1 is not"),
    "version-1e400": (lambda s: text(s.good())[:-1] + b', "version": 1e400}', "real number overflow"),
    "version-over-64-bits": (lambda s: text(s.good(version=1 << 70)), "too big integer"),
    "version-a-text": (lambda s: text(s.good(version="7")), "version: '7' is not"),
    "duplicate-key": (lambda s: doubled(s.good(), "id", HOME), "duplicate object key"),
    "duplicate-cluster": (lambda s: doubled(s.good(), "clusters", {}), "duplicate object key"),
    "100000-deep": (lambda s: text(s.good())[:-1] + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested deeper than 64"),
    "100000-deep-objects": (lambda s: b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested deeper than 64"),
    "invalid-utf-8": (lambda s: text(s.good()).replace(b'"demo"', b'"d\xff\xc0\xafmo"'), "unable to decode byte 0xff"),
    "surrogate": (lambda s: text(s.good()).replace(b'"demo"', b'"d\\ud800mo"'), "JSON, line"),
    "utf-16": (lambda s: text(s.good()).decode().encode("utf-16"), "JSON, line 1, column"),
    "routes-an-object": (lambda s: text(s.good(routes={"1": ROUTE})), "routes: an object is not an array"),
    "route-a-number": (lambda s: text(s.good(routes=[ROUTE, 7])), r"routes\[1\]: a number is not an object|routes\[1\]: 7 is not"),
    "route-dst-a-list": (lambda s: text(s.good(routes=[{**ROUTE, "dstDc": []}])), r"routes\[0\].dstDc: "),
    "too-many-routes": (lambda s: text(s.good(routes=[{**ROUTE, "id": i} for i in range(10_001)])), "10001 elements are over"),
    "container-port-5e9": (lambda s: text(s.good(keeperContainers=[{"id": 1, "ip": HOST, "port": 5_000_000_000}])),
                           r"keeperContainers\[0\].port: 5000000000 is not a port"),
    "name-with-nul": (lambda s: text(s.good()).replace(b'"id": "c7"', b'"id": "c\\u00007"'), "u0000 is not allowed"),
    "gzip": (lambda s: gzip.compress(text(s.good())), "JSON, line 1, column"),
    "html": (lambda s: b"<html>" + b"x" * MB, "JSON, line 1, column"),
    "many-tiny-values": (lambda s: b'{"id":"jq","x":[' + b"[]," * (10 * MB) + b"[]]}", "values"),
}


# First of all: the log lets 20 lines of a kind pass, then one a second.
def test_refused_document_is_logged_once(site, trial):
    mark = site.fetches("failed")
    site.console.document = b"{"
    site.wait_refused(mark + 2)
    assert len(re.findall(r"warn \S+ document\.fetch_failed .*JSON, line 1, column 1", trial.log())) == 1


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_document_names_what_is_wrong(site, trial, kind):
    make, why = REFUSED[kind]
    mark = site.fetches("failed")
    site.console.document = make(site)
    error = site.wait_refused(mark)
    assert re.search(why, error), error
    assert "\n" not in error and len(error) < 256
    site.check_calm()


def answers(*args, **kwargs):
    return lambda c, *_: c.sendall(http_answer(*args, **kwargs))


def half_chunk(c, *_):
    c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc")


def no_http(c, *_):
    c.sendall(b"\x00\xff garbage\r\n\r\n")


def endless(c, *_):
    flood(c, b" " * MB, b"HTTP/1.1 200 OK\r\n\r\n")


def endless_chunks(c, *_):
    flood(c, b"100000\r\n" + b" " * MB + b"\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")


def endless_header(c, *_):
    flood(c, b"x" * 1000 + b": y\r\n", b"HTTP/1.1 200 OK\r\n")


def slow_drip(c, *_):
    drip(c, http_answer({"id": HOME}), 0.3)


def said_200_mb(c, *_):
    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 209715200\r\n\r\n")
    flood(c, b" " * MB, limit_bytes=200 * MB)


def shorter_than_said(c, *_):
    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}")


def hang(c, *_):
    wait_closed(c)


# name -> (what the console does, what the error says)
CONSOLES = {
    "500": (answers({"message": "database is locked"}, 500), "console answered 500 .*database is locked"),
    "404": (answers(b"", 404), "console answered 404"),
    "204": (answers(b"", 204), "console answered 204"),
    "redirect": (answers(b"", 302, ["Location: http://127.0.0.1:1/elsewhere"]), "console answered 302"),
    "redirect-to-a-file": (answers(b"", 302, ["Location: file:///etc/passwd"]), "console answered 302"),
    "304-out-of-the-blue": (answers(b"", 304), "console answered 304"),
    "closes": (lambda c, *_: None, "Empty reply|empty reply|reset"),
    "resets": (lambda c, *_: reset(c), "reset|Empty reply"),
    "no-http": (no_http, "HTTP"),
    "half-chunk": (half_chunk, "chunk|closed|transfer|outstanding"),
    "shorter-than-said": (shorter_than_said, "closed|outstanding|transfer"),
    "endless-body": (endless, "larger than|no answer within"),
    "endless-chunks": (endless_chunks, "larger than|no answer within"),
    "endless-header": (endless_header, "header"),
    "200-mb": (said_200_mb, "larger than|no answer within"),
    "slow-drip": (slow_drip, "no answer within 1500 ms"),
    "hangs": (hang, "no answer within 1500 ms"),
}


@pytest.mark.parametrize("kind", CONSOLES)
def test_console_that_misbehaves(site, trial, kind):
    script, why = CONSOLES[kind]
    mark = site.fetches("failed")
    site.console.script = script
    error = site.wait_refused(mark)
    assert site.console.url in error and re.search(why, error), error
    site.check_calm()


def test_content_type_does_not_matter_the_content_does(site, trial):
    """Java consoles behind odd gateways: what is a document is taken, whatever it is called."""
    site.console.script = answers(site.good([cluster(40)]), headers=["Content-Type: text/html; charset=latin-1"])
    wait_until(lambda: "c40" in site.served(), 10, "the document")


# one cluster is broken


def redises(*rows):
    return {"s1": {"id": "s1", "dbId": 1, "redises": list(rows), "keepers": []}}


def broken(**fields):
    return {**cluster(0), "id": None, **fields}


# key in the document -> (the cluster, what the log says)
BROKEN = {
    "a-number": (7, "not an object"),
    "null": (None, "not an object"),
    "empty": ({}, "dbId: it is missing"),
    "id-differs": (broken(id="other", dbId=101), "differs from the name"),
    "db-id-text": (broken(dbId="7"), "dbId: '7' is not"),
    "db-id-negative": (broken(dbId=-7), "dbId: -7 is not"),
    "db-id-real": (broken(dbId=7.5), "dbId: 7.5 is not"),
    "db-id-taken": (broken(dbId=1), "dbId: 1 .*demo"),
    "type-unknown": (broken(dbId=102, type="SIDEWAYS"), "type: .*not a cluster type"),
    "type-null": (broken(dbId=103, type=None), "type: it is missing"),
    "dcs-a-list": (broken(dbId=104, dcs=["jq", "fra"]), "dcs: it is not a text"),
    "dcs-with-slash": (broken(dbId=105, dcs="jq,../fra"), "dcs: a DC name"),
    "dcs-with-crlf": (broken(dbId=106, dcs="jq,fr\r\na"), "dcs: a DC name"),
    "dcs-64k": (broken(dbId=107, dcs="jq," + "d" * 65536), "dcs: a DC name"),
    "org-text": (broken(dbId=108, orgId="x"), "orgId: 'x' is not"),
    "org-1e99": (broken(dbId=109, orgId=1e99), "orgId: 1e\\+99 is not"),
    "routes-designated": (broken(dbId=110, clusterDesignatedRouteIds="1,x"), "clusterDesignatedRouteIds: element 2"),
    "shards-a-list": (broken(dbId=111, shards=[]), "shards: an array is not an object"),
    "shard-a-text": (broken(dbId=112, shards={"s1": "x"}), r"shards\.s1: 'x' is not an object"),
    "shard-name-slash": (broken(dbId=113, shards={"a/b": {"dbId": 1}}), r"shards\.a/b\.id: 'a/b' is not a name"),
    "shard-name-crlf": (broken(dbId=114, shards={"a\r\nb": {"dbId": 1}}), "control characters"),
    "port-5e9": (broken(dbId=116, shards=redises({"ip": HOST, "port": 5_000_000_000})), "port: 5000000000 is not a port"),
    "port-0": (broken(dbId=117, shards=redises({"ip": HOST, "port": 0})), "port: 0 is not a port"),
    "port-real": (broken(dbId=118, shards=redises({"ip": HOST, "port": 6379.0})), "port: 6379 is not a port"),
    "port-text": (broken(dbId=119, shards=redises({"ip": HOST, "port": "6379"})), "port: '6379' is not a port"),
    "ip-blank": (broken(dbId=120, shards=redises({"ip": "1.2.3.4 no one", "port": 1})), "ip: the host has a blank"),
    "ip-crlf": (broken(dbId=121, shards=redises({"ip": "1.2.3.4\r\nFLUSHALL", "port": 1})), "ip: the host has a blank"),
    "ip-64k": (broken(dbId=122, shards=redises({"ip": "1" * 65536, "port": 1})), "ip: it is not a host"),
    "ip-null": (broken(dbId=123, shards=redises({"ip": None, "port": 1})), "ip: it is missing"),
    "redis-null": (broken(dbId=124, shards=redises(None)), r"redises\[0\]: null is not an object"),
    "too-many-redises": (broken(dbId=125, shards=redises(*({"ip": HOST, "port": 1} for _ in range(1001)))), "1001 elements"),
    "x" * 65536: (broken(dbId=126), "the key is not a name"),
    "with/slash": (broken(dbId=127), "name"),
    "with\r\nline": (broken(dbId=128), "control characters"),
    "": (broken(dbId=129), "name"),
    "..": (broken(dbId=130), "name"),
    ".": (broken(dbId=131), "name"),
}


def test_broken_clusters_spoil_themselves_only(site, trial):
    """One document with every kind of broken cluster, and good ones, among them two new: these are served, those are named."""
    site.console.document = site.good([cluster(40), cluster(41)])
    site.console.document["clusters"].update({name: c for name, (c, _) in BROKEN.items()})
    site.wait_accepted()
    wait_until(lambda: site.served() == site.expected() | {"c40", "c41"}, 10, "the good clusters")
    site.check_calm()
    problems = {p["cluster"]: p["problem"] for p in site.meta.get("/api/meta/v2/quarantine")["problems"]}
    assert len(problems) == len(BROKEN) + 1 and "db-id-taken" in problems.pop("demo"), "which of the two has the id?"
    for name, (_, why) in BROKEN.items():
        assert re.search(why, problems[name[:128]]), f"{name[:40]!r}: {problems[name[:128]]}"
    lines = [line for line in trial.log().splitlines() if "document.cluster_unusable" in line]
    assert lines and all(len(line) < 2000 for line in lines)
    assert re.search(f"warn \\S+ document.clusters_unusable count={len(BROKEN) + 1} ", trial.log())
    site.wait_accepted()
    assert len(re.findall("document.cluster_unusable", trial.log())) == len(lines), "once, not with every fetch"
    assert site.meta.metrics()["xpipe_meta_document_unusable_clusters"] == len(BROKEN) + 1


def test_broken_cluster_keeps_what_was_known_of_it(site, trial):
    document = site.good()
    document["clusters"]["demo"] = {**document["clusters"]["demo"], "shards": redises({"ip": "1.2.3.4\r\n", "port": 1})}
    site.console.document = document
    site.wait_accepted()
    problems = site.meta.get("/api/meta/v2/quarantine")["problems"]
    assert [p["cluster"] for p in problems] == ["demo"] and "shards.s1.redises[0].ip" in problems[0]["problem"]
    site.check_calm()


ODD_NAMES = ['quo"te', "apo'strophe", "emoji-\U0001F600", "blank name", "%2e%2e%2f", "q?x=1&y#z", "a;b", "back\\slash", "$(reboot)",
             "{cluster}", "a%00b", "n" * 128, "*", "Ünïcode", "...", "-latch-"]


def test_odd_names_are_names(site, trial):
    """They reach URLs of other DCs, log lines and answers, as they are and as nothing else."""
    from urllib.parse import quote
    site.peer.java = True
    site.console.document = site.good([cluster(200 + i, name, dcs=f"{HOME},{FAR}") for i, name in enumerate(ODD_NAMES)])
    wait_until(lambda: site.served() == site.expected() | set(ODD_NAMES), 10, "all of them")
    try:
        site.meta.kill()
        site.meta.start()
        trial.pid, trial.before_kb = site.meta.pid, trial.before_kb
        wait_until(lambda: site.served() >= set(ODD_NAMES), 20, "all of them, from the start")
        for name in ODD_NAMES:
            path = f"/api/meta/getpeermaster/{quote(name, safe='')}/s1"
            wait_until(lambda: site.peer.seen("GET", path), 20, f"the question for {name!r}")
            assert site.meta.get(f"/api/meta/v2/peers/{quote(name, safe='')}/s1")["cluster"] == name
    finally:
        site.peer.java = False


@pytest.mark.parametrize("dc", ["", "FRA", "Fra,fRA,fra", "fra,fra", "JQ,FRA", "fra ", "fra,no-such-dc", 'fra,"quoted"', "fra,\U0001F600"])
def test_spelling_of_dcs_changes_nothing(site, trial, dc):
    document = site.good()
    document["id"] = "jQ" if dc else "JQ"
    document["clusters"]["demo"]["dcs"] = f"Jq,{dc or 'fRA'}"
    site.console.document = document
    site.wait_accepted()
    stays(site.check_calm, 0.6, "calm")
    assert {p["dc"] for p in site.state()["peers"]} >= {FAR}
    assert site.home.peers.keys() == {2}


# routes


ODD_ROUTES = {
    "empty": "", "blanks": "   ", "crlf": "PROXYTCP://127.0.0.1:80\r\nFLUSHALL", "64-kb": "PROXYTCP://127.0.0.1:80," * 2800,
    "1-mb": "PROXYTCP://127.0.0.1:80 " * (MB // 24), "tls-first": "PROXYTLS://127.0.0.1:443", "no-port": "PROXYTCP://127.0.0.1",
    "port-5e9": "PROXYTCP://127.0.0.1:5000000000", "quotes": 'PROXYTCP://127.0.0.1:80 "PROXYTLS://1.1.1.1:443"',
    "words": "no one", "v6": "PROXYTCP://[::1]:80", "commas": ",,,", "scheme": "gopher://1.1.1.1:80",
}


@pytest.mark.parametrize("kind", ODD_ROUTES)
def test_hostile_route_is_unusable_and_nothing_goes_direct(site, trial, kind):
    """There is one route and it is nonsense: the peer is left as it is, whatever its text (D9)."""
    site.console.document = site.good(routes=[{**ROUTE, "routeInfo": ODD_ROUTES[kind]}])
    site.wait_accepted()
    wait_until(lambda: site.verdict() == "BAD_ROUTE", 10, "the verdict")
    stays(lambda: not site.harmful(), 0.6, "no command")
    assert "route 1 is unusable" in site.state()["peers"][0]["note"]
    assert site.home.peers[2].address == site.far.address


# pushes


PUSHES = {
    "empty": (b"", "ClusterMeta is required|body"),
    "null": (b"null", "not an object|required"),
    "cut-off": (b'{"id":"demo","dbId":1', "JSON: line 1"),
    "deep": (b"[" * 100_000, "nested deeper"),
    "duplicate": (b'{"id":"demo","id":"demo"}', "duplicate object key"),
    "utf-8": (b'{"id":"de\xffmo"}', "unable to decode byte 0xff"),
    "1e400": (b'{"id":"demo","dbId":1e400}', "real number overflow"),
    "tiny-values": (b'{"x":[' + b"[]," * (4 * MB) + b"[]]}", "values"),
    "name-of-another": (text(cluster(1, "other")), "is not the cluster 'demo'"),
    "gzip": (gzip.compress(text(cluster(1, "demo"))), "JSON"),
    "too-large": (b'"' + b"x" * (17 * MB) + b'"', "16777216|large|body"),
    "nul": (b'{"id":"de\\u0000mo"}', "u0000 is not allowed"),
}


@pytest.mark.parametrize("kind", PUSHES)
def test_hostile_push_is_refused(site, trial, kind):
    body, why = PUSHES[kind]
    answer = site.meta.request("PUT", "/api/meta/clusterchange/demo", data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 413, 500), answer.text
    assert re.search(why, answer.text), answer.text
    site.check_calm()


@pytest.mark.parametrize("name", [n for n in BROKEN if isinstance(BROKEN[n][0], dict) and n and len(n) < 100 and n not in ("..", ".")
                                  and not re.search(r"[/\r]", n) and n != "db-id-taken"])
def test_broken_cluster_is_refused_as_a_push(site, trial, name):
    """A push replaces one cluster: what would be unusable in a document is refused, with the same words."""
    pushed, why = BROKEN[name]
    answer = site.meta.request("PUT", f"/api/meta/clusterchange/{name}", {**pushed, "id": pushed.get("id") or name})
    assert answer.status_code in (400, 500), answer.text
    if name != "id-differs":
        assert re.search(why, answer.json()["message"]), answer.text
    assert name not in site.served()


@pytest.mark.parametrize("path", ["", "/", "/%2e%2e", "/a%2fb", "/%00", "/" + "x" * 9000, "/de%0d%0amo"])
def test_delete_of_odd_names_deletes_nothing(site, trial, path):
    answer = site.meta.request("DELETE", f"/api/meta/clusterchange{path}")
    assert answer.status_code in (200, 400, 404, 405, 414, 500), answer.text
    site.check_calm()
    assert site.served() == site.expected()


def test_older_document_and_older_push_change_nothing(zookeepers):
    """Versions of their own site: what was seen once must not go back."""
    with Site(zookeepers[0], "hostile-version") as site:
        site.start()
        site.console.document = site.good([cluster(50, version=10)], version=10)
        wait_until(lambda: "c50" in site.served(), 10, "version 10")
        mark = site.fetches("failed")
        site.console.document = site.good([cluster(51)], version=9)
        assert "version 9, older than 10" in site.wait_refused(mark)
        answer = site.meta.request("PUT", "/api/meta/clusterchange/c50", {**cluster(50), "version": 9, "shards": {}})
        assert answer.status_code == 200 or "older" in answer.text
        assert site.served() == site.expected() | {"c50"}
        site.console.document = site.good(version=11)
        wait_until(lambda: site.served() == site.expected(), 10, "version 11")
        site.check_calm()
