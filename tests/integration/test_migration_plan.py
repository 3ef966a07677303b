"""The plan of a migration over /api/v2/migrations: what it says is what Redis and keepers then receive, its hash is refused when it does not hold any
more (also when a paused or waiting migration goes on), and a repeated request with the same Idempotency-Key makes nothing twice."""
import pytest
import redis

from harness.processes import wait_until
from harness.redis_server import Sentinel
from harness.switch import Drill, SwitchWorld

OURS = "xpipe-meta"  # how metaservers name their connections
PATH = "/api/v2/migrations"


OWN = {"min-slaves-to-write": "1", "min-slaves-max-lag": "7"}  # settings that no fence leaves


@pytest.fixture(scope="module")
def site(zookeepers):
    with SwitchWorld(zookeepers, "plans", meta_settings={"meta.sentinel.check.milli": 500}) as world:
        world.start()
        world.sentinels = {dc: sentinel_of(world, dc) for dc in ("jq", "fra")}
        yield world


def sentinel_of(world, dc):
    """A group of one, which every shard gets that is made afterwards."""
    sentinel = Sentinel(world.workspace, f"sentinel-{dc}").start()
    dc_id = next(d["dc_id"] for d in world.console.get("/api/dc")["payload"] if d["dc_name"] == dc)
    world.console.post("/api/sentinels", {"clusterType": "ONE_WAY", "sentinels": [
        {"dcId": dc_id, "sentinelIp": sentinel.ip, "sentinelPort": sentinel.port}]})
    return sentinel


class Listener:
    """What one Redis receives, by its slow log of everything (MONITOR shows no administration): the commands of connections that a metaserver
    opened since, and every change over an older one."""

    CHANGES = ("SLAVEOF", "CONFIG SET", "CONFIG REWRITE")
    LENGTH = 20000

    def __init__(self, server):
        self.client = redis.Redis(server.ip, server.port)
        self.client.config_set("slowlog-max-len", self.LENGTH)
        self.client.config_set("slowlog-log-slower-than", 0)
        self.client.slowlog_reset()

    def heard(self):
        connection = self.client.connection_pool.get_connection("SLOWLOG")
        connection.send_command("SLOWLOG", "GET", str(self.LENGTH))
        entries = reversed(connection.read_response())
        self.client.connection_pool.release(connection)
        known, heard = set(), []
        for _, _, _, words, who, *_ in entries:
            command = b" ".join(words).decode()
            if command.upper().startswith("CLIENT SETNAME " + OURS.upper()):
                known.add(who)
            elif who in known or command.upper().startswith(self.CHANGES):
                heard.append(command)
        return heard


def ask(site, status=200, headers=None, **body):
    answer = site.console.request("POST", PATH, body, headers=headers or {})
    assert answer.status_code == status, answer.text
    return answer.json()


def plan_of(site, name, to="fra", **more):
    answer = ask(site, **{"from": "jq", "to": to, "clusters": [name], "mode": "planned", "dryRun": True, **more})
    return answer["planHash"], answer["clusters"][0]["plan"]


def is_same(planned, heard):
    """The probe's key is random; the words of Redis' own settings may be in any case."""
    return heard.upper() == planned.upper() or (planned.startswith("DEL xpipe:fence:probe:") and heard.startswith("DEL xpipe:fence:probe:"))


def is_refused_write(step):
    """The proof of a fence: refused before it is carried out, so it is in no log."""
    return step["writesRefused"] and step["command"].startswith("DEL ")


def missing(planned, heard):
    """What is planned and was not heard, in that order."""
    rest = iter(heard)
    return [p for p in planned if not any(is_same(p, h) for h in rest)]


def watched(site, d, dc):
    """What the sentinel of the DC watches of the cluster, by monitor: the words that SENTINEL MONITOR would say."""
    sentinel, found = site.sentinels[dc], {}
    for row in sentinel.run("SENTINEL", "MASTERS"):
        master = dict(zip(row[::2], row[1::2]))
        if master["name"].startswith(f"{d.name}+"):
            found[master["name"]] = f"{master['name']} {master['ip']} {master['port']} {master['quorum']}"
    return found


def told(steps, sentinel, before):
    """What a sentinel that watches 'before' watches after those steps."""
    after = dict(before)
    for command in [s["command"].split() for s in steps if s["instance"] == sentinel.address]:
        name, rest = command[2], command[2:]
        assert command[:2] in (["SENTINEL", "REMOVE"], ["SENTINEL", "MONITOR"]) and ((name in after) == (command[1] == "REMOVE"))
        after.pop(name, None)
        if command[1] == "MONITOR":
            after[name] = " ".join(rest)
    return after


def settings_of(server):
    return {key: server.run("CONFIG", "GET", key)[1] for key in OWN}


def test_what_is_planned_is_what_redis_receives(site):
    with Drill(site, "asplanned", writers=False, prober=False, config=[f"{k} {v}" for k, v in OWN.items()]) as d:
        wait_until(lambda: len(watched(site, d, "jq")) == len(d.cluster.shards), 20, "the sentinel of the primary DC to watch")
        monitors = {dc: watched(site, d, dc) for dc in site.sentinels}
        assert not monitors["fra"]
        masters = [d.cluster.master(s) for s in d.cluster.shards]
        planned_hash, plan = plan_of(site, d.name)
        assert plan["end"] == "Success" and plan["mode"] == "planned", plan["reason"]
        assert 0 < plan["writeGap"]["predictedMs"] < 2000, plan["writeGap"]
        servers = {r.address: r for s in d.cluster.shards for r in d.redises(s)}
        steps = [s for s in plan["steps"] if s["target"] == "redis"]
        assert {s["instance"] for s in steps} == set(servers)
        assert any(s["writesRefused"] and s["command"].startswith("SLAVEOF NO ONE") for s in steps)
        for master in masters:
            back = [s["command"] for s in steps if s["instance"] == master.address and s["phase"] == "follow" and s["rule"] == "K50"
                    and not s["repeated"]]
            assert back == [f"CONFIG SET min-slaves-max-lag {OWN['min-slaves-max-lag']}",
                            f"CONFIG SET min-slaves-to-write {OWN['min-slaves-to-write']}", "CONFIG REWRITE"]
            assert all(s["when"] for s in steps if s["rule"] == "K50")
        at_sentinels = [s for s in plan["steps"] if s["target"] == "sentinel"]
        assert len(at_sentinels) == 2 * len(d.cluster.shards)
        listeners = {address: Listener(server) for address, server in servers.items()}
        event = ask(site, status=201, **{"from": "jq", "to": "fra", "clusters": [d.name], "mode": "planned", "planHash": planned_hash})
        assert site.console.request("POST", f"{PATH}/{event['id']}/process", None).status_code == 202
        d.tickets.append(event["id"])
        assert d.wait_rest(event["id"]) == "Success", d.timeline(event["id"])
        wait_until(lambda: plan_of_way_back(site, d.name), 20, "the tree to be right, and no fence to be left")
        for address, listener in listeners.items():
            heard = listener.heard()
            planned = [s["command"] for s in steps if s["instance"] == address and not s["command"].startswith("XSLAVEOF")
                       and not s["repeated"] and s["rule"][0] != "T" and not is_refused_write(s)]
            left = missing(planned, heard)
            if left:
                pytest.fail("\n".join([f"{address} did not receive", *left, "", "of what was planned:", *planned, "", "it received:", *heard]))
            trees = [s["command"] for s in steps if s["instance"] == address and s["rule"][0] == "T" and s["command"].startswith("SLAVEOF")]
            assert all(any(is_same(t, h) for h in heard) for t in trees), (address, trees, heard)
        assert all(settings_of(master) == OWN for master in masters)
        for dc, sentinel in site.sentinels.items():
            wanted = told(at_sentinels, sentinel, monitors[dc])
            wait_until(lambda: watched(site, d, dc) == wanted, 20, f"the sentinel of {dc} to watch {wanted}")


def plan_of_way_back(site, name):
    answer = site.console.request("POST", PATH, {"from": "fra", "to": "jq", "clusters": [name], "dryRun": True})
    plan = answer.json()["clusters"][0]["plan"] if answer.status_code == 200 else None
    assert plan and plan["end"] == "Success", answer.text[:500]
    return True


def test_a_plan_that_does_not_hold_is_refused(site):
    with Drill(site, "changed", writers=False, prober=False) as d:
        body = {"from": "jq", "to": "fra", "clusters": [d.name], "mode": "planned"}
        before, _ = plan_of(site, d.name)
        assert plan_of(site, d.name)[0] == before, "the same world, another plan"
        shard = d.cluster.shards[0]
        added = site.console.request("POST", f"/api/redises/fra/{d.name}/{shard}", ["127.0.0.9:16399"])
        assert added.json()["state"] == 0, added.text
        refused = ask(site, status=409, planHash=before, **body)
        assert "does not hold any more" in refused["detail"] and "127.0.0.9:16399" in refused["detail"], refused
        assert refused["planHash"] not in (before, None)
        assert site.console.get(f"/api/dc/jq/cluster/{d.name}")["status"] == "Normal", "nothing is locked"
        unknown = ask(site, status=409, planHash="sha256:" + "0" * 64, **body)
        assert "ask for a dry run" in unknown["detail"]
        bad = ask(site, status=400, planHash="1234", **body)
        assert bad["detail"].startswith("planHash: it is no hash")


def test_a_key_makes_one_migration(site):
    with Drill(site, "once", writers=False, prober=False) as d:
        body = {"from": "jq", "to": "fra", "clusters": [d.name]}
        key = {"Idempotency-Key": "once-1"}
        first = site.console.request("POST", PATH, body, headers=key)
        again = site.console.request("POST", PATH, body, headers=key)
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json() and again.headers["Idempotency-Replayed"] == "true"
        assert first.headers["Location"] == again.headers["Location"] == f"{PATH}/{first.json()['id']}"
        other = ask(site, status=422, headers=key, **{**body, "mode": "planned"})
        assert other["detail"].startswith("Idempotency-Key: it was used for another request")
        bad = ask(site, status=400, headers={"Idempotency-Key": "a b"}, **body)
        assert bad["detail"].startswith("Idempotency-Key: 1..128")
        assert ask(site, status=409, headers={"Idempotency-Key": "once-2"}, **{**body, "to": "jq"})["status"] == 409
        shown = site.console.request("GET", f"{PATH}/{first.json()['id']}")
        same = site.console.request("GET", f"{PATH}/{first.json()['id']}", headers={"If-None-Match": shown.headers["ETag"]})
        assert (same.status_code, same.text) == (304, "")
        assert site.console.request("POST", f"{PATH}/{first.json()['id']}/cancel", None).status_code == 202
        wait_until(lambda: d.status(first.json()["id"]) == "Aborted", 10, "the migration is cancelled")


def process(site, event, status, **body):
    answer = site.console.request("POST", f"{PATH}/{event}/process", body)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_what_waits_goes_on_as_planned(site):
    with Drill(site, "goeson", writers=False, prober=False) as d:
        planned, _ = plan_of(site, d.name)
        event = ask(site, status=201, **{"from": "jq", "to": "fra", "clusters": [d.name], "mode": "planned", "planHash": planned})["id"]
        d.tickets.append(event)
        shown = process(site, event, 200, dryRun=True)
        assert shown["planHash"] == planned and shown["clusters"][0]["plan"]["end"] == "Success", "nothing has begun: it is as it was planned"
        master = d.cluster.master(d.cluster.shards[0])
        master.run("CONFIG", "SET", "min-slaves-to-write", "1")
        refused = process(site, event, 409, planHash=planned)
        assert "does not hold any more" in refused["detail"] and "min-slaves-to-write 1" in refused["detail"], refused
        assert process(site, event, 400, planHash="1234")["detail"].startswith("planHash: it is no hash")
        assert d.status(event) == "Initiated"

        site.meta_relay["fra"].set("refuse")
        process(site, event, 202)
        assert d.wait_rest(event) == "CheckingFail"
        site.meta_relay["fra"].set("open")
        rest = process(site, event, 200, dryRun=True, clusters=[d.name])
        plan = rest["clusters"][0]["plan"]
        assert plan["end"] == "Success" and rest["planHash"] not in (planned, refused["planHash"]), "it goes on from where it stopped"
        assert process(site, event, 409, planHash=planned)["planHash"] == rest["planHash"]
        assert process(site, event, 202, planHash=rest["planHash"], clusters=[d.name])["results"][0]["accepted"]
        assert d.wait_rest(event) == "Success", d.timeline(event)
        over = process(site, event, 409, dryRun=True)
        assert "over" in over["detail"]
        assert process(site, event, 404, dryRun=True, clusters=["nobody"])["detail"] == "cluster not found:nobody"
        assert site.console.request("POST", f"{PATH}/{event}/cancel", {"planHash": planned}).status_code == 400, "only of process"
        d.wait_unfenced()
        assert master.run("CONFIG", "GET", "min-slaves-to-write")[1] == "1"


def test_a_plan_tells_who_stays_behind(site):
    """Routes apply to the old primary DC, which has no keeper: it would not follow, and that is said before the switch."""
    def risks():
        _, plan = plan_of(site, d.name)
        assert plan["end"] == "Success", plan["reason"]
        behind = {r["code"]: r["text"] for r in plan["risks"] if r["code"] in ("K42", "K44")}
        assert bool(behind) != bool([s for s in plan["steps"] if s["rule"] == "T42"]), "it is pointed nowhere"
        return behind

    def proxy(dc, uri):
        site.console.post("/api/proxy", {"uri": uri, "dcName": dc, "active": True})
        return site.proxy_ids()[uri]

    with Drill(site, "behind", shards=1, writers=False, prober=False) as d:
        near, far = proxy("jq", "PROXYTCP://127.0.0.9:16401"), proxy("fra", "PROXYTLS://127.0.0.9:16402")
        site.console.post("/api/route", {"srcDcName": "jq", "dstDcName": "fra", "srcProxyIds": str(near), "dstProxyIds": str(far), "tag": "meta",
                                         "orgId": 0, "active": True, "public": True})
        assert risks() == {"K42": "dc jq stays behind: a route applies, and it has no keeper to use it"}
        site.console.put("/api/proxy", {"id": far, "active": False, "force": True})
        assert risks() == {"K44": "dc jq stays behind: none of the routes that apply can be used"}
        route = site.console.get("/api/routes/all")[0]
        site.console.delete("/api/route", {"id": route["id"], "force": True})
        assert not risks(), "directly, then"


def test_keepers_are_told_the_routes_of_the_plan(zookeepers):
    with SwitchWorld(zookeepers, "planroutes", containers=2, proxied=[("jq", "fra")]) as site:
        site.start()
        with Drill(site, "proxied", shards=1, writers=False, prober=False) as d:
            planned_hash, plan = plan_of(site, d.name)
            assert plan["end"] == "Success", plan["reason"]
            steps = [s for s in plan["steps"] if s["target"] == "keeper"]
            keepers = {k.address: k for dc in site.dcs for k in d.cluster.keepers(dc)}
            assert sorted(s["dc"] for s in steps) == ["fra", "jq"] and all(keepers[s["instance"]].state == "ACTIVE" for s in steps), steps
            assert [s["dc"] for s in steps if " PROXY ROUTE PROXYTCP://" in s["command"]] == ["jq"], steps
            for keeper in keepers.values():
                keeper.clear_log()
            event = ask(site, status=201, **{"from": "jq", "to": "fra", "clusters": [d.name], "mode": "planned", "planHash": planned_hash})["id"]
            d.tickets.append(event)
            process(site, event, 202, planHash=planned_hash)
            assert d.wait_rest(event) == "Success", d.timeline(event)
            for s in steps:
                keeper = keepers[s["instance"]]
                wait_until(lambda: s["command"].upper() in [" ".join(words).upper() for words in keeper.log()], 20,
                           f"{keeper} to get {s['command']}")
