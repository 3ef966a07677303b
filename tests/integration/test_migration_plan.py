"""The plan of a migration over /api/v2/migrations: what it says is what Redis and keepers then receive, its hash is refused when it does not hold any
more, and a repeated request with the same Idempotency-Key makes nothing twice."""
import pytest
import redis

from harness.processes import wait_until
from harness.switch import Drill, SwitchWorld

OURS = "xpipe-meta"  # how metaservers name their connections
PATH = "/api/v2/migrations"


@pytest.fixture(scope="module")
def site(zookeepers):
    with SwitchWorld(zookeepers, "plans") as world:
        yield world.start()


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


def test_what_is_planned_is_what_redis_receives(site):
    with Drill(site, "asplanned", writers=False, prober=False) as d:
        planned_hash, plan = plan_of(site, d.name)
        assert plan["end"] == "Success" and plan["mode"] == "planned", plan["reason"]
        assert 0 < plan["writeGap"]["predictedMs"] < 2000, plan["writeGap"]
        servers = {r.address: r for s in d.cluster.shards for r in d.redises(s)}
        steps = [s for s in plan["steps"] if s["target"] == "redis"]
        assert {s["instance"] for s in steps} == set(servers)
        assert any(s["writesRefused"] and s["command"].startswith("SLAVEOF NO ONE") for s in steps)
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
