"""Migrations over REST against the real console, without metaservers: tickets, locks, documents, pages, history, exclusions, expiry."""
import json
import threading
import time

import pytest

from harness.processes import wait_until
from harness.scripted import ScriptedServer
from test_console_api import Console, demo_with_shards, install, one_way_cluster

QUICK = {"console.migration.connect.timeout.ms": 200, "console.migration.check.timeout.ms": 500,
         "console.migrate.system.check.interval": 100, "console.migrate.system.check.timeout.ms": 200}


@pytest.fixture
def console(workspace):
    c = Console(workspace, **QUICK).start()
    install(c, ("jq", "oy", "FRA"))
    demo_with_shards(c)
    return c


def prepare(console, *clusters, source="jq", to="oy", **more):
    return console.call("POST", "/api/migration/checkandprepare", {"fromIdc": source, "toIdc": to, "clusters": list(clusters), **more})


def ticket(console, *clusters, **more):
    answer = prepare(console, *(clusters or ("demo",)), **more)
    assert answer["ticketId"] > 0 and all(r["success"] for r in answer["results"]), answer
    return answer["ticketId"]


def status_of(console, ticket_id):
    return console.call("GET", f"/api/migration/checkstatus/{ticket_id}")["results"][0]


def cluster_status(console, name="demo", dc="jq"):
    return console.call("GET", f"/api/dc/{dc}")["clusters"][name]["status"]


def test_refusals_and_shapes(console):
    answer = prepare(console, "none", "demo")
    assert [list(r) for r in answer["results"]] == [["clusterName", "fromIdc", "toIdc", "msg", "success", "failReason"]] * 2
    assert answer["results"][0] == {"clusterName": "none", "fromIdc": "jq", "toIdc": None, "msg": "cluster not found:none",
                                    "success": False, "failReason": "CLUSTER_NOT_FOUND"}
    assert answer["results"][1] == {"clusterName": "demo", "fromIdc": "jq", "toIdc": "oy", "msg": None, "success": True, "failReason": None}
    other = prepare(console, "demo", to="FRA-AWS")
    assert (other["ticketId"], other["results"][0]["failReason"], other["results"][0]["msg"]) == (-1, "ALREADY_MIGRATING", str(answer["ticketId"]))
    assert prepare(console, "demo", source="oy", to="jq")["results"][0]["msg"] == "cluster:demo, fromIdcRequest:oy, but current ActiveDc:jq"
    twice = console.call("POST", "/api/migration/checkandprepare", {"fromIdc": "jq", "clusters": ["demo", "demo"]}, status=400)
    assert sorted(twice) == ["exception", "message"]
    assert console.call("GET", "/api/migration/checkstatus/99") == {"results": []}
    assert console.call("POST", "/api/migration/domigration", {"ticketId": 99}) == {"success": False, "msg": "event not found:99"}
    assert console.call("POST", "/api/migration/rollback", {"ticketId": answer["ticketId"], "clusters": []}) == {"results": []}
    wait_until(lambda: console.call("GET", "/api/migration/migration/system/health/status") ==
               {"state": 1, "message": "no metaservers are configured"}, 10, "the machinery is looked at")


def test_lock_cancel_and_documents(console):
    """F40, I5: locked from the ticket to its end; an edit is 409 meanwhile; the documents show the lock and the old primary."""
    number = ticket(console)
    for dc in ("jq", "oy"):
        shown = console.call("GET", f"/api/dc/{dc}")["clusters"]["demo"]
        assert (shown["status"], shown["activeDc"]) == ("Lock", "jq")
    refused = console.call("DELETE", "/api/shards/demo/s1", status=409)
    assert refused["message"].startswith("cluster demo is in status Lock (migration event")
    for word in ("process", "cancel", "rollback", "force", "force-end"):  # who has found none does not mean all of them
        for none, why in ((None, "it is null"), ([], "it is empty")):
            refused = console.call("POST", f"/api/v2/migrations/{number}/{word}", {"clusters": none}, status=400)
            assert refused["detail"] == f"clusters: {why}"
    assert cluster_status(console) == "Lock"
    assert console.call("POST", "/api/migration/cancel", {"ticketId": number, "clusters": None})["results"][0]["msg"] == "success", "x-pipe's: all"
    wait_until(lambda: status_of(console, number)["status"] == "ROLLBACKSUCCESS", 10, "the ticket is cancelled")
    assert (status_of(console, number)["msg"], status_of(console, number)["percent"]) == ("Aborted", 100)
    assert cluster_status(console) == "Normal"
    again = console.call("POST", "/api/migration/rollback", {"ticketId": number, "clusters": ["demo"]})["results"][0]
    assert (again["success"], again["msg"]) == (False, "tryRollback success, can not tryRollback:Aborted")
    console.ok("DELETE", "/api/shards/demo/s1", message="Successfully deleted shard")


def test_a_whole_dc(console):
    """Who must leave a DC at night does not list its clusters."""
    for name, dcs in (("other", ["jq", "oy"]), ("away", ["oy", "jq"])):
        one_way_cluster(console, name, dcs)
    asked = {"from": "jq", "to": "oy", "all": True}
    plan = console.call("POST", "/api/v2/migrations?dry_run=true", asked)
    assert {c["cluster"]: c["accepted"] for c in plan["clusters"]} == {"demo": True, "other": False}  # it has no shard
    made = console.call("POST", "/api/v2/migrations", {**asked, "policy": "all"}, status=201)
    assert [c["cluster"] for c in made["clusters"] if c["accepted"]] == ["demo"]
    assert cluster_status(console) == "Lock"
    none = console.call("POST", "/api/v2/migrations", {"from": "nowhere", "all": True}, status=409)
    assert none["detail"] == "from: no cluster has this active DC"
    both = console.call("POST", "/api/v2/migrations", {**asked, "clusters": ["demo"]}, status=400)
    assert both["detail"].startswith("all: goes with a source DC")


def test_check_fails_without_metaservers(console):
    number = ticket(console)
    start = {"ticketId": number}
    assert console.call("POST", "/api/migration/domigration", start) == {"success": True, "msg": "success!"}
    wait_until(lambda: status_of(console, number)["msg"] == "CheckingFail", 20, "the check fails")
    status = status_of(console, number)
    assert (status["status"], status["percent"]) == ("FAIL", 10) and status["reason"]
    events = "/console/migration/events"
    detail = console.call("GET", f"{events}/{number}")[0]
    assert detail["migrationCluster"]["status"] == "CheckingFail" and detail["migrationCluster"]["end"] is False
    log = json.loads(detail["migrationShards"][0]["migrationShard"]["log"])
    assert list(log["steps"]["CHECK"]) == ["false"] and log["status"] == "FAIL"
    cluster = detail["migrationCluster"]["clusterId"]
    no = console.call("POST", f"{events}/{number}/clusters/{cluster}/forceEnd", status=500)
    assert no["message"] == "Cannot force end while CheckingFail"
    assert console.call("POST", "/api/migration/domigration", start)["success"] is True  # the retry
    wait_until(lambda: len([x for x in console.call("GET", f"/api/v2/migrations/{number}")["clusters"][0]["timeline"]
                            if x["to"] == "CheckingFail"]) == 2, 20, "it fails again")
    console.call("POST", f"{events}/{number}/clusters/{cluster}/cancel")
    wait_until(lambda: cluster_status(console) == "Normal", 10, "the cluster is unlocked")
    done = console.call("GET", f"/api/v2/migrations/{number}")["clusters"][0]
    assert (done["status"], done["terminal"], done["shards"][0]["promoted"], done["lostWrites"]) == ("Aborted", True, False, [])


def test_lists_history_progress(console):
    first = ticket(console)
    console.call("POST", "/api/migration/cancel", {"ticketId": first})
    wait_until(lambda: cluster_status(console) == "Normal", 10, "the first one is over")
    one_way_cluster(console, "test_one")
    console.ok("POST", "/api/shards/test_one/s1", [{"dcId": "jq", "redises": "10.9.1.1:6379"}], message="Successfully created shard")
    second = ticket(console, "test_one")
    page = console.call("GET", "/console/migration/events?page=0&size=10")
    assert [(e["event"]["id"], e["status"], e["clusters"]) for e in page["data"]] == [(second, "Init", ["test_one"]), (first, "Fail", ["demo"])]
    assert page["totalSize"] == 2
    hidden = console.call("GET", "/console/migration/events?page=0&size=10&withoutTestClusters=true")
    assert [e["event"]["id"] for e in hidden["data"]] == [first]
    assert console.call("GET", "/console/migration/events/by/migration/status/type?type=Fail&page=0&size=5")["totalSize"] == 1
    now = int(time.time())
    entry = console.call("GET", "/api/migration/history", {"from": now - 60, "to": now + 60, "clusters": ["demo"]})["demo"][0]
    assert (entry["sourceDc"], entry["destDc"], entry["status"]) == ("jq", "oy", "Fail") and entry["endAt"] >= entry["startAt"]
    assert console.call("GET", "/api/migration/history", {"from": now + 1000, "clusters": ["demo"]}) == {}
    progress = console.call("GET", "/api/dr/progress?hours=1")
    assert (progress["total"], progress["fail"], progress["init"], progress["activeDcs"]) == (2, 1, 1, {"jq": 2})


def test_ticket_that_nobody_starts_expires(workspace):
    console = Console(workspace, **QUICK, **{"console.migration.expire.ms": 500}).start()
    install(console, ("jq", "oy"))
    demo_with_shards(console)
    number = ticket(console)
    wait_until(lambda: status_of(console, number)["msg"] == "Aborted", 20, "the ticket expires")
    assert cluster_status(console) == "Normal"


def test_exclusions_of_bi_direction(console):
    console.ok("POST", "/api/clusters", {"clusterName": "bi", "clusterType": "BI_DIRECTION", "dcs": ["jq", "oy"], "desc": "d",
                                         "organizationId": 8, "clusterAdminEmails": "a@b.c"})
    assert prepare(console, "bi")["results"][0]["msg"] == "cluster bi not support migration"
    sync = {"clusters": [{"id": 1, "clusterName": "bi", "clusterType": "BI_DIRECTION"}], "excludedDcs": [{"dcName": "jq"}]}
    console.ok("POST", "/console/bi-migration/sync", sync)
    assert console.call("GET", "/api/cluster/bi/excludedDcs") == ["jq"]
    both = console.call("POST", "/console/bi-migration/sync", {**sync, "excludedDcs": [{"dcName": "jq"}, {"dcName": "oy"}]})
    assert both["state"] == -1 and "no DC would be left" in both["message"]
    console.ok("POST", "/console/bi-migration/sync", {**sync, "excludedDcs": []})
    assert console.call("GET", "/api/cluster/bi/excludedDcs") == []
    assert [e["publishInfo"] for e in console.call("GET", "/console/bi-migration/events")] == ["[]", '["jq"]']


# ---- a monitor: what needs no metaservers (the rest: test_beacon.py) ----

SYNC, BI_SYNC = "/api/beacon/migration/sync", "/api/beacon/migration/bi/sync"


def bi_groups(*down):
    return [{"name": f"b1+{dc}", "idc": dc, "nodes": [f"10.8.{i}.1:6379"], "down": dc in down} for i, dc in enumerate(("jq", "oy"))]


def test_a_monitor_takes_a_dc_out_of_routing(workspace):
    with Platform() as platform:
        console = Console(workspace, **QUICK, **{"credis.service.address": platform.url, "console.migration.publish.timeout.ms": 500}).start()
        install(console, ("jq", "oy"))
        console.ok("POST", "/api/clusters", {"clusterName": "bi", "clusterType": "BI_DIRECTION", "dcs": ["jq", "oy"], "desc": "d",
                                             "organizationId": 8, "clusterAdminEmails": "a@b.c"})
        console.ok("POST", "/api/shards/bi/b1", [{"dcId": dc, "redises": f"10.8.{i}.1:6379"} for i, dc in enumerate(("jq", "oy"))],
                   message="Successfully created shard")
        down = {"clusterName": "bi", "groups": bi_groups("oy")}
        assert console.call("POST", BI_SYNC, down) == {"code": 0, "msg": "success", "success": True}
        assert [r[1:] for r in platform.seen("POST", "/keeperApi/excludedIdcs")] == [("/keeperApi/excludedIdcs/bi", ["oy"])]
        platform.says["/keeperApi/excludedIdcs/bi"] = {"success": False, "message": "no"}
        assert console.call("POST", BI_SYNC, {"clusterName": "bi", "groups": bi_groups("jq")})["code"] == 1
        assert console.call("GET", "/api/cluster/bi/excludedDcs") == ["oy"]
        assert [(e["operator"], e["status"]) for e in console.call("GET", "/console/bi-migration/events")] == [("Beacon", "Fail"), ("Beacon", "Success")]
        assert console.call("POST", BI_SYNC, {"clusterName": "bi", "groups": bi_groups("jq", "oy")}) == {
            "code": 1, "msg": "[bi migrate] cannot make a choice", "success": False}


# ---- is the machinery well? Every state that 5.2 names ----

STATUS, DETAIL = "/api/migration/migration/system/health/status", "/api/migration/system/health"


class Silent(ScriptedServer):
    """Takes requests and answers none of them from hush() until speak()."""

    def __init__(self):
        self.speaks = threading.Event()
        self.speaks.set()
        super().__init__()

    def hush(self):
        self.speaks.clear()

    def speak(self):
        self.speaks.set()

    def close(self):
        self.speak()
        super().close()

    def answer(self, method, path, body):
        self.speaks.wait(20)
        return 200, {"ip": "10.0.0.1", "port": 6380}


class Platform(Silent):
    """The client-routing platform: says yes, but where 'says' has something else."""

    def __init__(self):
        self.says = {}
        super().__init__()

    def answer(self, method, path, body):
        self.speaks.wait(20)
        return 200, self.says.get(path, {"success": True, "message": "ok"} if "checkcluster" not in path else True)


def wait_health(console, state, message):
    def is_told():
        for path in (STATUS, "/api/migration/system/health/status", "/console/migration/system/health/status"):
            assert console.call("GET", path) == {"state": state, "message": message}, path
        detail = console.call("GET", DETAIL)
        assert list(detail) == ["status", "message", "checkStartTime", "checkUseTimeMill"]
        assert (detail["status"], detail["message"]) == ({0: "HEALTH", 1: "WARNING", -1: "UNHEALTH"}[state], "" if state == 0 else message)
        assert abs(detail["checkStartTime"] / 1000 - time.time()) < 60 and detail["checkUseTimeMill"]["database"] >= 0
        return True
    wait_until(is_told, 15, f"the health {state} {message!r}")


def refused_everywhere(console, why):
    """checkandprepare, the page, v2 and the monitor; until an operator ignores it."""
    assert prepare(console, "demo")["results"][0] == {"clusterName": "demo", "fromIdc": "jq", "toIdc": None, "msg": why, "success": False,
                                                      "failReason": "MIGRATION_SYSTEM_UNHEALTHY"}
    pick = {"event": {"migrationClusters": [{"clusterId": 1, "sourceDcId": 1, "destinationDcId": 2}]}}
    assert console.call("POST", "/console/migration/events", pick, status=503)["message"] == why
    assert console.call("POST", "/api/v2/migrations", {"from": "jq", "to": "oy", "clusters": ["demo"]}, status=503)["detail"] == why
    assert console.call("POST", SYNC, {"clusterName": "demo", "isForced": True, "targetIDC": "oy"}) == {"code": -1, "msg": why, "success": False}


def test_the_health_of_the_machinery(workspace):
    with Platform() as platform, Silent() as jq, Silent() as oy:
        metas = json.dumps({"jq": jq.url, "oy": oy.url})
        console = Console(workspace, **QUICK, **{"credis.service.address": platform.url, "metaservers": metas,
                                                 "console.cluster.shard.for.migrate.sys.check": "demo, s1"}).start()
        install(console, ("jq", "oy"))
        demo_with_shards(console)
        wait_health(console, 0, "success")
        assert sorted(console.call("GET", DETAIL)["checkUseTimeMill"]) == ["database", "metaServers", "outerClient"]
        assert jq.seen("GET", "/api/meta/getactivekeeper/demo/s1") and platform.seen("POST", "/keeperApi/checkcluster/demo")
        assert console.call("GET", "/console/migration/default/cluster")["clusterName"] == "demo"
        platform.says["/keeperApi/checkcluster/demo"] = False
        wait_health(console, -1, "outer client: checkcluster answers false")
        refused_everywhere(console, "outer client: checkcluster answers false")
        console.call("POST", "/api/config/ignore/migration/system/availability/true")
        number = ticket(console)
        console.call("POST", "/api/migration/cancel", {"ticketId": number})
        wait_until(lambda: cluster_status(console) == "Normal", 10, "the ticket is cancelled")
        console.call("POST", "/api/config/ignore/migration/system/availability/false")
        refused_everywhere(console, "outer client: checkcluster answers false")
        del platform.says["/keeperApi/checkcluster/demo"]
        wait_health(console, 0, "success")
        oy.hush()
        wait_health(console, 1, "Non-Responsed Metaservers: oy,")
        number = ticket(console)  # a warning refuses nothing
        console.call("POST", "/api/migration/cancel", {"ticketId": number})
        wait_until(lambda: cluster_status(console) == "Normal", 10, "the ticket is cancelled")
        jq.hush()
        wait_health(console, -1, "All MetaServers Down")
        refused_everywhere(console, "All MetaServers Down")
        platform.hush()
        wait_until(lambda: console.call("GET", STATUS)["message"].startswith("outer client: "), 10, "the platform is missed, too")
        assert console.call("GET", STATUS)["state"] == -1


def test_a_health_that_is_old_is_a_warning(workspace):
    """A metaserver that takes a connection and never answers holds the look up."""
    with Silent() as jq:
        console = Console(workspace, **{**QUICK, "console.migrate.system.check.timeout.ms": 8000, "console.migrate.system.check.stale.ms": 1000},
                          **{"metaservers": json.dumps({"jq": jq.url})}).start()
        wait_health(console, 0, "success")
        jq.hush()
        wait_health(console, 1, "not updated over 2 min\n")
        jq.speak()
        wait_health(console, 0, "success")
