"""What must never happen: harmful commands, mass removals, hammering, slots with two owners.

The other DCs, and the console, are scripted where a real one could not be made to answer so.
"""
import json
import re
import time

import pytest

from harness.cluster import World
from harness.processes import HOST, Workspace, stays, wait_until
from harness.daemons import Meta
from harness.scripted import ScriptedConsole, ScriptedMetaserver

HOME, XPIPE_DC, JAVA_DC = "jq", "fra", "oy"
POLL_MS = 200
POLLS_S = 1.2          # six polls: long enough to see a command that should not come
FAST = {"meta.poll.milli": POLL_MS, "meta.poll.fast.milli": 100, "meta.peermaster.refresh.milli": 500}
NAME = ("demo", "s1")


# another DC tells nonsense


@pytest.fixture(scope="module")
def scripted():
    with ScriptedMetaserver() as xpipe, ScriptedMetaserver(java=True) as java:
        yield {XPIPE_DC: xpipe, JAVA_DC: java}


@pytest.fixture(scope="module")
def world(zookeepers, scripted):
    """One real metaserver in HOME; the Redis of the other DCs are real, their metaservers are scripted."""
    w = World(dcs=[HOME, XPIPE_DC, JAVA_DC], replicas=1, zookeepers=[zookeepers[0]] * 3, namespace="safeguards",
              redis_times={"tick_ms": 100, "lazy_ms": 0}, meta_settings=FAST)
    with w:
        urls = {dc: s.url for dc, s in scripted.items()}
        for dc, url in urls.items():
            w.workspace.forget(w.dcs[dc].meta)
            w.dcs[dc].metas = []
        meta = w.dcs[HOME].meta
        meta.set_addresses(w.console.url, {HOME: meta.url, **urls})
        w.console.set_metaservers({HOME: meta.url, **urls})
        w.start()
        tell_truth(w, scripted)
        w.create_cluster()
        wait_pulling(w)
        yield w


def tell_truth(world, scripted):
    for dc, server in scripted.items():
        server.masters = {NAME: truth(world, dc)}


def truth(world, dc):
    return world.dcs[dc].gid, HOST, world.master(dc).port


def wait_pulling(world):
    """HOME pulls from the masters of both other DCs."""
    def pulling():
        peers = world.peers(HOME)
        for dc in (XPIPE_DC, JAVA_DC):
            gid, host, port = truth(world, dc)
            assert peers[gid].address == f"{host}:{port}" and peers[gid].up, f"{dc}: {peers.get(gid)}"
        return True
    wait_until(pulling, 20, "links to both other DCs")


@pytest.fixture
def calm(world, scripted):
    tell_truth(world, scripted)
    ask_again(world)
    wait_until(lambda: not any(link["lastError"] for link in links(world).values()), 15, "no pause after an odd answer")
    wait_pulling(world)
    wait_until(lambda: verdicts(world) == {XPIPE_DC: "OK", JAVA_DC: "OK"}, 10, "the verdicts")
    world.clear_logs()
    return world


def links(world):
    return world.dcs[HOME].meta.get("/api/meta/v2/links")


def ask_again(world):
    """Another DC says that its master changed: HOME asks for it at once, also the one that has no batches."""
    for dc in (XPIPE_DC, JAVA_DC):
        assert world.dcs[HOME].meta.request("PUT", f"/api/meta/upstreampeerchange/{dc}/demo/s1").status_code == 200


def peers_state(world, dc=HOME):
    return world.dcs[dc].meta.get("/api/meta/v2/peers/demo/s1")


def verdicts(world, dc=HOME):
    return {p["dc"]: p["verdict"] for p in peers_state(world, dc)["peers"]}


def commands(world, dc=HOME):
    return [" ".join(words) for words in world.peerofs(dc)]


NONSENSE = {
    "gid-16": (lambda w, dc: (16, HOST, 6379), "BAD_GID"),
    "gid-0": (lambda w, dc: (0, HOST, 6379), "BAD_GID"),
    "gid-negative": (lambda w, dc: (-1, HOST, 6379), "BAD_GID"),
    "gid-own": (lambda w, dc: (w.dcs[HOME].gid, HOST, 6379), "BAD_GID"),
    "host-name": (lambda w, dc: (w.dcs[dc].gid, "redis.example.com", 6379), "BAD_TARGET"),
    "host-no": (lambda w, dc: (w.dcs[dc].gid, "no", 6379), "BAD_TARGET"),
    "the-master-itself": (lambda w, dc: (w.dcs[dc].gid, HOST, w.master(HOME).port), "BAD_TARGET"),
}


@pytest.mark.parametrize("dc", [XPIPE_DC, JAVA_DC])
@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_from_another_dc_reaches_no_redis(calm, scripted, dc, nonsense):
    make, verdict = NONSENSE[nonsense]
    other = JAVA_DC if dc == XPIPE_DC else XPIPE_DC
    pid, peers = calm.master(HOME).pid, calm.peers(HOME)
    scripted[dc].masters[NAME] = make(calm, dc)
    ask_again(calm)
    wait_until(lambda: verdicts(calm)[dc] == verdict, 5, f"the verdict {verdict}")
    stays(lambda: not commands(calm), POLLS_S, "no command")
    assert verdicts(calm)[other] == "OK"
    assert calm.master(HOME).pid == pid and not calm.master(HOME).would_have_crashed()
    assert {g: p.address for g, p in calm.peers(HOME).items()} == {g: p.address for g, p in peers.items()}


@pytest.mark.parametrize("claimer", [XPIPE_DC, JAVA_DC])
def test_gid_claimed_by_two_dcs_touches_neither(calm, scripted, claimer):
    other = JAVA_DC if claimer == XPIPE_DC else XPIPE_DC
    scripted[claimer].masters[NAME] = (calm.dcs[other].gid, HOST, 6379)
    ask_again(calm)
    wait_until(lambda: verdicts(calm)[claimer] == verdicts(calm)[other] == "BAD_GID", 5, "both verdicts")
    stays(lambda: not commands(calm), POLLS_S, "no command")
    notes = {p["dc"]: p["note"] for p in peers_state(calm)["peers"]}
    assert "two DCs" in notes[claimer] and "two DCs" in notes[other]


@pytest.mark.parametrize("answer", [b"", b"null", b"{", b"[]", b'{"masters":7}', b'{"masters":[null,7,["demo"]]}',
                                    b'{"masters":[["demo","s1","2","127.0.0.1",6379]]}',
                                    b'{"masters":[["demo","s1",2,"127.0.0.1",70000]]}'])
def test_unreadable_answers_change_nothing(calm, scripted, answer):
    before = verdicts(calm)
    servers = list(scripted.values())
    for server in servers:
        server.answer = lambda method, path, body: (200, answer)
    try:
        seen = [len(s.requests) for s in servers]
        ask_again(calm)
        wait_until(lambda: all(len(s.requests) > n for s, n in zip(servers, seen)), 5, "the questions")
        stays(lambda: not commands(calm) and verdicts(calm) == before, 3 * POLL_MS / 1000, "nothing changes")
    finally:
        for server in servers:
            del server.answer


def test_java_metaserver_is_asked_and_told_shard_by_shard(calm, scripted):
    java, xpipe = scripted[JAVA_DC], scripted[XPIPE_DC]
    assert {dc: link["kind"] for dc, link in links(calm).items()} == {JAVA_DC: "java", XPIPE_DC: "xpipe"}
    java.requests.clear()
    xpipe.requests.clear()
    new = calm.fail_over(HOME, kill_master=False)
    wait_until(lambda: java.seen("PUT", f"/api/meta/upstreampeerchange/{HOME}/demo/s1"), 5, "the notice in the Java DC")
    notices = wait_until(lambda: xpipe.seen("POST", "/api/meta/v2/peerchanges"), 5, "the notice in the other DC")
    assert notices[0][2] == {"dc": HOME, "shards": [list(NAME)]}
    assert calm.dcs[HOME].meta.get("/api/meta/getpeermaster/demo/s1")["port"] == new.port
    ask_again(calm)
    wait_until(lambda: java.seen("GET", "/api/meta/getpeermaster/demo/s1"), 5, "a single request")
    assert not java.seen("POST", "/api/meta/v2/")
    assert not xpipe.seen("GET", "/api/meta/getpeermaster")


# a Redis that refuses, is silent, cannot write its file


def corrections(meta, result):
    return meta.metrics().get(f'xpipe_meta_corrections_total{{result="{result}"}}', 0)


def spoil(master, gid, command, *words):
    """A peer is removed, and what corrects it meets a fault from the first command on."""
    master.at_once(("PEEROF", gid, "no", "one"), (f"STANDIN.{command}", *words))


def test_refusing_redis_is_not_asked_again_at_once(calm):
    gid = calm.dcs[XPIPE_DC].gid
    master, meta = calm.master(HOME), calm.dcs[HOME].meta
    refused = corrections(meta, "refused")
    spoil(master, gid, "FAIL", "peerof", "ERR not today")
    try:
        wait_until(lambda: corrections(meta, "refused") > refused, 10, "a refusal")
        sent = len(commands(calm))
        stays(lambda: len(commands(calm)) == sent, 2.5, "no repeat within the pause of 60 s")
        assert re.search(r"warn \S+ correction\.failed .*reply=\"ERR not today\" pause_ms=60000", meta.log_path.read_text())
        state = peers_state(calm)
        assert "backing off" in state["held"]
        assert next(p for p in state["peers"] if p["gid"] == gid)["lastAction"]["reply"] == "ERR not today"
    finally:
        master.standin("FAIL", "peerof", "off")
    assert meta.request("PUT", "/api/meta/v2/correction/demo/s1/on").status_code == 200
    wait_pulling(calm)


def test_config_that_cannot_be_written(calm):
    """The command drops the peer then (metaserver.md 8.4): an error, a pause, and put right when asked again."""
    gid = calm.dcs[XPIPE_DC].gid
    master, meta = calm.master(HOME), calm.dcs[HOME].meta
    refused = corrections(meta, "refused")
    spoil(master, gid, "REWRITE-FAIL", "on")
    try:
        wait_until(lambda: corrections(meta, "refused") > refused, 10, "a refusal")
        sent = len(commands(calm))
        stays(lambda: len(commands(calm)) == sent, POLLS_S, "no repeat within the pause")
    finally:
        master.standin("REWRITE-FAIL", "off")
    assert meta.request("PUT", "/api/meta/v2/correction/demo/s1/on").status_code == 200
    wait_pulling(calm)


def test_silent_redis_is_read_back_before_anything_is_repeated(calm):
    gid = calm.dcs[XPIPE_DC].gid
    master, meta = calm.master(HOME), calm.dcs[HOME].meta
    unknown = corrections(meta, "unknown")
    spoil(master, gid, "FAIL", "peerof", "hang")
    try:
        wait_until(lambda: corrections(meta, "unknown") > unknown, 10, "a time-out")
    finally:
        master.standin("FAIL", "peerof", "off")
    wait_pulling(calm)
    calm.clear_logs()
    stays(lambda: not commands(calm), POLLS_S, "nothing more is sent")


# versions


@pytest.fixture(scope="module", params=["1.0.12", "absent"])
def old_world(request, zookeepers):
    w = World(dcs=[HOME, XPIPE_DC], zookeepers=[zookeepers[0], zookeepers[1]], proxied=[(HOME, XPIPE_DC)],
              namespace=f"version-{request.param}", redis_times={"tick_ms": 100, "lazy_ms": 0, "version": request.param},
              meta_settings=FAST)
    with w:
        w.start()
        w.create_cluster()
        yield w


def test_route_is_never_sent_to_a_redis_that_would_ignore_it(old_world):
    for dc, other in ((HOME, XPIPE_DC), (XPIPE_DC, HOME)):
        wait_until(lambda: verdicts(old_world, dc) == {other: "OLD_VERSION"}, 20, f"the verdict in {dc}")
    stays(lambda: not any(commands(old_world, dc) for dc in (HOME, XPIPE_DC)), POLLS_S, "no command")
    assert old_world.dcs[HOME].meta.metrics()['xpipe_meta_peers{verdict="OLD_VERSION"}'] == 1
    assert "OLD_VERSION" in old_world.dcs[HOME].meta.log_path.read_text()
    for dc in (HOME, XPIPE_DC):  # an upgrade: the connection ends, the version is read again
        old_world.master(dc).set("version", "1.0.22")
        old_world.master(dc).run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    old_world.wait_linked()


# the document


@pytest.fixture(scope="module")
def script():
    with ScriptedConsole(HOME) as console:
        yield console


MEMBER = {"zk.session.timeout.milli": 10000, "leader.check.milli": 1000, "meta.refresh.milli": 300, **FAST}


@pytest.fixture(scope="module")
def members(zookeepers, script):
    """Two metaservers of one DC that read the scripted console."""
    script.serve_clusters(range(1, 31))
    with Workspace("members") as w:
        metas = [Meta(w, f"meta-{i}", HOME, i, zookeepers[0], MEMBER, "members") for i in (1, 2)]
        for m in metas:
            m.set_addresses(script.url, {HOME: metas[0].url})
            m.start(wait=False)
        for m in metas:
            m.wait_ready()
        wait_until(lambda: all(m.readiness()[0] for m in metas), 20, "both to be ready")
        wait_until(lambda: is_shared_out(metas), 20, "the slots to be shared")
        yield metas


def slots_of(meta):
    return set(meta.get("/api/metacluster/debug")["inchargeSlots"])


def is_shared_out(metas):
    first, second = map(slots_of, metas)
    return not first & second and len(first | second) == 256 and min(len(first), len(second)) > 60


def served(metas):
    return sorted(int(s["cluster"][1:]) for m in metas for s in m.get("/api/current/debug")["shards"])


def fetches(meta, result):
    return meta.metrics()[f'xpipe_meta_document_fetches_total{{result="{result}"}}']


def wait_fetched(metas, result="ok"):
    before = [fetches(m, result) for m in metas]
    wait_until(lambda: all(fetches(m, result) >= b + 2 for m, b in zip(metas, before)), 10, f"two fetches: {result}")


@pytest.fixture
def thirty(members, script):
    script.serve_clusters(range(1, 31))
    for m in members:
        m.request("POST", "/api/meta/v2/quarantine/accept")
    wait_until(lambda: served(members) == list(range(1, 31)), 10, "30 clusters")
    wait_fetched(members)  # what is accepted was this document, not the test's
    return members


def quarantine(meta):
    return meta.get("/api/meta/v2/quarantine")


def test_many_missing_clusters_are_kept_until_accepted(thirty, script):
    script.serve_clusters([*range(1, 10), *range(101, 126)])  # 21 less, 25 more
    everything = [*range(1, 31), *range(101, 126)]
    wait_until(lambda: served(thirty) == everything, 10, "the additions")
    wait_fetched(thirty)
    assert served(thirty) == everything
    for m in thirty:
        shown = quarantine(m)
        assert shown["held"] == 21 and sorted(shown["clusters"]) == sorted(f"c{i}" for i in range(10, 31))
        assert m.metrics()["xpipe_meta_document_held_changes"] == 21
        assert "document.held removed=21" in m.log_path.read_text()
    assert thirty[0].request("POST", "/api/meta/v2/quarantine/accept").json() == {"accepted": True}
    wait_until(lambda: served(thirty) == [*range(1, 10), *range(101, 126)], 10, "the accepted removals, in both members")
    wait_until(lambda: all(quarantine(m)["held"] == 0 for m in thirty), 5, "an empty quarantine")


def test_few_missing_clusters_are_removed(thirty, script):
    script.serve_clusters(range(1, 11))  # 20 less: the limit itself
    wait_until(lambda: served(thirty) == list(range(1, 11)), 10, "the removals")


def document_bytes(script, **changes):
    return json.dumps({**script.document, **changes}).encode()


BAD_DOCUMENTS = {
    "id-null": lambda s: document_bytes(s, id=None, clusters={}),
    "other-dc": lambda s: document_bytes(s, id="fra", clusters={}),
    "nulls": lambda s: b'{"id":null,"clusters":null,"routes":null}',
    "truncated": lambda s: document_bytes(s)[:-7],
    "empty-body": lambda s: b"",
    "null": lambda s: b"null",
    "list": lambda s: b"[]",
    "html": lambda s: b"<html>gateway time-out</html>",
    "clusters-a-list": lambda s: document_bytes(s, clusters=[]),
}


@pytest.mark.parametrize("kind", BAD_DOCUMENTS)
def test_odd_document_changes_nothing(thirty, script, kind):
    script.document = BAD_DOCUMENTS[kind](script)
    wait_fetched(thirty[:1], "failed")
    assert served(thirty) == list(range(1, 31))
    assert quarantine(thirty[0])["lastError"]


def test_one_bad_cluster_spoils_itself_only(thirty, script):
    clusters = {**script.document["clusters"], "c5": {"id": "c5", "dbId": "five", "type": "BI_DIRECTION", "shards": {}},
                "c40": script.cluster(40)}
    script.document = script.empty(clusters=clusters)
    wait_until(lambda: 40 in served(thirty), 10, "the addition")
    wait_fetched(thirty)
    assert served(thirty) == [*range(1, 31), 40]


@pytest.mark.parametrize("versions", [(None, None), (7, 8)], ids=["no-versions", "versions"])
def test_deleted_while_a_slow_fetch_is_under_way_stays_deleted(members, script, versions):
    """The fetch carries the cluster, the push that deletes it comes first: it must not come back."""
    def fields(version):
        return {} if version is None else {"version": version}
    script.serve_clusters(range(1, 31), **fields(versions[0]))
    for m in members:
        m.request("POST", "/api/meta/v2/quarantine/accept")
    wait_until(lambda: served(members) == list(range(1, 31)), 10, "30 clusters")
    while script.held.acquire(blocking=False):
        pass
    script.hold()
    for _ in members:
        assert script.held.acquire(timeout=5), "a fetch under way in each member"
    marks = [m.log_path.stat().st_size for m in members]
    assert members[0].request("DELETE", "/api/meta/clusterchange/c3").status_code == 200
    without = [i for i in range(1, 31) if i != 3]
    assert served(members) == without
    wait_until(lambda: all("cluster.deleted cluster=c3 " in m.log_path.read_text()[mark:] for m, mark in zip(members, marks)), 5,
               "the deletion in both: nobody waits for the copy of the one that does not own it")
    script.serve_clusters(without, **fields(versions[1]))
    superseded = [fetches(m, "superseded") for m in members]
    script.release()
    wait_until(lambda: all(fetches(m, "superseded") > b for m, b in zip(members, superseded)), 5, "the old answer dropped")
    wait_fetched(members)
    assert served(members) == without
    for m, mark in zip(members, marks):
        assert not re.search(r"document\.applied .*added=[1-9]", m.log_path.read_text()[mark:])


# ZooKeeper


def test_zookeeper_nodes_have_the_documented_form(thirty):
    with thirty[0].zookeeper.client() as zk:
        base = "/members/metaserver"
        assert set(zk.get_children(base)) == {"leader", "servers", "slots"}
        assert sorted(zk.get_children(f"{base}/servers")) == ["1", "2"]
        for m in thirty:
            data, stat = zk.get(f"{base}/servers/{m.server_id}")
            known = {"ip": HOST, "port": m.port}
            shown = json.loads(data)
            assert {k: shown[k] for k in known} == known and set(shown) <= {"ip", "port", "startId", "dc"}
            assert data == json.dumps(shown, separators=(",", ":")).encode() and stat.ephemeralOwner != 0
        assert sorted(map(int, zk.get_children(f"{base}/slots"))) == list(range(256))
        owners = {s: m.server_id for m in thirty for s in slots_of(m)}
        for slot in range(256):
            data, stat = zk.get(f"{base}/slots/{slot}")
            assert data == b'{"serverId":%d,"slotState":"NORMAL","toServerId":0}' % owners[slot]
            assert stat.ephemeralOwner == 0
        latches = zk.get_children(f"{base}/leader")
        assert len(latches) == 2
        uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
        participants = {}
        for name in latches:
            assert re.fullmatch(f"_c_{uuid}-latch-[0-9]{{10}}", name), name
            data, stat = zk.get(f"{base}/leader/{name}")
            participants[name.rsplit("-", 1)[1]] = int(data)
            assert stat.ephemeralOwner != 0
        assert sorted(participants.values()) == [1, 2]
        leads = [m.server_id for m in thirty if m.get("/api/metacluster/debug")["leader"]]
        assert leads == [participants[min(participants)]]


def held_twice(metas):
    """Slots that one member held before and after a moment at which the other held them too."""
    first, second = metas
    before, middle, after = slots_of(first), slots_of(second), slots_of(first)
    return before & middle & after


def records(zk):
    return {n: json.loads(zk.get(f"/members/metaserver/slots/{n}")[0]) for n in range(256)}


def is_healed(zk, metas):
    owners = {s: m.server_id for m in metas for s in slots_of(m)}
    return is_shared_out(metas) and all(
        r == {"serverId": owners[n], "slotState": "NORMAL", "toServerId": 0} for n, r in records(zk).items())


def test_foreign_hands_in_the_slot_records_are_healed(thirty):
    path = "/members/metaserver/slots/%d"
    first, second = (sorted(slots_of(m)) for m in thirty)

    def record(owner, state="NORMAL", to=0):
        return json.dumps({"serverId": owner, "slotState": state, "toServerId": to}).encode()
    with thirty[0].zookeeper.client() as zk:
        began = time.monotonic()
        for n in first[:5] + second[:5]:
            zk.delete(path % n)
        for n in first[5:10]:
            zk.set(path % n, record(2))
        zk.set(path % second[5], record(1))
        zk.set(path % second[6], record(77))
        zk.set(path % second[7], record(2, "MOVING", 99))
        zk.set(path % second[8], record(88, "MOVING", 99))
        zk.set(path % second[9], record(2, "MOVING", 1))
        zk.set(path % first[10], b"garbage")
        zk.set(path % first[11], b"")
        zk.create("/members/metaserver/slots/odd", b"x")
        zk.create("/members/metaserver/servers/odd", b"x")

        def healed():
            assert not held_twice(thirty)
            return is_healed(zk, thirty)
        wait_until(healed, 15, "the records to be healed")
        print(f"healed after {time.monotonic() - began:.2f} s")
        stays(lambda: not held_twice(thirty), 0.5, "one owner")
        zk.delete("/members/metaserver/slots/odd")
        zk.delete("/members/metaserver/servers/odd")
    assert served(thirty) == list(range(1, 31))


def test_foreign_hands_in_registration_and_election_are_healed(thirty):
    with thirty[0].zookeeper.client() as zk:
        for n in zk.get_children("/members/metaserver/leader"):
            zk.delete(f"/members/metaserver/leader/{n}")
        zk.delete("/members/metaserver/servers/2")
        wait_until(lambda: sorted(zk.get_children("/members/metaserver/servers")) == ["1", "2"], 10, "the registration")
        wait_until(lambda: len(zk.get_children("/members/metaserver/leader")) == 2, 10, "the candidates")
        wait_until(lambda: sum(m.get("/api/metacluster/debug")["leader"] for m in thirty) == 1, 10, "one leader")
        wait_until(lambda: is_healed(zk, thirty), 15, "every slot served")
    assert all(m.readiness()[0] for m in thirty)
