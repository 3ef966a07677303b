"""The CRDT stand-in (or the real CRDT Redis) and the stand-in proxy against reference/crdt-redis.md and
proxy-and-keeper.md 1.1 to 1.6; restarts, replicas and data are in test_standin_data.py. Tests without the mark standin_only
also run against a real CRDT Redis."""
import re
import socket
import time

import pytest
import redis

from harness.crdt_info import parse_crdt_info
from harness.processes import HOST, free_port, stays, wait_until
from harness.proxy import route_words
from harness.redis_server import ALREADY, CrdtRedis, uses_real_crdt

standin_only = pytest.mark.standin_only
NOT_INTEGER = "ERR value is not an integer or out of range"
PARAMS_ERROR = "ERR proxy params error"


@pytest.fixture(scope="module")
def lone(shared):
    """A CRDT Redis of gid 1 whose peers never come up."""
    return CrdtRedis(shared, "lone", 1, crash="flag").start()


@pytest.fixture
def clean(lone):
    for gid in list(lone.peers):
        lone.peerof(gid, "no", "one")
    if not uses_real_crdt():
        lone.standin("FAIL", "peerof", "off")
        lone.standin("MODE", "loading", "off")
        lone.standin("REWRITE-FAIL", "off")
        lone.clear_log()
    return lone


@pytest.fixture
def dead_port():
    return free_port()


# 2.2: every reply


@pytest.mark.parametrize("words, reply", [
    ((2,), "ERR wrong number of arguments for 'peerof' command"),
    ((2, HOST), "ERR wrong number of arguments for 'peerof' command"),
    (("x", HOST, 1), NOT_INTEGER),
    (("2.0", HOST, 1), NOT_INTEGER),
    ((" 2", HOST, 1), NOT_INTEGER),
    (("", HOST, 1), NOT_INTEGER),
    ((2, HOST, "port"), NOT_INTEGER),
    ((2, HOST, 1, "backstream", "x"), NOT_INTEGER),
    ((1, HOST, 1), "ERR invalid gid"),
    ((1, "no", "one"), "ERR invalid gid"),
    ((2, HOST, 1, "proxy-type", "OTHER"), "ERR proxy unknow type"),
    ((2, HOST, 1, "proxy-type", "XPIPE-PROXY"), PARAMS_ERROR),
    *(((2, HOST, 1, "proxy-type", "XPIPE-PROXY", "proxy-servers", bad), PARAMS_ERROR) for bad in (
        "PROXYTLS://1.1.1.1:80", "TCP://1.1.1.1:80", "proxytcp://1.1.1.1:80", "PROXYTCP://1.1.1.1", "1.1.1.1:x", "",
        ",1.1.1.1:80", "1.1.1.1:80,", "1.1.1.1:80, 2.2.2.2:80", "[::1]:80")),
])
def test_peerof_error(clean, words, reply):
    assert clean.error_of("PEEROF", *words) == reply
    assert clean.peers == {}


def test_peerof_ok_and_already(clean, dead_port):
    assert clean.peerof(2, HOST, dead_port) == "OK"
    assert clean.peerof(2, HOST, dead_port) == ALREADY
    assert clean.peerof(2, "no", "one") == "OK"
    assert clean.peerof(2, "NO", "oNe", "more", "words") == "OK"
    assert clean.peerof(9, "no", "one") == "OK"


def test_peerof_words_ignore_case_and_unknown_words(clean, dead_port):
    assert clean.run("pEERof", 2, HOST, dead_port, "what", "Proxy-SERVERS", "1.1.1.1:80", "PROXY-type", "xpipe-Proxy",
                     "PROXY-PARAMS", "PROXYTLS://2.2.2.2:443") == "OK"
    peer = clean.peers[2]
    assert (peer.proxy_type, peer.proxy_servers, peer.proxy_params) == (
        "XPIPE-PROXY", "1.1.1.1:80", "PROXYTLS://2.2.2.2:443")


def test_last_option_wins(clean, dead_port):
    clean.peerof(2, HOST, dead_port, "proxy-type", "XPIPE-PROXY", "proxy-servers", "1.1.1.1:80", "proxy-servers",
                 "PROXYTCP://2.2.2.2:81")
    assert clean.peers[2].proxy_servers == "PROXYTCP://2.2.2.2:81"


def test_proxy_words_without_type_are_ignored(clean, dead_port):
    assert clean.peerof(2, HOST, dead_port, "proxy-servers", "1.1.1.1:80", "proxy-params", "x") == "OK"
    assert clean.peers[2].proxy_type is None


def test_gid_is_cut_to_32_bits(clean, dead_port):
    assert clean.peerof(4294967298, HOST, dead_port) == "OK"
    assert list(clean.peers) == [2]


@pytest.mark.parametrize("port", [0, -5, 70000])
def test_odd_ports_are_stored(clean, port):
    assert clean.peerof(2, HOST, port) == "OK"
    assert clean.peers[2].port == port


def test_inline_quotes_are_consumed(clean, dead_port):
    line = (f'peerof 2 {HOST} {dead_port} proxy-type XPIPE-PROXY proxy-servers PROXYTCP://1.1.1.1:80 '
            'proxy-params "PROXYTLS://2.2.2.2:443 PROXYTLS://3.3.3.3:443"\r\n')
    assert clean.raw(line.encode()) == b"+OK\r\n"
    assert clean.peers[2].proxy_params == "PROXYTLS://2.2.2.2:443 PROXYTLS://3.3.3.3:443"


def test_cluster_mode(redis_of):
    server = redis_of(1, config=["cluster-enabled yes", f"cluster-port {free_port()}"])  # else port + 10000, which may be an outgoing connection
    assert server.error_of("PEEROF", "x", HOST, 1) == "ERR PEEROF not allowed in cluster mode."


def test_password(redis_of):
    server = redis_of(1)
    server.run("CONFIG", "SET", "requirepass", "secret")
    assert server.raw(b"peerof 2 127.0.0.1 1\r\n") == b"-NOAUTH Authentication required.\r\n"
    assert server.raw(b"crdt.auth default 1\r\n").startswith(b"-NOAUTH")


def test_stock_redis_does_not_know_peerof(redis_of):
    assert redis_of().error_of("PEEROF", 2, HOST, 1).startswith("ERR unknown command 'PEEROF'")


@standin_only
def test_config_that_cannot_be_written_removes_the_peer(clean, dead_port):
    clean.peerof(2, HOST, dead_port)
    clean.standin("REWRITE-FAIL", "on")
    assert clean.error_of("PEEROF", 2, HOST, dead_port + 1) == "ERR Rewriting config file: Permission denied"
    assert clean.peers == {}
    assert clean.error_of("CONFIG", "REWRITE") == "ERR Rewriting config file: Permission denied"


def test_command_info_arity(clean):
    assert clean.run("COMMAND", "INFO", "peerof")[0][1] == -4


# 2.5: deadly inputs


@standin_only
@pytest.mark.parametrize("words", [
    (0, HOST, 1), (16, HOST, 1), (17, "no", "one"), (-1, HOST, 1), (1000000000, HOST, 1), (100, HOST, 1),
    (2, HOST, 1, "proxy-type"), (2, HOST, 1, "proxy-type", "XPIPE-PROXY", "proxy-servers"),
    (2, HOST, 1, "proxy-params"),
    (2, HOST, 1, "proxy-type", "XPIPE-PROXY", "proxy-servers", "1.1.1.1:80", "proxy-params", "it's"),
    (2, HOST, 1, "proxy-type", "XPIPE-PROXY", "proxy-servers", "1.1.1.1:80", "proxy-params", '"quoted"'),
    (2, HOST, 1, "proxy-type", "XPIPE-PROXY", "proxy-servers", "1.1.1.1:80", "proxy-params", "a|b"),
])
def test_deadly_input_is_flagged(clean, words):
    before = clean.would_have_crashed()
    assert clean.error_of("PEEROF", *words) == "ERR STANDIN would have crashed"
    assert clean.would_have_crashed() == before + 1
    assert clean.peers == {}


@pytest.mark.parametrize("gid", [16, -1])
def test_deadly_gid_kills_the_process(redis_of, gid):
    server = redis_of(1)
    with pytest.raises(redis.ConnectionError):
        server.peerof(gid, HOST, 1)
    assert server.wait_exit() == -11


# 2.3: the rules


def test_rule_1_replaces_the_list_of_a_link_that_is_up(redis_of, proxy_of):
    a, b, near = redis_of(1), redis_of(2), proxy_of()
    dead = f"PROXYTCP://{HOST}:{free_port()}"
    a.pull_from(b, *route_words(near))
    a.wait_up(2)
    before = a.config_text()
    assert a.pull_from(b, "proxy-type", "XPIPE-PROXY", "proxy-servers", f"{dead},{near.uri}") == "OK"
    peer = a.peers[2]
    assert peer.up and peer.proxy_servers == f"{dead},{near.uri}" and peer.proxy_server == near.uri
    assert a.config_text() == before, "a change of the list only is not written to the config"
    assert len(near.lines()) == 1, "the link was not cut"
    a.run("CONFIG", "REWRITE")
    assert dead in a.config_text()


def test_rule_1_same_words_while_up_answer_plain_ok(redis_of, proxy_of):
    a, b, near = redis_of(1), redis_of(2), proxy_of()
    a.pull_from(b, *route_words(near))
    a.wait_up(2)
    assert a.pull_from(b, *route_words(near)) == "OK"


def test_rule_1_does_not_hold_when_the_proxy_in_use_is_dropped(redis_of, proxy_of):
    a, b, first, second = redis_of(1), redis_of(2), proxy_of(), proxy_of()
    a.pull_from(b, *route_words(first))
    a.wait_up(2)
    _, info = a.at_once(("PEEROF", 2, HOST, b.port, *route_words(second)), ("CRDT.INFO", "replication"))
    assert not parse_crdt_info(info).peers[2].up
    assert second.uri in a.config_text()
    assert a.wait_up(2).proxy_server == second.uri


def test_rule_2_keeps_order_and_spelling_while_down(clean, dead_port):
    clean.peerof(2, HOST, dead_port, "proxy-type", "XPIPE-PROXY", "proxy-servers",
                 f"PROXYTCP://{HOST}:{dead_port},{HOST}:{dead_port + 1}")
    stored = clean.peers[2].proxy_servers
    assert clean.peerof(2, HOST, dead_port, "proxy-type", "XPIPE-PROXY", "proxy-servers",
                        f"{HOST}:{dead_port + 1},{HOST}:{dead_port}") == ALREADY
    assert clean.peers[2].proxy_servers == stored


@pytest.mark.parametrize("first, then, is_same", [
    (("localhost", 1), ("LOCALHOST", 1), True),
    (("localhost", 1), ("127.0.0.1", 1), False),
    (("localhost", 1), ("localhost", 2), False),
    (("localhost", 1), ("localhost", 1, "backstream", 0), False),
    (("localhost", 1), ("localhost", 1, "proxy-type", "XPIPE-PROXY", "proxy-servers", "1.1.1.1:1"), False),
    (("localhost", 1, "proxy-type", "XPIPE-PROXY", "proxy-servers", "1.1.1.1:1"), ("localhost", 1), False),
])
def test_same_endpoint(clean, first, then, is_same):
    clean.peerof(2, *first)
    assert (clean.peerof(2, *then) == ALREADY) == is_same
    clean.peerof(2, "no", "one")


def test_rule_2_params_are_compared_as_text(clean, dead_port):
    def words(params):
        return (2, HOST, dead_port, "proxy-type", "XPIPE-PROXY", "proxy-servers", f"{HOST}:{dead_port}",
                "proxy-params", params)
    clean.peerof(*words("PROXYTLS://1.1.1.1:443,PROXYTLS://1.1.1.2:443"))
    assert clean.peerof(*words("PROXYTLS://1.1.1.2:443,PROXYTLS://1.1.1.1:443")) == "OK"
    assert clean.peers[2].proxy_params == "PROXYTLS://1.1.1.2:443,PROXYTLS://1.1.1.1:443"


def test_rule_3_cuts_at_once_and_keeps_the_position(redis_of):
    a, b = redis_of(1), redis_of(2)
    b.run("SET", "k", "v")
    a.pull_from(b)
    up = a.wait_up(2)
    _, info = a.at_once(("PEEROF", 2, "localhost", b.port), ("CRDT.INFO", "replication"))
    down = parse_crdt_info(info).peers[2]
    assert (down.status, down.last_io_s, down.never_up) == ("down", -1, True)
    assert (down.replid, down.offset) == (up.replid, up.offset)
    assert a.wait_up(2).replid == up.replid


def test_removal_is_not_written_until_rewrite(redis_of):
    a = redis_of(1)
    a.peerof(2, HOST, 1)
    a.peerof(2, "no", "one")
    assert f"peerof 2 {HOST} 1" in a.config_text()
    a.run("CONFIG", "REWRITE")
    assert "peerof 2" not in a.config_text()


# 3: CRDT.INFO


def test_sample_s1_no_peer(redis_of):
    text = redis_of(1).run("CRDT.INFO", "replication")
    assert len(text) == 351
    assert re.sub(r"[0-9a-f]{40}", "ID", text) == "\r\n".join([
        "# CRDT Replication", "ovc:1:0", "gcvc:1:0", "gid:1", "backstreaming:0", "connected_slaves:0",
        "master_replid:ID", "master_replid2:ID", "master_repl_offset:0", "second_repl_offset:-1",
        "repl_backlog_active:0", "repl_backlog_size:134217728", "repl_backlog_first_byte_offset:0",
        "repl_backlog_histlen:0", ""])


PEER_KEYS = ["#Peer_Master_0", "peer0_host", "peer0_port", "peer0_gid", "peer0_dbid", "peer0_link_status",
             "peer0_last_io_seconds_ago", "peer0_sync_in_progress", "peer0_repl_offset", "peer0_replid"]
PROXY_KEYS = ["peer0_proxy_type", "peer0_proxy_servers", "peer0_proxy_server"]
TAIL_KEYS = ["master_replid", "master_replid2", "master_repl_offset", "second_repl_offset", "repl_backlog_active",
             "repl_backlog_size", "repl_backlog_first_byte_offset", "repl_backlog_histlen", ""]
HEAD_KEYS = ["# CRDT Replication", "ovc", "gcvc", "gid", "backstreaming"]


def keys_of(server):
    return [line.split(":")[0] for line in server.crdt.lines]


def test_sample_s2_right_after_peerof(clean, dead_port):
    clean.peerof(2, HOST, dead_port)
    assert keys_of(clean) == (HEAD_KEYS + PEER_KEYS + ["peer0_link_down_since_seconds", "connected_slaves"] + TAIL_KEYS)
    peer = clean.peers[2]
    assert (peer.status, peer.last_io_s, peer.sync, peer.offset, peer.replid) == ("down", -1, False, 0, "000000")
    assert abs(peer.down_since_s - time.time()) < 5


def test_sample_s3_two_way_with_an_in_dc_replica(redis_of):
    a, b, replica = redis_of(1), redis_of(2), redis_of(1, name="replica")
    replica.replicate(a)
    a.pull_from(b)
    b.pull_from(a)
    a.wait_up(2)
    b.wait_up(1)
    assert keys_of(a) == HEAD_KEYS + PEER_KEYS + ["connected_slaves", "slave0"] + TAIL_KEYS
    puller = a.crdt.pullers[0]
    assert (puller["ip"], puller["port"], puller["state"]) == (HOST, str(b.port), "online")
    assert list(puller) == ["ip", "port", "state", "offset", "lag"]
    assert len(a.peers[2].replid) == 40 and 0 <= a.peers[2].last_io_s <= 10
    wait_until(lambda: replica.peers[2].replid == a.peers[2].replid, 5, "the replica to show the position")
    assert not replica.peers[2].up and replica.peers[2].never_up
    assert a.info("replication")["connected_slaves"] == "1"


def test_samples_s6_s7_proxy_lines(clean, dead_port):
    servers = f"PROXYTCP://{HOST}:{dead_port},PROXYTCP://{HOST}:{dead_port + 1}"
    clean.peerof(2, HOST, dead_port, "proxy-type", "XPIPE-PROXY", "proxy-servers", servers)
    assert keys_of(clean)[5:] == (
        PEER_KEYS + PROXY_KEYS + ["peer0_link_down_since_seconds", "connected_slaves"] + TAIL_KEYS)
    clean.peerof(2, HOST, dead_port, "proxy-type", "XPIPE-PROXY", "proxy-servers", servers, "proxy-params",
                 "PROXYTLS://10.0.0.1:443,PROXYTLS://10.0.0.2:443 PROXYTLS://10.0.0.3:443")
    assert keys_of(clean)[5:] == (PEER_KEYS + PROXY_KEYS + ["peer0_proxy_params", "peer0_link_down_since_seconds",
                                                           "connected_slaves"] + TAIL_KEYS)
    assert clean.peers[2].proxy_params == "PROXYTLS://10.0.0.1:443,PROXYTLS://10.0.0.2:443 PROXYTLS://10.0.0.3:443"


def test_sample_s5_order_and_dense_index(clean, dead_port):
    for gid in (15, 3, 2, 4):
        clean.peerof(gid, HOST, dead_port)
    assert list(clean.peers) == [2, 3, 4, 15]
    clean.peerof(3, "no", "one")
    values = [line for line in clean.crdt.lines if re.match(r"peer\d_gid", line)]
    assert values == ["peer0_gid:2", "peer1_gid:4", "peer2_gid:15"]


def test_empty_proxy_params_are_kept(clean, dead_port):
    clean.peerof(2, HOST, dead_port, "proxy-type", "XPIPE-PROXY", "proxy-servers", f"{HOST}:{dead_port}",
                 "proxy-params", "")
    assert clean.peers[2].proxy_params == ""


@standin_only
def test_sample_s8_first_full_transfer(clean, dead_port):
    clean.peerof(2, HOST, dead_port)
    clean.standin("LINK", 2, "sync")
    peer = clean.peers[2]
    assert (peer.status, peer.sync, peer.replid, peer.last_io_s, peer.never_up) == ("down", True, "", 0, True)


def test_s8_upstream_waits_before_the_full_sync(redis_of):
    a, b = redis_of(1), redis_of(2)
    b.run("CONFIG", "CRDT.SET", "repl-diskless-sync-delay", 2)
    a.pull_from(b)
    wait_until(lambda: [p["state"] for p in b.crdt.pullers] == ["wait_bgsave"], 5, "the puller to wait")
    assert not a.peers[2].up
    a.wait_up(2)
    assert b.crdt.pullers[0]["state"] == "online"


def test_sample_s9_backstreaming(redis_of):
    a = redis_of(1)
    a.peerof(2, HOST, free_port())
    a.kill()
    a.start()
    assert keys_of(a) == (HEAD_KEYS + PEER_KEYS + ["peer0_backstream_vc", "peer0_link_down_since_seconds",
                                                   "connected_slaves"] + TAIL_KEYS)
    peer = a.peers[2]
    assert a.crdt.backstreaming and peer.backstream_vc == "1:0" and peer.replid == "000000" and peer.never_up
    assert a.role == "master" and a.run("CONFIG", "REWRITE") == "OK"
    assert a.peerof(2, HOST, peer.port) == "OK Clean lazy_time"
    assert a.peers[2].backstream_vc == "1:0", "the debt stays"


def test_parser_of_the_harness_keeps_ipv6_hosts():
    text = "ovc:1:0\r\ngid:1\r\npeer0_host:::1\r\npeer0_port:1\r\npeer0_gid:2\r\npeer0_link_status:down\r\n" \
           "peer0_last_io_seconds_ago:-1\r\npeer0_repl_offset:0\r\n"
    assert parse_crdt_info(text).peers[2].host == "::1"


def test_crdt_info_sections(clean):
    assert clean.run("CRDT.INFO", "nonsense") == ""
    assert clean.error_of("CRDT.INFO", "replication", "stats") == "ERR syntax error"
    for section in ((), ("all",), ("default",)):
        text = clean.run("crdt.info", *section)
        assert "# Server" in text and "# CRDT" not in text and "peer0" not in text and "ovc:" not in text
    assert clean.run("crdt.info", "STATS").split("\r\n")[:4] == [
        "# CRDT Stats", "sync_full:0", "sync_backstream:0", "sync_partial_ok:0"]
    assert "redis_version" in clean.run("crdt.info", "server")


def test_info_server_shows_the_version(clean):
    for words in (("INFO", "server"), ("info", "SERVER"), ("INFO",)):
        assert clean.run(*words).split("\r\n")[2].startswith("xredis_crdt_version:1.")


@standin_only
def test_versions(clean, dead_port):
    words = ("proxy-type", "XPIPE-PROXY", "proxy-servers", f"{HOST}:{dead_port}")
    try:
        clean.set("version", "absent")
        assert "xredis" not in clean.run("INFO", "server")
        clean.set("version", "1.0.10")
        assert clean.error_of("PEEROF", 2, HOST, dead_port, *words) == (
            "ERR wrong number of arguments for 'peerof' command")
        assert "backstreaming" not in clean.run("CRDT.INFO", "replication")
        clean.set("version", "1.0.12")
        assert clean.peerof(2, HOST, dead_port, *words) == "OK"
        assert clean.peers[2].proxy_type is None, "1.0.12 ignores the proxy words"
        clean.set("version", "1.0.15")
        clean.peerof(2, HOST, dead_port, *words)
        assert clean.peers[2].proxy_type == "XPIPE-PROXY"
    finally:
        clean.set("version", "1.0.22")


@standin_only
def test_1_0_14_answers_twice_when_the_lazy_wait_ends(redis_of):
    a = redis_of(1, version="1.0.14")
    a.run("SET", "k", "v")
    a.peerof(2, HOST, 1)
    a.run("SAVE")
    a.restart()
    assert a.raw(f"peerof 2 {HOST} 1\r\nping\r\n".encode(), until=b"+PONG\r\n") == (
        b"+OK\r\n+OK Clean lazy_time\r\n+PONG\r\n")


@standin_only
def test_1_0_15_tries_servers_in_order(redis_of, proxy_of):
    a, b, good, dead = redis_of(1, version="1.0.15"), redis_of(2), proxy_of(), free_port()
    a.pull_from(b, "proxy-type", "XPIPE-PROXY", "proxy-servers", f"PROXYTCP://{HOST}:{dead},{good.uri}")
    seen = set()

    def up():
        peer = a.peers[2]
        seen.add(peer.proxy_server)
        return peer.up
    wait_until(up, 5, "the second server to be tried")
    assert seen == {f"PROXYTCP://{HOST}:{dead}", good.uri}


def test_peerof_in_a_transaction(clean, dead_port):
    answer = clean.raw(f"multi\r\npeerof 2 {HOST} {dead_port}\r\nexec\r\n".encode(), until=b"*1\r\n+OK\r\n")
    assert answer == b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n"
    assert list(clean.peers) == [2]


# 5: other commands


@pytest.mark.parametrize("words, reply", [
    (("default", 1), "OK"), (("other", 1), "ERR invalid namespace"), (("default", 2), "ERR invalid gid"),
    (("default", "x"), "ERR syntax error")])
def test_crdt_auth(clean, words, reply):
    if reply == "OK":
        assert clean.run("CRDT.AUTH", *words) == "OK"
    else:
        assert clean.error_of("CRDT.AUTH", *words) == reply


def test_config_commands(clean, dead_port):
    assert clean.run("CONFIG", "CRDT.GET", "crdt-gid") == ["crdt-gid", "default 1"]
    assert clean.run("CONFIG", "GET", "peerof") == ["peerof", ""]
    clean.peerof(2, HOST, dead_port)
    clean.peerof(15, HOST, dead_port)
    assert clean.run("CONFIG", "GET", "peerof") == [
        "peerof", f"2 {HOST} {dead_port}", "peerof", f"15 {HOST} {dead_port}"]
    assert clean.run("CONFIG", "GET", "port") == ["port", str(clean.port)]
    assert clean.run("CONFIG", "REWRITE") == "OK"


# links


@pytest.mark.parametrize("kind", ["wrong gid", "wrong namespace", "stock", "itself", "nothing", "password"])
def test_wrong_upstreams_stay_down(redis_of, kind):
    a = redis_of(1)
    other = {"wrong gid": lambda: redis_of(3), "wrong namespace": lambda: redis_of(2, namespace="other"),
             "stock": redis_of, "itself": lambda: a, "nothing": lambda: None, "password": lambda: redis_of(2)}[kind]()
    if kind == "password":
        other.run("CONFIG", "SET", "requirepass", "secret")
    a.peerof(2, HOST, other.port if other else free_port())
    stays(lambda: not a.peers[2].up, 1.0, "the link being down")
    peer = a.peers[2]
    assert (peer.last_io_s, peer.sync, peer.never_up) == (-1, False, True)


def test_lost_link_is_down_at_once_and_counts_seconds(redis_of):
    a, b = redis_of(1), redis_of(2)
    a.pull_from(b)
    up = a.wait_up(2)
    began = time.monotonic()
    b.kill()
    down = wait_until(lambda: None if a.peers[2].up else a.peers[2], 1.0, "the loss to show")
    assert down.last_io_s == -1 and down.down_since_s <= 1 + time.monotonic() - began and down.replid == up.replid
    wait_until(lambda: a.peers[2].down_since_s >= 1, 5, "the seconds to grow over the retries")


def test_client_kill_comes_back_by_partial_sync(redis_of):
    a, b = redis_of(1), redis_of(2)
    a.pull_from(b)
    up = a.wait_up(2)
    b.run("CLIENT", "KILL", "SKIPME", "yes", "TYPE", "normal") if not uses_real_crdt() else \
        b.run("CLIENT", "KILL", "TYPE", "crdt.slave")
    a.wait_up(2)
    assert a.peers[2].replid == up.replid


@standin_only
def test_forced_states(clean, dead_port):
    clean.peerof(2, HOST, dead_port)
    clean.standin("LINK", 2, "stale")
    assert clean.peers[2].up and clean.peers[2].last_io_s > 25
    clean.standin("LINK", 2, "down", "down-since", 90)
    assert not clean.peers[2].up and clean.peers[2].down_since_s == 90
    clean.standin("LINK", 2, 7, "offset", 1234)
    assert (clean.peers[2].status, clean.peers[2].last_io_s, clean.peers[2].offset) == ("up", 7, 1234)
    clean.standin("LINK", 2, "auto")
    assert not clean.peers[2].up


@standin_only
def test_loading_mode(clean):
    clean.standin("MODE", "loading", "on")
    for words in (("PING",), ("GET", "k"), ("DBSIZE",), ("CRDT.AUTH", "default", 1)):
        assert clean.raw(" ".join(map(str, words)).encode() + b"\r\n").startswith(b"-LOADING Redis is loading")
    assert clean.role == "master" and clean.crdt.backstreaming
    assert clean.peerof(2, HOST, 1) == "OK"
    assert clean.run("CONFIG", "REWRITE") == "OK"
    clean.standin("MODE", "loading", "off")
    assert clean.run("PING") in ("PONG", True)


@standin_only
def test_fail_modes(clean):
    clean.standin("FAIL", "peerof", "ERR something broke")
    assert clean.error_of("PEEROF", 2, HOST, 1) == "ERR something broke"
    clean.standin("FAIL", "peerof", "close")
    assert clean.raw(f"peerof 2 {HOST} 1\r\n".encode()) == b""
    clean.standin("FAIL", "peerof", "hang")
    with pytest.raises(TimeoutError):
        clean.raw(f"peerof 2 {HOST} 1\r\n".encode(), timeout=0.5)
    assert clean.peers == {}


@standin_only
def test_log_of_commands(clean, dead_port):
    clean.peerof(2, HOST, dead_port)
    clean.run("CONFIG", "REWRITE")
    assert clean.log("peerof") == [["PEEROF", "2", HOST, str(dead_port)]]
    assert [e[:2] for e in clean.log()] == [["PEEROF", "2"], ["CONFIG", "REWRITE"]]
    clean.clear_log()
    assert clean.log() == []


# 6: proxies


def test_three_hops(redis_of, proxy_of):
    a, b = redis_of(1), redis_of(2)
    near, middle, far, dead = proxy_of(), proxy_of(), proxy_of(), free_port()
    a.pull_from(b, "proxy-type", "XPIPE-PROXY", "proxy-servers", near.uri, "proxy-params",
                f"{middle.tls_uri},{middle.tls_uri} {far.tls_uri}")
    a.wait_up(2)
    assert near.lines()[0] == (f"+PROXY ROUTE {middle.tls_uri},{middle.tls_uri} {far.tls_uri} TCP://{b.address}")
    assert re.fullmatch(rf"\+PROXY ROUTE {far.tls_uri} TCP://{b.address};FORWARD_FOR 127.0.0.1:\d+;", middle.lines()[0])
    assert re.fullmatch(rf"\+PROXY ROUTE TCP://{b.address};FORWARD_FOR 127.0.0.1:\d+ 127.0.0.1:\d+;", far.lines()[0])
    assert dead and a.peers[2].proxy_server == near.uri


def test_tunnels_chain(redis_of, proxy_of):
    a, b, near, far = redis_of(1), redis_of(2), proxy_of(), proxy_of()
    a.pull_from(b, *route_words(near, far))
    a.wait_up(2)
    (one,), (two,) = near.tunnels(), far.tunnels()
    pattern = re.compile(r"(.*)-R\((.*)\)-L\((.*)\)->R\((.*)\)-(.*)")
    first, second = pattern.fullmatch(one[0]).groups(), pattern.fullmatch(two[0]).groups()
    assert first[0] == second[0] == first[1], "the source is the same on every proxy"
    assert first[2] == second[1], "backend of the near one is frontend of the far one"
    assert first[3] == far.address and second[3] == b.address
    assert first[4] == second[4] == f"TCP://{b.address}"
    assert one[1] == "Tunnel-Established" and one[4:6] == [-1, "Not Yet"] and one[6] == near.address
    traffic = near.ask("MONITOR trafficstats")
    assert traffic[0][0] == one[0] and traffic[0][1][1] > 0 and len(traffic[0][2]) == 5
    assert near.ask("MONITOR SocketStats")[0][1][1] == "Empty"
    pings = wait_until(lambda: [p for p in near.ask("MONITOR PingStats") if p[0] > 0], 5, "a probe of the far proxy")
    assert len(pings) == 3 and pings[0][2] == far.address


def test_one_good_of_four_proxies(redis_of, proxy_of):
    a, b, good = redis_of(1), redis_of(2), proxy_of()
    servers = [f"PROXYTCP://{HOST}:{free_port()}" for _ in range(3)] + [good.uri]
    a.pull_from(b, "proxy-type", "XPIPE-PROXY", "proxy-servers", ",".join(servers))
    assert a.wait_up(2, timeout=60).proxy_server == good.uri


def test_cut_refused_and_hanging_proxy(redis_of, proxy_of):
    a, b, near = redis_of(1), redis_of(2), proxy_of()
    a.pull_from(b, *route_words(near))
    a.wait_up(2)
    near.refuse()
    began = time.monotonic()
    assert near.cut() == 1
    down = wait_until(lambda: None if a.peers[2].up else a.peers[2], 1, "the loss to show")
    assert down.down_since_s <= 1 + time.monotonic() - began
    stays(lambda: not a.peers[2].up, 0.5, "the link being down")
    near.refuse(False)
    a.wait_up(2)
    near.hang()
    near.cut()
    wait_until(lambda: a.peers[2].status == "down" and a.peers[2].last_io_s == -1, 5, "the handshake to begin")
    stays(lambda: a.peers[2].status == "down" and a.peers[2].last_io_s == -1, 0.5, "the link being in handshake")


def test_empty_params_give_two_blanks(redis_of, proxy_of):
    a, near = redis_of(1), proxy_of()
    a.peerof(2, HOST, 1234, *route_words(near), "proxy-params", "")
    assert wait_until(near.lines, 5, "a line")[0] == f"+PROXY ROUTE  TCP://{HOST}:1234"


def test_proxy_ping(proxy_of):
    one, two = proxy_of(), proxy_of()
    assert one.ask("PING") == f"PROXY PONG {one.address}"
    target, answered, ms = one.ask(f"PING {two.uri}").split()[2:]
    assert (target, answered) == (two.address, two.address) and int(ms) >= 0
    dead = free_port()
    assert one.ask(f"PING PROXYTCP://{HOST}:{dead}") == f"PROXY PONG {HOST}:{dead} {HOST}:{dead} -99999999"


@pytest.mark.parametrize("data", [b"PING\r\n", b"+proxy PING\r\n", b"*1\r\n$4\r\nPING\r\n", b"+PROXY ROUTE A;;B\r\n",
                                  b"+PROXY ROUTE TCP://127.0.0.1:1;XYZ a#;\r\n",
                                  b"+PROXY ROUTE " + b"x" * 2000])
def test_proxy_closes_on_bad_lines(proxy_of, data):
    proxy = proxy_of()
    with socket.create_connection((HOST, proxy.port), timeout=3) as s:
        s.sendall(data)
        assert s.recv(100) == b""


def test_proxy_keeps_other_options_and_forward_for(proxy_of):
    near, far = proxy_of(), proxy_of()
    target = socket.create_server((HOST, 0))
    uri = f"TCP://{HOST}:{target.getsockname()[1]}"
    with socket.create_connection((HOST, near.port), timeout=3) as s:
        s.sendall(f"+PROXY route {far.uri} {uri}#;FORWARD_FOR 1.2.3.4:555;XYZ a b;\r\nHELLO".encode())
        served, _ = target.accept()
        served.settimeout(3)
        assert served.recv(100) == b"HELLO"
        local = s.getsockname()[1]
        assert far.lines() == [f"+PROXY ROUTE {uri};FORWARD_FOR 1.2.3.4:555 {HOST}:{local};XYZ a b;"]
    assert served.recv(100) == b""
    served.close()
    target.close()
