"""The stand-in proxy as a process, with its failures on demand and a client of its protocol."""
import socket

from .processes import HOST, Process, accepts, built, free_port

TIMEOUT_S = 5.0


class Proxy(Process):
    def __init__(self, workspace, name):
        super().__init__(workspace, name)
        self.port = free_port()
        self.control_port = free_port()
        self.lines_path = self.dir / "lines.log"

    def command(self):
        return [built("fake_proxy"), "--port", self.port, "--control-port", self.control_port, "--log", self.lines_path]

    def is_ready(self):
        return accepts(self.control_port)

    @property
    def address(self):
        return f"{HOST}:{self.port}"

    @property
    def uri(self):
        return f"PROXYTCP://{self.address}"

    @property
    def tls_uri(self):
        """The stand-in takes TLS hops as plain TCP."""
        return f"PROXYTLS://{self.address}"

    def lines(self):
        """The connect lines that came, oldest first, without CR LF."""
        if not self.lines_path.exists():
            return []
        return [line.split(" ", 2)[2] for line in self.lines_path.read_text().splitlines()]

    def control(self, command):
        with socket.create_connection((HOST, self.control_port), timeout=TIMEOUT_S) as s:
            s.sendall(command.encode() + b"\n")
            answer = s.makefile("r").readline().strip()
        if not answer.startswith("OK"):
            raise RuntimeError(f"proxy {self.name}: {command!r} answered {answer!r}")
        return answer[3:]

    def refuse(self, on=True):
        """Connections are refused, as if the process were gone."""
        self.control(f"refuse {'on' if on else 'off'}")

    def hang(self, on=True):
        """Connections are accepted and never answered."""
        self.control(f"hang {'on' if on else 'off'}")

    def cut(self):
        """Closes every connection now; returns how many."""
        return int(self.control("cut"))

    def delay(self, ms):
        self.control(f"delay {ms}")

    def status(self):
        return {k: int(v) for k, v in (pair.split("=") for pair in self.control("status").split())}

    def ask(self, text):
        """One request of the protocol ("PING", "MONITOR TunnelStats"); the parsed answer."""
        with socket.create_connection((HOST, self.port), timeout=TIMEOUT_S) as s:
            s.sendall(f"+PROXY {text}\r\n".encode())
            return _read_value(s.makefile("rb"))

    def tunnels(self):
        """TunnelStats as lists of eight."""
        return self.ask("MONITOR TunnelStats")


def _read_value(stream):
    line = stream.readline().decode().rstrip("\r\n")
    if not line:
        raise ConnectionError("the proxy closed the connection")
    kind, rest = line[0], line[1:]
    if kind == "*":
        return [_read_value(stream) for _ in range(int(rest))]
    return int(rest) if kind == ":" else rest


def route_words(near, *further):
    """PEEROF words for hops, each a Proxy or a list of alternatives: route_words(a, [b, c])."""
    def hop(proxies, attribute):
        return ",".join(getattr(p, attribute) for p in (proxies if isinstance(proxies, (list, tuple)) else [proxies]))
    words = ["proxy-type", "XPIPE-PROXY", "proxy-servers", hop(near, "uri")]
    if further:
        words += ["proxy-params", " ".join(hop(f, "tls_uri") for f in further)]
    return words
