"""What strangers, careless operators and broken neighbors do to the console: bodies, names, metaservers, the clock.

Each refusal names the field, changes nothing (the version stays), and the console goes on.
"""
import hashlib
import json
import os
import re
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import pytest
import requests

from harness.daemons import Console
from harness.hostile import RawHttp, Trial, assert_clean, drip, flood, http_answer, reset, wait_closed
from harness.processes import HOST, Stretch, built, wait_until

STRICT = {"X-XPipe-Status": "strict"}
MAIL = "dba@example.com"


def make(workspace, **settings):
    return Console(workspace, settings={"log.level": "info", **settings})


def install(console, dcs=("jq", "oy")):
    console.post("/api/zone", {"name": "SHA"})
    for dc in dcs:
        console.post("/api/dc", {"zone_id": 1, "dc_name": dc, "description": "d"})
    console.post("/api/organizations", {"orgId": 8, "orgName": "cache"})


def cluster_body(name="demo", dcs=("jq", "oy"), **fields):
    return {"clusterName": name, "clusterType": "BI_DIRECTION", "dcs": list(dcs), "desc": "d", "organizationId": 8,
            "clusterAdminEmails": MAIL, **fields}


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    from harness.processes import Workspace
    with Workspace("hostile-console") as workspace:
        c = make(workspace).start()
        install(c)
        c.post("/api/clusters", cluster_body())
        c.post("/api/shards/demo/s1", [{"dcId": "jq", "redises": "10.0.0.1:6379"}, {"dcId": "oy", "redises": "10.0.0.2:6379"}])
        yield c
        assert_clean(c)


def version(console):
    db = sqlite3.connect(f"file:{console.db_path}?mode=ro", uri=True)
    try:
        return db.execute("SELECT max(idx) FROM change_log").fetchone()[0]
    finally:
        db.close()


def check_chain(db_path):
    db = sqlite3.connect(f"file:{db_path}?mode=ro", uri=True)
    prev = "0" * 64
    for row in db.execute("SELECT idx, epoch, wall_ms, actor, request_id, op, body, prev_hash, hash FROM change_log ORDER BY idx"):
        text = b"".join(b"%d:%s," % (len(f.encode()), f.encode()) for f in (prev, *map(str, row[:7])))
        assert (row[7], row[8]) == (prev, hashlib.sha256(text).hexdigest()), f"row {row[0]}"
        prev = row[8]
    db.close()


# ---- bodies, for each endpoint that takes one ----

def endpoints():
    """(method, path) of each route that takes a body and is offered; a new one is covered by being in the table."""
    listed = subprocess.run([built("xpipe-console"), "--print-routes"], capture_output=True, text=True, check=True).stdout
    values = {"cluster": "demo", "shard": "s1", "dc": "jq", "tag": "t", "role": "master", "ip": "10.0.0.1", "port": "6379",
              "az": "az1", "id": "1", "active": "1", "event": "1", "ticket": "1", "value": "true", "action": "process", "key": "k", "type": "t",
              "minutes": "1", "name": "n", "region": "r"}
    found = []
    for line in listed.splitlines():
        method, path, _, _, limit, help_text = line.split(" ", 5)
        if method == "*" or method == "GET" or int(limit) == 0 or help_text.startswith("not offered") or path.startswith("/debug"):
            continue
        found.append((method, re.sub(r"\{(\w+)\}", lambda m: values[m.group(1)], path), int(limit)))
    return found


# Taken without a body, or whatever is in it.
NO_BODY = {"PUT /api/cluster/tag/demo/t", "DELETE /api/cluster/demo", "DELETE /api/dc/jq", "POST /api/clusters/demo/dcs/jq",
           "DELETE /api/clusters/demo/dcs/jq", "DELETE /api/shards/demo/s1", "DELETE /api/az/az1", "DELETE /api/keepercontainer/10.0.0.1/6379",
           "POST /api/keepers/jq/demo/s1", "DELETE /api/keepers/jq/demo/s1", "DELETE /api/sentinels/1", "PATCH /api/sentinels/1",
           "PUT /api/sentinels/active/1/1", "PUT /api/sentinels/tag/1/t", "DELETE /api/shard/sentinels", "POST /api/shard/sentinels",
           "POST /console/dcs/jq/availablekeepers", "POST /api/config/ignore/migration/system/availability/true",
           "POST /api/config/allow/migration/auto/true", "POST /api/migration/history", "POST /api/migration/v2/history",
           *(f"POST /console/migration/events/1/clusters/demo{what}" for what in
             ("", "/cancel", "/tryRollback", "/rollback", "/forceProcess", "/forceEnd")),
           *(f"POST /api/v2/migrations/1/{what}" for what in ("process", "cancel", "rollback", "force", "force-end"))}


def body_endpoints():
    return [e for e in endpoints() if f"{e[0]} {e[1]}" not in NO_BODY and "adjustment" not in e[1]]


FIELDS = ("id", "name", "zone_id", "dc_name", "orgId", "orgName", "clusterName", "clusterType", "dcs", "desc", "organizationId",
          "clusterAdminEmails", "shardName", "shardMonitorName", "dcId", "redises", "redisesWithAz", "clusterId", "hostPort", "shardId",
          "uri", "dcName", "active", "srcDcName", "dstDcName", "srcProxyIds", "dstProxyIds", "optionProxyIds", "tag", "public", "host",
          "port", "addr", "azName", "ip", "keepercontainerIp", "keepercontainerPort", "keepercontainerOrgId", "diskType", "keepers", "redisIp",
          "redisPort", "keepercontainerId", "keeperPriority", "sentinels", "sentinelGroupId", "sentinelIp", "sentinelPort", "ticketId", "clusters", "fromIdc", "toIdc", "mode", "policy", "event", "migrationClusters",
          "dc", "cluster", "shard", "redis", "replId", "offset", "promotedOffset", "bytes", "why", "reason", "wallMs")


NOTHING = (b"", b'{"results":[]}')  # how pages answer, and tickets


def filled(value):
    return json.dumps({name: value for name in FIELDS})


NOT_JSON = {
    "empty": b"", "blank": b"  ", "cut off": b'{"name": "x', "not JSON": b"name=x&y=z", "two values": b"{} {}",
    "trailing comma": b'{"name":"x",}', "duplicate keys": b'{"name":"x","name":"y"}', "1e400": b'{"orgId":1e400}',
    "1e19": b'{"orgId":10000000000000000000}', "a number of 400 digits": b'{"orgId":' + b"9" * 400 + b"}",
    "NaN": b'{"orgId":NaN}', "bytes FF FE": b'{"name":"\xff\xfe"}', "overlong UTF-8": b'{"name":"\xc0\xaf"}',
    "a lone surrogate": b'{"name":"\\ud800"}', "NUL": b'{"name":"a\\u0000b"}', "raw NUL": b'{"name":"a\0b"}',
    "BOM and UTF-16": '{"name":"x"}'.encode("utf-16"), "100,000 arrays deep": b"[" * 100000 + b"]" * 100000,
    "100,000 objects deep": b'{"a":' * 100000 + b"1" + b"}" * 100000,
}
WRONG_JSON = {
    "null": b"null", "true": b"true", "a number": b"5", "a text": b'"x"', "an array in an array": b"[[[]]]", "an empty object": b"{}",
    "null for everything": filled(None).encode(), "numbers for everything": filled(5.5).encode(), "objects for everything": filled({}).encode(),
    "arrays for everything": filled([[]]).encode(), "true for everything": filled(True).encode(), "-0 for everything": filled(-0.0).encode(),
    "5e9 for everything": filled(5000000000).encode(), "6379.0 for everything": filled(6379.0).encode(),
    "2^63-1 for everything": filled(2**63 - 1).encode(), "-1 for everything": filled(-1).encode(),
    "a list of wrong objects": ("[" + filled({}) + "]").encode(), "a list of nulls": b"[null]", "a list of numbers": b"[1,2.5,-0]",
}


def send(console, method, path, data, **headers):
    return console._session.request(method, console.url + path, data=data, timeout=20,
                                    headers={"Content-Type": "application/json", **headers})


def refused(answer):
    """Text of the refusal; each has one, in the shape of its face."""
    body = answer.json()
    assert answer.status_code in (200, 400, 404, 409, 413, 422, 500, 501), answer.text
    assert body.get("state") == -1 or "exception" in body or body.get("type") == "about:blank", answer.text
    assert "INTERNAL" not in answer.text, answer.text
    why = body.get("message") or body["detail"]
    assert "\n" not in why, answer.text
    return why


@pytest.mark.parametrize("endpoint", body_endpoints(), ids=lambda e: f"{e[0]} {e[1]}")
def test_a_body_that_cannot_be_taken(console, endpoint):
    method, path, limit = endpoint
    before = version(console)
    with Trial(console, grow_mb=150):
        for name, data in NOT_JSON.items():
            for headers in ({}, STRICT):
                why = refused(send(console, method, path, data, **headers))
                assert "body" in why or "JSON" in why, (name, why)
        for name, data in WRONG_JSON.items():
            answer = send(console, method, path, data, **STRICT)
            is_nothing_to_do = answer.status_code == 200 and answer.content in NOTHING
            if not is_nothing_to_do and (answer.status_code != 200 or answer.json().get("state") != 0):
                refused(answer)
        assert "larger than" in refused(send(console, method, path, b" " * (limit + 1)))
    # [] and {} may say "nothing to do"; nothing of this may be stored.
    assert version(console) == before
    console.get("/api/stats")


def test_each_endpoint_with_a_body_was_found():
    found = {f"{m} {p}" for m, p, _ in body_endpoints()}
    assert {"POST /api/clusters", "POST /api/shards/demo", "POST /api/redises/jq/demo/s1", "POST /api/route", "DELETE /api/proxy"} <= found
    assert NO_BODY <= {f"{m} {p}" for m, p, _ in endpoints()}


def test_deep_and_wide_bodies_are_bounded(console):
    """16 MiB of small values would be gigabytes once parsed."""
    with Trial(console, grow_mb=120):
        threads = [threading.Thread(target=lambda: requests.post(f"{console.url}/api/shards/demo", data=b"[" + b"[]," * 5000000 + b"[]]",
                                                                 headers={"Content-Type": "application/json"}, timeout=60))
                   for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert console.get("/api/stats")


PORTS = ["10.9.9.9:0", "10.9.9.9:65536", "10.9.9.9:5000000000", "10.9.9.9:-1", "10.9.9.9:6379.0", "10.9.9.9:1e3", "10.9.9.9: 6379",
         "10.9.9.9:+6379", "10.9.9.9:0x10", "10.9.9.9:", "10.9.9.9", ":6379", "", "[::1:6379", "10.9.9:6379", "10.9.9.9.9:6379",
         "redis.example.com:6379", "localhost:6379", "10.9.9.9:6379\r\nSLAVEOF no one", "10.9.9.9\u0000:1", "x" * 70000 + ":1"]


@pytest.mark.parametrize("address", PORTS, ids=lambda a: ascii(a)[:40])
def test_an_address_that_is_none(console, address):
    before = version(console)
    for path, body in (("/api/redises/jq/demo/s1", [address]), ("/api/redises/jq/demo/s1", [{"addr": address}]),
                       ("/api/shards/demo/s1", [{"dcId": "jq", "redises": address}])):
        refused(send(console, "POST", path, json.dumps(body)))
    assert version(console) == before


# ---- names ----

BAD_NAMES = ["a/b", "..", ".", "a\r\nb", "a\tb", "a\x7fb", " a", "a ", "x" * 129, "x" * 65536, "zero\u200bwidth", "rtl\u202eeman",
             "\ufeffbom", "nb\u00a0sp", "c1\u0085", "tag\U000e0041"]
ODD_NAMES = ["it's", 'q"uote', "back\\slash", "'; DROP TABLE cluster_tbl; --", "100%", "a%2fb", "a?b#c", "\U0001f600", "e\u0301", "\u00e9",
             "\u0430dmin", "{}", "<script>", "a b", "$(reboot)", "null", "../..%2f".replace("/", "_")]


def creations(name):
    """(what the refusal must name, method, path, body) of everything that can be called so."""
    return [("zone name", "POST", "/api/zone", {"name": name}), ("dc_name", "POST", "/api/dc", {"zone_id": 1, "dc_name": name}),
            ("clusterName", "POST", "/api/clusters", cluster_body(name)),
            ("shardName", "POST", "/api/shards/demo", [{"shardName": name, "shardMonitorName": name}])]


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda n: ascii(n)[:30])
def test_a_name_that_is_refused(console, name):
    before = version(console)
    for field, method, path, body in creations(name):
        why = refused(send(console, method, path, json.dumps(body)))
        assert field.split()[-1] in why or "clusterName" in why, why
        assert len(why) < 300 and why.isprintable(), why
    assert version(console) == before


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda n: ascii(n)[:30])
def test_an_odd_name_is_kept_as_it_is(console, name):
    """Clusters and shards take any visible text; in paths, bodies, documents and back; DCs only what all programs fold alike."""
    path = requests.utils.quote(name, safe="")
    console.post("/api/clusters", cluster_body(name))
    console.post(f"/api/shards/{path}/{path}", [{"dcId": "jq", "redises": "10.0.7.1:6379"}])
    assert console.get(f"/api/cluster/{path}")["clusterName"] == name
    assert console.get("/api/cluster/all", params={"clusterName": name})["shards"][0]["shardName"] == name
    assert name in console.get("/api/dc/jq")["clusters"]
    assert console.get("/api/redis/info/10.0.7.1/6379") == {"dcId": "jq", "clusterId": name, "shardId": name}
    console.delete(f"/api/cluster/{path}?checkEmpty=false")
    assert name not in console.get("/api/dc/jq")["clusters"]
    if not re.fullmatch(r"[\w.-]+", name, re.ASCII):
        assert "dc_name" in refused(send(console, "POST", "/api/dc", json.dumps({"zone_id": 1, "dc_name": name})))


def test_names_that_are_words_of_paths_are_refused(console):
    """GET /api/cluster/all and DELETE /api/shards/{cluster}/sync mean something else: such objects could not be reached."""
    for name in ("all", "ALL"):
        assert "clusterName must not be 'all'" in refused(send(console, "POST", "/api/clusters", json.dumps(cluster_body(name))))
    for name in ("sync", "Regions"):
        body = [{"shardName": name, "shardMonitorName": name}]
        assert "shardName must not be" in refused(send(console, "POST", "/api/shards/demo", json.dumps(body)))


TEXTS = {"clusterAdminEmails": ["a", "a@", "@b", "a@b@c", "a@b c", "a@b\r\nBcc: x@y", "a@b'--", "\u0430@b.c\u200b", "x" * 2000 + "@b", ""],
         "desc": ["", "x" * 65536, "nul\u0000", "esc\u001b[31m"],
         "clusterType": ["", "bi-direction", "ONE_WAY\u0000", "x" * 65536, "HETERO"]}


@pytest.mark.parametrize("field, text", [(f, t) for f, ts in TEXTS.items() for t in ts], ids=lambda v: ascii(v)[:30])
def test_a_text_that_is_refused(console, field, text):
    before = version(console)
    why = refused(send(console, "POST", "/api/clusters", json.dumps(cluster_body("texts", **{field: text}))))
    assert len(why) < 300
    assert version(console) == before


# ---- DCs ----

def swapped(name):
    return name.swapcase()


def test_dc_names_are_folded_and_shown_as_stored(workspace):
    """D13: mixed case everywhere a DC is named; what is shown is what was stored."""
    console = make(workspace).start()
    install(console, ("Jq", "FRA-aws"))
    assert "already exists" in refused(send(console, "POST", "/api/dc", json.dumps({"zone_id": 1, "dc_name": "jQ"})))
    console.post("/api/clusters", cluster_body(dcs=("jQ", "fra-AWS")))
    assert "appears twice" in refused(send(console, "POST", "/api/clusters", json.dumps(cluster_body("two", ("JQ", "jq")))))
    console.post("/api/shards/demo/s1", [{"dcId": "JQ", "redises": "10.1.0.1:6379"}, {"dcId": "Fra-Aws", "redises": "10.1.0.2:6379"}])
    console.post("/api/redises/fRA-aWS/DEMO/S1", ["10.1.0.3:6379"])
    for uri, dc in (("PROXYTCP://10.1.1.1:80", "JQ"), ("PROXYTLS://10.1.1.2:443", "FRA-AWS")):
        console.post("/api/proxy", {"uri": uri, "dcName": dc, "active": True})
    console.post("/api/route", {"srcDcName": "JQ", "dstDcName": "FRA-AWS", "srcProxyIds": "1", "dstProxyIds": "2", "optionProxyIds": "",
                                "tag": "META", "orgId": 0, "active": True, "public": True})
    console.put("/api/dc", {"dc_name": "JQ", "description": "new"})
    assert [d["dc_name"] for d in console.get("/api/dc")["payload"]] == ["Jq", "FRA-aws"]
    assert console.get("/api/cluster/demo")["dcs"] == ["Jq", "FRA-aws"]
    assert {r["dcId"] for r in console.get("/api/shards/demo")} == {"Jq", "FRA-aws"}
    assert console.get("/api/redises/fra-aws/demo/s1") == ["10.1.0.2:6379", "10.1.0.3:6379"]
    assert console.get("/api/redis/info/10.1.0.3/6379")["dcId"] == "FRA-aws"
    one, two = (console.request("GET", f"/api/dc/{name}") for name in ("jq", "JQ"))
    assert one.content == two.content and one.headers["ETag"] == two.headers["ETag"]
    assert one.json()["id"] == "Jq" and one.json()["clusters"]["demo"]["dcs"] == "FRA-aws,Jq"
    assert len(one.json()["routes"]) == 1
    console.delete("/api/redises/FRA-AWS/demo/s1", ["10.1.0.2:6379", "10.1.0.3:6379"])
    console.delete("/api/clusters/demo/dcs/fra-aws")
    assert_clean(console)


def test_a_crdt_cluster_has_15_dcs_at_most(workspace):
    """A gid is 1..15 and each DC has its own: a 16th would have none. gids themselves are no input of the console."""
    console = make(workspace).start()
    dcs = [f"dc{i}" for i in range(1, 17)]
    install(console, dcs)
    assert "at most 15" in refused(send(console, "POST", "/api/clusters", json.dumps(cluster_body("wide", dcs))))
    console.post("/api/clusters", cluster_body("wide", dcs[:15]))
    assert "15 DCs already" in refused(send(console, "POST", "/api/clusters/wide/dcs/dc16", None))
    console.post("/api/clusters", cluster_body("local", dcs, clusterType="LOCAL_DC"))
    assert_clean(console)


def test_a_locked_cluster_is_not_changed(workspace):
    """D6: a cluster under migration. Nothing in this issue locks one, so the test does."""
    console = make(workspace).start()
    install(console)
    console.post("/api/clusters", cluster_body())
    console.post("/api/shards/demo/s1", [{"dcId": "jq", "redises": "10.2.0.1:6379"}])

    def set_status(status):
        db = sqlite3.connect(console.db_path)
        db.execute("UPDATE cluster_tbl SET status = ?", (status,))
        db.commit()
        db.close()
    calls = [("POST", "/api/redises/jq/demo/s1", ["10.2.0.2:6379"]), ("DELETE", "/api/redises/jq/demo/s1", ["10.2.0.1:6379"]),
             ("POST", "/api/shards/demo/s2", [{"dcId": "jq", "redises": "10.2.0.3:6379"}]),
             ("POST", "/api/shards/demo", [{"shardName": "s3", "shardMonitorName": "s3"}]), ("DELETE", "/api/shards/demo/s1", None),
             ("DELETE", "/api/cluster/demo?checkEmpty=false", None)]
    set_status("Migrating")
    before = version(console)
    for method, path, body in calls:
        assert "status Migrating" in refused(send(console, method, path, body and json.dumps(body)))
    assert version(console) == before
    set_status("Normal")
    for method, path, body in calls[:-1]:
        console.write(method, path, body)
    assert_clean(console)


# ---- metaservers ----

def garbage(connection, *_):
    connection.sendall(os.urandom(5000))


def nothing(connection, *_):
    wait_closed(connection)


def hang_up(connection, *_):
    reset(connection)


def endless(connection, *_):
    flood(connection, b"x" * 65536, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3FFFFFFF\r\n")


def endless_header(connection, *_):
    flood(connection, b"X-A: " + b"a" * 65536 + b"\r\n", b"HTTP/1.1 200 OK\r\n")


def slow(connection, *_):
    drip(connection, http_answer({"state": 0, "x": "y" * 500}), 0.2)


def cut_off(connection, *_):
    connection.sendall(http_answer({"a": "b" * 1000})[:200])


def says(status, headers=("Content-Length: 0",)):
    return lambda connection, *_: connection.sendall(
        ("\r\n".join([f"HTTP/1.1 {status} X", *headers]) + "\r\n\r\n").encode())


NEIGHBORS = {"garbage": garbage, "nothing": nothing, "a reset": hang_up, "an endless body": endless, "an endless header": endless_header,
             "one byte a time": slow, "half an answer": cut_off, "500": says(500), "404 with a length of 1 TB": says(404, ("Content-Length: 1099511627776",)),
             "a redirect to itself": says(302, ("Location: /", "Content-Length: 0")), "a redirect to a file": says(301, ("Location: file:///etc/passwd",)),
             "101": says(101, ("Upgrade: x",)), "status 999": says(999)}


@pytest.fixture(scope="module")
def pushing(tmp_path_factory):
    """A console with a metaserver that misbehaves (jq) and one that does not (oy)."""
    from harness.processes import Workspace
    told = {"jq": [], "oy": []}

    def taker(dc):
        def reply(connection, method, path, body):
            told[dc].append(path)
            connection.sendall(http_answer(b""))
        return reply
    with Workspace("pushing") as workspace, RawHttp() as jq, RawHttp() as oy:
        oy.reply = taker("oy")
        jq.reply = jq.good = taker("jq")
        c = make(workspace, **{"console.notify.timeout.ms": 400, "console.notify.connect.timeout.ms": 200, "console.notify.retry.min.ms": 20,
                               "console.notify.retry.max.ms": 100, "console.notify.poll.ms": 50})
        c.set_metaservers({"jq": jq.url, "oy": oy.url})
        c.start()
        install(c)
        yield c, jq, told
        assert_clean(c)


@pytest.mark.parametrize("kind", NEIGHBORS, ids=str)
def test_a_metaserver_that_misbehaves(pushing, kind):
    """The other DC is told at once, memory stays bounded, and the push arrives when the metaserver is sound again."""
    console, jq, told = pushing
    name = "c-" + re.sub(r"\W+", "-", kind)
    pushed = f"/api/meta/clusterchange/{name}"
    jq.reply = NEIGHBORS[kind]
    tried = len(jq.requests)
    with Trial(console, grow_mb=60):
        console.post("/api/clusters", cluster_body(name))
        wait_until(lambda: pushed in told["oy"], what="the other DC to be told")
        wait_until(lambda: len(jq.requests) >= tried + 3, what="tries")
        assert console.get("/api/stats") and pushed not in told["jq"]
        assert console.metrics()["xpipe_notify_queue_rows"] >= 1
        jq.reply = jq.good
        wait_until(lambda: pushed in told["jq"], what="the push to arrive")
        wait_until(lambda: console.metrics()["xpipe_notify_queue_rows"] == 0, what="nothing to be left")


# ---- the clock ----

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


def test_a_clock_set_an_hour_back_and_forth(workspace):
    """Only the wall clock jumps, as when somebody sets it: versions rise, pushes arrive in time, the log's chain holds."""
    if not Path(FAKETIME).exists():
        pytest.skip(f"{FAKETIME} is missing: make deps")
    told = []

    def reply(connection, method, path, body):
        told.append(json.loads(body)["version"] if method == "PUT" else None)
        connection.sendall(http_answer(b""))
    offset = workspace.dir / "offset"

    def set_clock(text):
        offset.with_suffix(".new").write_text(text + "\n")
        offset.with_suffix(".new").rename(offset)
    set_clock("+0")
    with RawHttp(reply) as metaserver:
        console = make(workspace, **{"console.notify.poll.ms": 60000})
        console.set_metaservers({"jq": metaserver.url})
        # A sanitizer must come first; it is told not to insist.
        console.env = {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1",
                       "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
                       "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
        console.start()
        install(console)
        console.post("/api/clusters", cluster_body())
        wait_until(lambda: told, what="the first push")
        seen = []
        for step, text in enumerate(("-3600", "+3600", "-7200", "+0")):
            set_clock(text)
            last, stretch = told[-1], Stretch()
            console.put("/api/cluster", {"clusterName": "demo", "desc": f"step {step}"})
            wait_until(lambda: told[-1] > last, 5, what=f"a push after the clock was set to {text}")
            document = console.request("GET", "/api/dc/jq")
            assert document.json()["version"] == told[-1]
            seen.append(told[-1])
            same = console.request("GET", "/api/dc/jq", headers={"If-None-Match": document.headers["ETag"]})
            assert same.status_code == 304
            assert stretch.took_s < 6 and console.readiness()[0]
        assert seen == sorted(set(seen))
        db = sqlite3.connect(console.db_path)
        stamps = [ms / 1000 - time.time() for ms, in db.execute("SELECT wall_ms FROM change_log ORDER BY idx")][-4:]
        db.close()
        for stamp, wanted in zip(stamps, (-3600, 3600, -7200, 0)):
            assert abs(stamp - wanted) < 120, f"the clock was not set: {stamps}"
        check_chain(console.db_path)
        assert_clean(console)
