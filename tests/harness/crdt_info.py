"""CRDT.INFO replication and INFO as Python values, for tests."""
from dataclasses import dataclass, field

NEVER_S = 315360000  # link_down_since_seconds above this: the link was never up as configured


@dataclass
class Peer:
    gid: int
    host: str
    port: int
    status: str
    last_io_s: int
    sync: bool
    offset: int
    replid: str
    backstream_vc: str = None
    proxy_type: str = None
    proxy_servers: str = None
    proxy_server: str = None
    proxy_params: str = None
    down_since_s: int = None

    @property
    def up(self):
        return self.status == "up"

    @property
    def never_up(self):
        return self.down_since_s is not None and self.down_since_s > NEVER_S

    @property
    def address(self):
        return f"{self.host}:{self.port}"


@dataclass
class CrdtInfo:
    gid: int
    backstreaming: bool
    ovc: dict
    peers: dict                                  # gid -> Peer
    pullers: list = field(default_factory=list)  # of {"ip", "port", "state", "offset", "lag"}
    lines: list = field(default_factory=list)    # as they came


def parse_pairs(text):
    """The "key:value" lines of an INFO answer; the last of equal keys wins."""
    pairs = (line.split(":", 1) for line in text.splitlines() if line and not line.startswith("#") and ":" in line)
    return {k.strip(): v.strip() for k, v in pairs}


def _clock(text):
    return {int(g): int(c) for g, c in (part.split(":") for part in text.split(";") if part)}


def _peer(values, n):
    def get(name, convert=str):
        value = values.get(f"peer{n}_{name}")
        return None if value is None else convert(value)
    return Peer(gid=get("gid", int), host=get("host"), port=get("port", int), status=get("link_status"),
                last_io_s=get("last_io_seconds_ago", int), sync=get("sync_in_progress") == "1",
                offset=get("repl_offset", int), replid=get("replid"), backstream_vc=get("backstream_vc"),
                proxy_type=get("proxy_type"), proxy_servers=get("proxy_servers"), proxy_server=get("proxy_server"),
                proxy_params=get("proxy_params"), down_since_s=get("link_down_since_seconds", int))


def parse_crdt_info(text):
    values = parse_pairs(text)
    peers = {}
    n = 0
    while f"peer{n}_gid" in values:
        peer = _peer(values, n)
        peers[peer.gid] = peer
        n += 1
    count = int(values.get("connected_slaves", 0))
    pullers = [dict(part.split("=", 1) for part in values[f"slave{i}"].split(",")) for i in range(count)]
    return CrdtInfo(gid=int(values["gid"]), backstreaming=values.get("backstreaming") == "1",
                    ovc=_clock(values["ovc"]), peers=peers, pullers=pullers, lines=text.split("\r\n"))
