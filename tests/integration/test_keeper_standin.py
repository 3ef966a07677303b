"""The keeper stand-ins against their contract, proxy-and-keeper.md chapter 4 (test list 7.3, rows 7 to 9)."""
import re
import time

import pytest

from harness.keepers import KEEPER_PORT, SESSION_MS, Keeper, KeeperContainer, accepts_at, latches
from harness.processes import stays, wait_until
from harness.redis_server import RedisServer

RUN_ID = "8f2b5e0c1d3a4f6978b0c2d4e6f8091a2b3c4d5e"
NULL_POINTER = b"-Cannot invoke "


@pytest.fixture(scope="module")
def container(shared):
    return KeeperContainer(shared, "container").start()


@pytest.fixture
def fresh(container):
    """fresh(): a keeper nobody has told anything; removed after the test."""
    made = []

    def make(run_id=None):
        repl_id = 100 + len(made)
        made.append((repl_id, KEEPER_PORT + len(made)))
        return container.add(*made[-1], run_id=run_id)
    yield make
    for repl_id, port in made:
        if repl_id in container.keepers():
            container.remove(repl_id, port)


@pytest.fixture(scope="module")
def master(shared):
    return RedisServer(shared, "master").start()


def inline(keeper, line, until=b"\r\n"):
    return keeper.raw(line.encode() + b"\r\n", until=until)


def active(keeper, master, *proxy_words):
    assert keeper.setstate("ACTIVE", master, *proxy_words) == "OK"
    return keeper.wait_connected()


def wait_value(server, key, value):
    wait_until(lambda: server.run("GET", key) == value, 15, f"{key} on {server.name}")


# words on the wire: 4.2


@pytest.mark.parametrize("line, answer", [
    ("ping", b"+PONG\r\n"),
    ("keeper getstate", b"+UNKNOWN\r\n"),
    ("KEEPER GETSTATE", b"+UNKNOWN\r\n"),
    ("keeper setstate ACTIVE", b"-setstate argument error:setstate ACTIVE\r\n"),
    ("keeper setstate FOO 1.1.1.1 1", b"-No enum constant com.ctrip.xpipe.redis.core.meta.KeeperState.FOO\r\n"),
    ("keeper setstate active 1.1.1.1 1", b"-No enum constant com.ctrip.xpipe.redis.core.meta.KeeperState.active\r\n"),
    ("keeper setstate UNKNOWN 1.1.1.1 1", b"-state can not change to unknown!\r\n"),
    ("keeper setstate PRE_ACTIVE 1.1.1.1 1", b"-unrecognised state:PRE_ACTIVE\r\n"),
    ("keeper setstate PREPARE 1.1.1.1 1", b"-unrecognised state:PREPARE\r\n"),
    ("keeper getindex", b"-unknown command:getindex\r\n"),
    ("keeper setindex ON", b"-unknown command:setindex\r\n"),
    ("get k", b"-unsupported command:get\r\n"),
    ("set k v", b"-unsupported command:set\r\n"),
    ("slaveof no one", b"-Keeper not allowed to process slaveof command\r\n"),
    ("slaveof 1.1.1.1", b"-wrong format\r\n"),
    ("slaveof 127.0.0.1 1", b"+OK\r\n"),  # heard, and not followed: see below
    ("publish c m", b":0\r\n"),
    ("client setname x", b"+OK\r\n"),
    ("client setname", b"-wrong format\r\n"),
    ("client list", b"-list not supported\r\n"),
    ("config get maxmemory", b"*0\r\n"),
    ("replconf keeper", b"+OK\r\n"),
    ("replconf listening-port 17602", b"+OK\r\n"),
    ("replconf capa eof capa psync2 capa rordb", b"+OK\r\n"),
    ("replconf idc jq", b"+OK\r\n"),
    ("replconf foo bar", b"-unknown replconf command foo bar\r\n"),
    ("replconf capa bogus", b"-unsupported capa type:bogus\r\n"),
    ("psync ? -1", b"-NOMASTERLINK Can't SYNC while replicationstore fresh\r\n"),
    ("sync", b""),  # closed
])
def test_answer_of_a_new_keeper(container, line, answer):
    keeper = container.keepers().get(99) or container.add(99, KEEPER_PORT + 90)
    assert inline(keeper, line) == answer
    assert keeper.state == "UNKNOWN"


def test_keeper_without_words_is_not_answered(fresh):
    keeper = fresh()
    assert keeper.raw(b"keeper\r\nping\r\n") == b"+PONG\r\n"


def test_new_keeper_has_a_role_and_no_replication_info(fresh):
    keeper = fresh(RUN_ID)
    role = b"*5\r\n+keeper\r\n+0.0.0.0\r\n:0\r\n+none\r\n:-1\r\n"
    assert keeper.raw(b"role\r\n", until=role) == role
    assert inline(keeper, "info replication").startswith(NULL_POINTER)
    assert inline(keeper, "info").startswith(NULL_POINTER)
    assert inline(keeper, "info nonsense").startswith(b"-Cannot invoke")
    server = keeper.info("server")
    assert server["run_id"] == RUN_ID and int(server["uptime_in_seconds"]) < 60


def test_info_and_role_of_an_active_keeper(fresh, master):
    keeper = active(fresh(), master)
    info = keeper.info("replication")
    assert list(info)[:8] == ["role", "keeperrole", "state", "master_host", "master_port", "master_link_status",
                              "slave_repl_offset", "slave_priority"]
    assert (info["role"], info["keeperrole"], info["state"]) == ("slave", "keeper", "ACTIVE")
    assert (info["master_host"], info["master_port"]) == (master.ip, str(master.port))
    assert info["master_replid"] == "0" * 40
    role = keeper.run("ROLE")
    assert role[:4] == ["keeper", master.ip, master.port, "connected"]
    wait_until(lambda: keeper.run("ROLE")[4] == int(master.info("replication")["master_repl_offset"]), 10, "the offset")
    shown = f"ip={keeper.ip},port={keeper.port},state=online"
    wait_until(lambda: master.info("replication")["slave0"].startswith(shown), 10, "the master to show the keeper by its address")
    assert keeper.info("gtid")["cur_repl"].startswith(f"PSYNC|{master.info('replication')['master_replid']}:")


def test_unreachable_master_is_told_by_role_only(fresh, master):
    keeper = active(fresh(), master)
    nobody = Keeper("127.0.0.1", 1)
    keeper.setstate("ACTIVE", nobody)
    wait_until(lambda: keeper.link != "connected", 5, "the link to be lost")
    info = keeper.info("replication")
    assert (info["master_link_status"], info["master_port"]) == ("up", "1")
    stays(lambda: keeper.link != "connected", 0.5, "no link")


def test_repeated_setstate_keeps_the_connection(fresh, master):
    keeper = active(fresh(), master)
    before = keeper.info("stats")["total_net_input_bytes"], master.info("stats")["total_connections_received"]
    for _ in range(3):
        assert inline(keeper, f"keeper setstate ACTIVE {master.ip} {master.port} ") == b"+OK\r\n"
    stays(lambda: keeper.link == "connected", 1.0, "the link")
    # One connection of the client that asks for stats is the same all the time.
    assert master.info("stats")["total_connections_received"] == before[1]
    assert [words[:3] for words in keeper.log()] == [["KEEPER", "SETSTATE", "ACTIVE"]] + [["keeper", "setstate", "ACTIVE"]] * 3


def test_slaveof_is_for_active_keepers(fresh, redis_of, master):
    other = redis_of()
    keeper = fresh()
    assert inline(keeper, f"slaveof {other.ip} {other.port}") == b"+OK\r\n"
    assert keeper.master == "0.0.0.0:0"
    active(keeper, master)
    assert inline(keeper, f"slaveof {other.ip} {other.port}") == b"+OK\r\n"
    assert keeper.master == other.address and keeper.state == "ACTIVE"
    keeper.wait_connected()


def test_a_client_cannot_write(fresh, master):
    keeper = active(fresh(), master)
    assert inline(keeper, "set k v").startswith(b"-READONLY")
    assert inline(keeper, "get k") == b"-unsupported command:get\r\n"


# data


def test_data_goes_through_keepers_in_a_row(fresh, redis_of, master):
    first = active(fresh(), master)
    second = active(fresh(), first)  # as in another DC
    near, far = redis_of(), redis_of()
    near.replicate(first)
    far.replicate(second)
    for i in range(200):
        master.run("SET", f"row-{i}", str(i))
    wait_value(near, "row-199", "199")
    wait_value(far, "row-199", "199")
    assert far.run("DBSIZE") == master.run("DBSIZE")
    assert far.run("ROLE")[1:3] == [second.ip, second.port]


def test_backup_serves_nobody_until_it_is_active(fresh, redis_of, master):
    first, second = active(fresh(), master), fresh()
    assert second.setstate("BACKUP", first) == "OK"
    second.wait_connected()
    replica = redis_of()
    replica.replicate(second, wait=False)
    stays(lambda: replica.run("ROLE")[3] != "connected", 1.5, "a backup keeper serving nobody")
    assert second.setstate("ACTIVE", master) == "OK"
    master.run("SET", "promoted", "1")
    wait_value(replica, "promoted", "1")
    # The keepers share replication id and offset: no full synchronization for what follows the second one.
    assert second.info("stats")["sync_full"] == "1"


def test_active_that_becomes_backup_lets_its_replicas_go(fresh, redis_of, master):
    first, second = active(fresh(), master), active(fresh(), master)
    replica = redis_of()
    replica.replicate(first)
    first.setstate("BACKUP", second)
    wait_until(lambda: replica.run("ROLE")[3] != "connected", 5, "the replica to lose its link")
    stays(lambda: replica.run("ROLE")[3] != "connected", 1.0, "no service")


def test_master_change_is_a_partial_synchronization(fresh, redis_of):
    old, new, follower = redis_of(), redis_of(), redis_of()
    new.replicate(old)
    keeper = active(fresh(), old)
    follower.replicate(keeper)
    old.run("SET", "before", "1")
    wait_value(new, "before", "1")
    wait_value(follower, "before", "1")
    full = follower.info("stats").get("sync_full"), keeper.info("stats")["sync_full"]
    old.kill()
    new.replicate(None)
    active(keeper, new)
    new.run("SET", "after", "1")
    wait_value(follower, "after", "1")
    assert (follower.info("stats").get("sync_full"), keeper.info("stats")["sync_full"]) == full
    assert new.info("stats")["sync_full"] == "0" and new.info("stats")["sync_partial_ok"] == "1"


# proxies


def route_words(near, far, final="TCP"):
    return ["PROXY", "ROUTE", near.uri, far.tls_uri, final]


def test_data_goes_through_a_route(fresh, redis_of, proxy_of, master):
    near, far, keeper, replica = proxy_of("near"), proxy_of("far"), fresh(), redis_of()
    active(keeper, master, *route_words(near, far))
    replica.replicate(keeper)
    master.run("SET", "proxied", "1")
    wait_value(replica, "proxied", "1")
    assert near.lines() == [f"+PROXY ROUTE {far.tls_uri} TCP://{master.address};"]
    assert len(near.tunnels()) == len(far.tunnels()) == 1
    assert keeper.master == master.address, "the real target is shown, never the proxy"
    assert keeper.info("replication")["master_port"] == str(master.port)


def test_route_in_one_argument_is_ignored(fresh, proxy_of, master):
    near, far, keeper = proxy_of("near"), proxy_of("far"), fresh()
    active(keeper, master, " ".join(route_words(near, far)))
    assert near.lines() == []


def test_dead_alternative_of_the_first_hop(fresh, proxy_of, master):
    near, far, keeper = proxy_of("near"), proxy_of("far"), fresh()
    active(keeper, master, "proxy", "route", f"PROXYTCP://127.0.0.1:1,{near.uri}", far.tls_uri, "TCP")
    assert near.tunnels()


def test_new_route_holds_from_the_next_connection_on(fresh, proxy_of, master):
    """A real keeper registers the route by ip:port and does not reconnect for the same master (4.2)."""
    near, far, keeper = proxy_of("near"), proxy_of("far"), active(fresh(), master)
    assert keeper.setstate("ACTIVE", master, *route_words(near, far)) == "OK"
    stays(lambda: near.lines() == [], 0.5, "no reconnect")
    master.run("CLIENT", "KILL", "TYPE", "replica")
    wait_until(near.tunnels, 10, "the route to be used")
    keeper.wait_connected()
    assert keeper.setstate("ACTIVE", master) == "OK"
    near.cut()
    wait_until(lambda: not near.tunnels() and keeper.link == "connected", 10, "a direct connection")


# the container: 4.6


def test_container_lists_what_it_has(container, fresh):
    keeper = fresh(RUN_ID)
    count = container.request("GET", "/keepers/size").json()
    listed = container.request("GET", "/keepers").json()
    assert len(listed) == count
    mine = next(k for k in listed if k["replId"] == 100)
    assert (mine["clusterDbId"], mine["shardDbId"]) == (None, None)
    assert mine["keeperMeta"] == container.body(100, keeper.port, RUN_ID)["keeperMeta"]
    assert container.request("GET", f"/keepers/port/{keeper.port}").json() == mine
    assert container.request("GET", "/keepers/port/9").json() == dict.fromkeys(mine)
    assert container.request("GET", "/health").json() is True
    disk = container.request("GET", "/keepers/disk").json()
    assert set(disk) == {"timestamp", "keeperContainerIp", "available", "spaceUsageInfo", "ioStatInfo"}
    assert set(disk["spaceUsageInfo"]) == {"mountPath", "source", "type", "size", "use", "available"}
    assert disk["keeperContainerIp"] == container.ip and disk["spaceUsageInfo"]["size"] > 0


def test_every_error_code(container, fresh):
    keeper = fresh()
    body, path = container.body(100), "/keepers/clusters/1/shards/100"
    assert container.error_of("POST", "/keepers", body) == "KEEPER_ALREADY_EXIST"
    assert container.error_of("POST", path, body) == "KEEPER_ALREADY_STARTED"
    assert container.error_of("PUT", path + "/start", body) == "KEEPER_ALREADY_STARTED"
    assert container.request("PUT", path + "/stop", body).status_code == 200
    assert not accepts_at(keeper.ip, keeper.port)
    assert container.error_of("PUT", path + "/stop", body) == "KEEPER_ALREADY_STOPPED"
    assert container.error_of("POST", "/keepers", body) == "KEEPER_ALREADY_EXIST"
    for method, where in (("POST", "/keepers/election/reset"), ("DELETE", "/keepers/rdb/release")):
        assert container.error_of(method, where, body) == "KEEPER_NOT_STARTED"
    assert container.request("PUT", path + "/start", body).status_code == 200
    assert container.request("DELETE", "/keepers/rdb/release", body).json() is True
    container.remove(100)
    for method, where in (("DELETE", path), ("PUT", path + "/start"), ("PUT", path + "/stop"),
                          ("POST", "/keepers/election/reset"), ("DELETE", "/keepers/rdb/release")):
        assert container.error_of(method, where, body) == "KEEPER_NOT_EXIST"


def test_port_taken_by_another_shard(container, fresh):
    keeper = fresh()
    assert container.error_of("POST", "/keepers/clusters/1/shards/777", container.body(777)) == "INTERNAL_EXCEPTION"
    assert container.request("GET", f"/keepers/port/{keeper.port}").json()["replId"] == 100
    container.remove(100)  # what a metaserver does first
    container.add(777)
    container.remove(777)


def test_port_taken_by_a_stranger(container, redis_of, shared):
    stranger = RedisServer(shared, "stranger", config=[f"bind {container.ip}"])
    stranger.ip = container.ip
    stranger.start()
    try:
        assert container.error_of("POST", "/keepers/clusters/1/shards/5", container.body(5, stranger.port)) == "INTERNAL_EXCEPTION"
        assert 5 not in container.keepers()
    finally:
        shared.forget(stranger)


@pytest.mark.parametrize("body", [{"replId": 5}, {"clusterDbId": 1, "shardDbId": 5, "keeperMeta": {"ip": "127.0.0.1", "port": 6380}},
                                  {"replId": 5, "keeperMeta": {"ip": "127.0.0.1", "port": 70000}},
                                  {"replId": 5, "keeperMeta": {"ip": "10.0.0.1", "port": 6380}}])
def test_body_that_names_no_keeper(container, body):
    assert container.error_of("POST", "/keepers/clusters/1/shards/5", body) == "INTERNAL_EXCEPTION"


@pytest.mark.parametrize("method, path, options", [
    ("PATCH", "/keepers", {}), ("POST", "/keepers", {"data": "x=1"}),
    ("POST", "/keepers", {"data": "{", "headers": {"Content-Type": "application/json"}}),
    ("DELETE", "/keepers/clusters/1/shards/1", {}), ("GET", "/keepers/port/x", {})])
def test_wrong_requests_are_400_without_the_header(container, method, path, options):
    answer = container.request(method, path, **options)
    assert answer.status_code == 400, answer.text
    assert "X-Keeper-Container-Error" not in answer.headers and answer.json()["message"]


def test_dead_keeper_is_started_by_the_next_post(container, fresh, master):
    keeper = active(fresh(RUN_ID), master)
    keeper.kill()
    assert keeper.state is None and 100 in container.keepers()
    again = wait_until(lambda: container.add(100, run_id=RUN_ID), 5, "the keeper to be started again")
    assert again.state == "PRE_ACTIVE"
    assert again.raw(b"psync ? -1\r\n") == b"", "closed"
    info = again.info("replication")
    assert info["state"] == "PRE_ACTIVE" and "master_host" not in info
    assert again.info("server")["run_id"] == RUN_ID
    active(again, master)


def test_restart_before_any_data_is_unknown_again(container, fresh):
    keeper = fresh()
    keeper.setstate("BACKUP", Keeper("127.0.0.1", 1))
    keeper.kill()
    # Its container hears of the end a moment later, and says meanwhile that it runs.
    assert wait_until(lambda: container.add(100), 5, "the keeper to be started again").state == "UNKNOWN"


def test_removed_keeper_forgets(container, fresh, master):
    active(fresh(RUN_ID), master)
    container.remove(100)
    assert container.add(100, run_id=RUN_ID).state == "UNKNOWN"


def test_ordered_faults(container, fresh):
    keeper = fresh()
    try:
        container.play("error")
        assert container.error_of("POST", "/keepers/clusters/1/shards/100", container.body(100)) == "INTERNAL_EXCEPTION"
        container.play("garbage", delay_ms=300)
        began = time.monotonic()
        with pytest.raises(ValueError):
            container.request("GET", "/keepers").json()
        assert time.monotonic() - began >= 0.3
        assert container.request("GET", "/health").json() is True
    finally:
        container.play()
    assert container.keepers()[100].address == keeper.address


# its end


def test_killed_container_takes_its_keepers_along(workspace, master):
    container = KeeperContainer(workspace, "container").start()
    keeper = active(container.add(1, run_id=RUN_ID), master)
    container.kill()
    wait_until(lambda: not accepts_at(keeper.ip, keeper.port), 5, "the keeper to end")
    container.start()
    assert container.keepers() == {}, "as a real one it waits to be told"
    assert container.add(1, run_id=RUN_ID).state == "PRE_ACTIVE"
    for _ in range(5):
        container._popen.terminate()  # an impatient operator
    container.stop()
    assert container.exit_code == 0 and not accepts_at(keeper.ip, keeper.port)


# ZooKeeper: 4.7


@pytest.fixture
def election(workspace, zookeepers, request):
    """(client, [container, container]) with a namespace of its own."""
    namespace = request.node.name.split("[")[0]
    containers = [KeeperContainer(workspace, f"container-{i}", zookeepers[0], namespace).start() for i in (1, 2)]
    with zookeepers[0].client() as client:
        yield client, containers, namespace


def test_latch_of_a_keeper(election):
    client, (first, second), namespace = election
    path = f"/{namespace}/keepers/repl_7"
    keeper = first.add(7, run_id=RUN_ID)
    name, data = wait_until(lambda: latches(client, path), 10, "the latch")[0]
    assert re.fullmatch(r"_c_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-latch-\d{10}", name), name
    assert data == (f'{{"priority":null,"id":"{RUN_ID}","port":{keeper.port},"active":false,"offset":null,"ip":"{keeper.ip}",'
                    '"master":null,"survive":null,"keeperContainerId":null}')
    assert client.get(f"{path}/{name}")[1].ephemeralOwner != 0
    second.add(7)
    wait_until(lambda: len(latches(client, path)) == 2, 10, "the second latch")
    assert latches(client, path)[0][0] == name, "who came first stays first"


def test_reset_puts_a_keeper_at_the_end(election):
    client, (first, second), namespace = election
    path = f"/{namespace}/keepers/repl_7"
    for container in (first, second):
        container.add(7)
        wait_until(lambda: container.ip in "".join(d for _, d in latches(client, path)), 10, "the latch")
    assert first.ip in latches(client, path)[0][1]
    answer = first.request("POST", "/keepers/election/reset", first.body(7))
    assert answer.status_code == 200 and answer.json() is True

    def turned():
        order = [data for _, data in latches(client, path)]
        return len(order) == 2 and second.ip in order[0] and first.ip in order[1]
    wait_until(turned, 10, "the order to change")


def test_killed_keeper_leaves_after_its_session(election):
    client, (container, _), namespace = election
    path = f"/{namespace}/keepers/repl_7"
    keeper = container.add(7)
    wait_until(lambda: latches(client, path), 10, "the latch")
    began = time.monotonic()
    keeper.kill()
    wait_until(lambda: not latches(client, path), SESSION_MS / 1000 + 3, "the session to expire")
    took = time.monotonic() - began
    assert took > SESSION_MS / 1000 / 3, f"{took:.2f} s is no expiry: the session outlives the process"


def test_stopped_keeper_leaves_at_once(election):
    client, (container, _), namespace = election
    path = f"/{namespace}/keepers/repl_7"
    container.add(7)
    wait_until(lambda: latches(client, path), 10, "the latch")
    container.remove(7)
    assert not latches(client, path)


def test_frozen_keeper_comes_back_at_the_end(election):
    client, (first, second), namespace = election
    path = f"/{namespace}/keepers/repl_7"
    keeper = first.add(7)
    wait_until(lambda: latches(client, path), 10, "the latch")
    second.add(7)
    wait_until(lambda: len(latches(client, path)) == 2, 10, "the second latch")
    keeper.pause()
    wait_until(lambda: len(latches(client, path)) == 1, SESSION_MS / 1000 + 3, "the session to expire")
    keeper.resume()
    wait_until(lambda: len(latches(client, path)) == 2, 10, "a new session")
    assert first.ip in latches(client, path)[1][1]


def test_older_path(workspace, zookeepers):
    container = KeeperContainer(workspace, "container", zookeepers[0], "older-path", layout="shard").start()
    container.add(7)
    with zookeepers[0].client() as client:
        wait_until(lambda: latches(client, "/older-path/keepers/cluster_1/shard_7"), 10, "the latch")
        assert not client.exists("/older-path/keepers/repl_7")


def test_zookeeper_that_restarts(workspace):
    """A keeper does not mind: replication goes on, and the latch is there again."""
    from harness.zookeeper import ZooKeeper
    zookeeper = ZooKeeper(workspace).start()
    container = KeeperContainer(workspace, "container", zookeeper, session_ms=10000).start()
    keeper = container.add(7)
    with zookeeper.client() as client:
        wait_until(lambda: latches(client, "/xpipe/keepers/repl_7"), 10, "the latch")
    zookeeper.restart()
    with zookeeper.client() as client:
        wait_until(lambda: len(latches(client, "/xpipe/keepers/repl_7")) == 1, 15, "the latch")
    assert keeper.state == "UNKNOWN"
