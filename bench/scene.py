"""The scene of the measurements with Redis: the farm, the DC document that describes it, and the other side.

Real: xpipe-meta (as built), ZooKeeper, TCP. Stood in for: the Redis (bench/redis_farm, one process), the console and the
metaservers of two other DCs (a small HTTP server in here that serves one prepared document and answers the batches).
"""
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness.processes import HOST, Process, built, free_port, wait_until

OWN_DC, OWN_NET, OWN_GID = "jq", 1, 1
OTHER_DCS = {"oy": (2, 2), "fra": (3, 3)}  # name -> (gid, second octet of its masters)
PEER_PORT = 16379  # nobody listens there: the links of the farm are simulated

# one-way shards: OWN_DC is a backup DC of each, its Redis is in net OWN_NET, its keepers are in the next two
PRIMARY_DC, PRIMARY_NET = "oy", 9
REDISES, KEEPERS = 1, 2
FIRST_SHARD_ID = 500000
NAMESPACE = "xpipe"  # of ZooKeeper; the default of the metaserver


def host_of(net, number):
    """As farm_host() in bench/farm_redis.c."""
    return f"127.{net}.{number // 250}.{1 + number % 250}"


def route_of(gid):
    """Servers and params of the route towards a DC: four near proxies, then two hops of three."""
    near = ",".join(f"PROXYTCP://127.0.{gid}.{i}:21080" for i in range(1, 5))
    hops = [",".join(f"PROXYTLS://127.0.{gid + 10 * hop}.{i}:21443" for i in range(1, 4)) for hop in (1, 2)]
    return near, " ".join(hops)


def route_words(gid):
    """The same in the farm's script."""
    servers, params = route_of(gid)
    return f"{servers} {params.replace(' ', '+')}"


# ---- the other side of the metaserver: console and other DCs ----

def dc_document(clusters, routes, containers=()):
    """The DC document of console-api.md 3.9.1."""
    return {"id": OWN_DC, "version": 7, "dcId": 1, "zone": "bench", "metaServers": [], "keeperContainers": list(containers),
            "applierContainers": [], "sentinels": {}, "azs": [], "clusters": {c["id"]: c for c in clusters},
            "routes": [{"id": gid, "clusterType": "", "orgId": 0, "tag": "meta", "srcDc": OWN_DC, "dstDc": dc, "isPublic": True,
                        "routeInfo": " ".join(route_of(gid))} for dc, gid in routes.items()]}


def cluster_document(i, redis, keepers=(), **more):
    """A cluster of one shard."""
    shard = {"id": "s1", "dbId": FIRST_SHARD_ID + i, "sentinelId": 0, "sentinelMonitorName": f"bench-{i:05}+s1+{OWN_DC}",
             "keepers": list(keepers), "redises": [redis], "appliers": []}
    return {"id": f"bench-{i:05}", "dbId": 1 + i, "status": "Normal", "orgId": 8, "version": 7,
            "clusterDesignatedRouteIds": "", "shards": {"s1": shard}, **more}


def document(count, port):
    """'count' bi-direction clusters with one Redis here."""
    def cluster(i):
        redis = {"id": "unknown", "ip": host_of(OWN_NET, i), "port": port, "master": "", "gid": OWN_GID}
        return cluster_document(i, redis, type="BI_DIRECTION", activeDc=None, backupDcs=None,
                                dcs=",".join([OWN_DC, *OTHER_DCS]))
    return dc_document(map(cluster, range(count)), {dc: gid for dc, (gid, _) in OTHER_DCS.items()})


def one_way_document(count, port, container_port):
    """'count' one-way clusters of which this DC is a backup one, with one Redis and KEEPERS keepers here, on a container."""
    def keeper(i, k):
        return {"id": f"{i * 16 + REDISES + k:040x}", "ip": host_of(OWN_NET + REDISES + k, i), "port": port, "master": None,
                "active": k == 0, "keeperContainerId": 1, "priority": 1, "offset": None, "survive": None}

    def cluster(i):
        redis = {"id": "unknown", "ip": host_of(OWN_NET, i), "port": port, "master": "127.0.0.1:0", "gid": None}
        return cluster_document(i, redis, [keeper(i, k) for k in range(KEEPERS)], type="ONE_WAY", activeDc=PRIMARY_DC,
                                backupDcs=OWN_DC, dcs=None)
    container = {"id": 1, "ip": HOST, "port": container_port, "azId": None, "diskType": "default"}
    return dc_document(map(cluster, range(count)), {PRIMARY_DC: OTHER_DCS[PRIMARY_DC][0]}, [container])


class OtherSide(ThreadingHTTPServer):
    """Console, metaservers of other DCs, and every keeper container, which starts keepers of 'farm'. serve() gives it the document."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, farm=None):
        super().__init__((HOST, 0), Handler)
        self.farm = farm
        self.port = self.server_address[1]
        self.etag = '"jq-7-1"'
        self.calls = {}

    def serve(self, dc_document):
        self.document = json.dumps(dc_document).encode()
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    @property
    def url(self):
        return f"http://{HOST}:{self.port}"

    def masters(self, dc, shards):
        gid, net = OTHER_DCS[dc]
        return {"masters": [[c, s, gid, host_of(net, int(c[6:])), PEER_PORT] for c, s in shards]}

    @staticmethod
    def upstreams(shards):
        """What the primary DC says that we should pull from: the active keeper there."""
        def row(c, s):
            active = {"id": "f" * 40, "ip": host_of(PRIMARY_NET, int(c[6:])), "port": PEER_PORT}
            return {"cluster": c, "shard": s, "place": "primary", "hasKeepers": True, "activeKeeper": active, "master": None,
                    "offset": None}
        return {"upstreams": [row(c, s) for c, s in shards]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", etag=None):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if etag:
            self.send_header("ETag", etag)
        self.end_headers()
        if body:
            self.wfile.write(body)

    def note(self, name):
        self.server.calls[name] = self.server.calls.get(name, 0) + 1

    def body(self):
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def do_PUT(self):
        """The active keeper is reported."""
        self.body()
        self.note(self.path.rsplit("/", 1)[-1])
        self.answer(200, b'{"state":0,"message":"success","payload":null}')

    def do_GET(self):
        if self.path.startswith("/keepers/port/"):
            self.note("container")
            self.answer(200, b"{}")  # nobody is in the way
            return
        self.note("document")
        if self.headers.get("If-None-Match") == self.server.etag:
            self.answer(304, etag=self.server.etag)
        else:
            self.answer(200, self.server.document, self.server.etag)

    def do_POST(self):
        body = self.body()
        if self.path.startswith("/keepers/clusters/"):
            self.note("container")
            self.server.farm.start_keeper(body["keeperMeta"]["ip"])
            self.answer(200)
            return
        dc, _, name = self.path.lstrip("/").partition("/")
        self.note(name.rsplit("/", 1)[-1])
        if name.endswith("/peermasters"):
            self.answer(200, json.dumps(self.server.masters(dc, body["shards"])).encode())
        elif name.endswith("/upstreams"):
            self.answer(200, json.dumps(self.server.upstreams(body["shards"])).encode())
        else:
            self.answer(200, b"{}")


# ---- processes ----

class Farm(Process):
    name_of_process = "redis_farm"
    instances = 1  # of a shard

    def __init__(self, workspace, count):
        super().__init__(workspace, self.name_of_process)
        self.count = count
        self.port, self.control = free_port(), free_port()
        self.script = self.dir / "farm.script"
        self.script.write_text("\n".join(self.lines()) + "\n")
        self._file = None
        self._lock = threading.Lock()

    @staticmethod
    def lines():
        return [f"peer {gid} {net} {PEER_PORT} {route_words(gid)}" for gid, net in OTHER_DCS.values()]

    def command(self):
        return [built("redis_farm"), "--port", self.port, "--control", self.control, "--count", self.count,
                "--net", OWN_NET, "--gid", OWN_GID, "--script", self.script]

    def is_ready(self):
        return "ready" in self.log_path.read_text()

    def say(self, line):
        """One line of the script language (bench/farm_control.c); returns the answer."""
        with self._lock:
            if self._file is None:
                self._file = socket.create_connection((HOST, self.control), timeout=10).makefile("rw")
            self._file.write(line + "\n")
            self._file.flush()
            answer = self._file.readline().strip()
        if not answer or answer.startswith("error"):
            raise RuntimeError(f"farm: {line}: {answer or 'no answer'}")
        return answer

    def ask(self, line):
        return json.loads(self.say(line))

    def report(self):
        return self.ask("report")

    def polls(self):
        return self.report()["commands"]["crdt_info"]


class OneWayFarm(Farm):
    """'count' one-way shards of a backup DC, each with REDISES Redis and KEEPERS keepers."""

    name_of_process = "one_way_farm"
    instances = REDISES + KEEPERS

    @staticmethod
    def lines():
        return [f"tree {PRIMARY_NET} {PEER_PORT} {route_words(OTHER_DCS[PRIMARY_DC][0])}"]

    def command(self):
        return [*super().command(), "--redises", REDISES, "--keepers", KEEPERS]

    def polls(self):
        return self.report()["commands"]["role"]

    def register(self, zookeeper, namespace=NAMESPACE):
        """Every keeper in ZooKeeper; how many ms that took."""
        self.say(f"latches {zookeeper.address} {namespace} {FIRST_SHARD_ID}")
        return wait_until(self.registered_ms, 60, "every keeper to be registered in ZooKeeper")

    def start_keeper(self, ip):
        """As its container does; one that runs goes on."""
        net, high, low = (int(x) for x in ip.split(".")[1:])
        self.say(f"start {(net - OWN_NET) * self.count + high * 250 + low - 1}")

    def registered_ms(self):
        told = self.ask("latches")
        if told["failed"]:
            raise RuntimeError(f"farm: keepers could not be registered: {told}; {self.log_tail()}")
        return told["took_ms"]


def boot_us():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000  # the clock of the farm
