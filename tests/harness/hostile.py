"""Servers that say anything at all, byte by byte, and what a daemon under attack is measured by.

    RawServer    a TCP server: serve(connection) runs on a thread of its own for each connection
    RawHttp      the same with the request read: reply(connection, method, path, body) sends what it likes
    FakeRedis    speaks RESP: `replies` maps a command to bytes, or to a function that sends them; keeps what it was told
    Trial        between two moments: growth of memory and of files, no sanitizer report, no crash
"""
import json
import re
import socket
import struct
import threading
import time

from .processes import HOST, build_dir

SANITIZER = re.compile(r"(?<!WARNING: )AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:|Assertion .* failed")
ACCEPT_S = 0.2


class RawServer:
    """Listens on a free port, or the given one. `serving` is the number of connections that are open now."""

    def __init__(self, port=0):
        self.connections = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((HOST, port))
        self._socket.listen(128)
        self._socket.settimeout(ACCEPT_S)
        self._open = set()
        self._lock = threading.Lock()
        self.closed = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def port(self):
        return self._socket.getsockname()[1]

    @property
    def address(self):
        return f"{HOST}:{self.port}"

    @property
    def serving(self):
        return len(self._open)

    def _accept(self):
        while not self.closed.is_set():
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            connection.settimeout(10)
            self.connections += 1
            with self._lock:
                self._open.add(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        try:
            self.serve(connection)
        except (OSError, ValueError):
            pass  # the other side has gone, or the test closed us
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def serve(self, connection):
        raise NotImplementedError

    def cut(self):
        """Ends all connections that are open."""
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self.closed.set()
        self._thread.join()
        self._socket.close()
        self.cut()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


# what a server may do with a connection; each ends by returning


def reset(connection):
    """RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def wait_closed(connection):
    """Says nothing until the other side gives up."""
    while connection.recv(65536):
        pass


def drip(connection, data, gap_s=1.0):
    """One byte after the other."""
    for i in range(len(data)):
        connection.sendall(data[i:i + 1])
        time.sleep(gap_s)


def flood(connection, piece, head=b"", limit_bytes=1 << 30):
    """The same piece again and again until the other side has had enough, or the limit."""
    connection.sendall(head)
    sent = 0
    while sent < limit_bytes:
        connection.sendall(piece)
        sent += len(piece)


def http_answer(body, status=200, headers=()):
    """A whole answer as bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}", *(headers or ["Content-Type: application/json"])]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


class RawHttp(RawServer):
    """One request a connection. `requests` holds (method, path, body)."""

    def __init__(self, reply=None):
        self.requests = []
        if reply:
            self.reply = reply
        super().__init__()

    @property
    def url(self):
        return f"http://{self.address}"

    def serve(self, connection):
        got = b""
        while b"\r\n\r\n" not in got:
            piece = connection.recv(65536)
            if not piece:
                return
            got += piece
        head, _, body = got.partition(b"\r\n\r\n")
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        while length and len(body) < int(length.group(1)):
            body += connection.recv(65536)
        method, path = head.split(b" ")[:2]
        self.requests.append((method.decode(), path.decode("latin-1"), body))
        self.reply(connection, method.decode(), path.decode("latin-1"), body)

    def reply(self, connection, method, path, body):
        raise NotImplementedError

    def seen(self, method, prefix):
        return [r for r in list(self.requests) if r[0] == method and r[1].startswith(prefix)]


def bulk(text):
    data = text if isinstance(text, bytes) else text.encode()
    return b"$%d\r\n%s\r\n" % (len(data), data)


def role_master(offset=0):
    return b"*3\r\n$6\r\nmaster\r\n:%d\r\n*0\r\n" % offset


SERVER_INFO = "# Server\r\nredis_version:4.0.8\r\nxredis_crdt_version:1.0.22\r\nrun_id:" + "a" * 40 + "\r\nuptime_in_seconds:900\r\n"


def crdt_info(gid=1, peers=(), more=""):
    """A CRDT.INFO answer; peers are dicts of peerN_* fields."""
    lines = [f"gid:{gid}", "backstreaming:0", *(f"peer{i}_{k}:{v}" for i, p in enumerate(peers) for k, v in p.items())]
    return "# CRDT Replication\r\n" + "".join(line + "\r\n" for line in lines) + more


class FakeRedis(RawServer):
    """replies: command in lower case ("role", "crdt.info", "info", "client", "config", "peerof") -> bytes or fn(connection)."""

    def __init__(self, gid=1, port=0, peers=()):
        self.gid = gid
        self.peers = peers
        self.commands = []
        self.on_connect = None
        self.replies = {}
        self.heal()
        super().__init__(port)

    def heal(self):
        """A sound CRDT master with its peers again, at one stroke: who asks meanwhile sees no peer missing."""
        self.on_connect = None
        self.replies = {"role": role_master(), "crdt.info": bulk(crdt_info(self.gid, self.peers)), "info": bulk(SERVER_INFO)}

    def harmful(self):
        """Everything it was told that is no question."""
        return [c for c in list(self.commands) if c[0].lower() not in ("role", "crdt.info", "info", "client", "ping")]

    def serve(self, connection):
        if self.on_connect:
            self.on_connect(connection)
            return
        stream = connection.makefile("rb")
        while True:
            words = self._command(stream)
            if not words:
                return
            self.commands.append(words)
            answer = self.replies.get(words[0].lower(), b"+OK\r\n")
            if callable(answer):
                answer(connection)
            else:
                connection.sendall(answer)

    @staticmethod
    def _command(stream):
        line = stream.readline()
        if not line.startswith(b"*"):
            return None
        words = []
        for _ in range(int(line[1:])):
            length = int(stream.readline()[1:])
            words.append(stream.read(length).decode(errors="replace"))
            stream.read(2)
        return words


# what is measured


def is_sanitized():
    return "san" in build_dir().name


def status_kb(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(rf"^{field}:\s+(\d+)", status.read(), re.M).group(1))


def open_files(pid):
    import os
    return len(os.listdir(f"/proc/{pid}/fd"))


class Trial:
    """with Trial(meta): ...   The daemon lives, reports nothing bad, and its memory never grew by more than `grow_mb`.

    Under a sanitizer memory is several times as large and is given back late, so the limit is.
    """

    def __init__(self, process, grow_mb=100):
        self.process = process
        self.limit_kb = grow_mb * 1024 * (6 if is_sanitized() else 1)

    def __enter__(self):
        self.pid = self.process.pid
        with open(f"/proc/{self.pid}/clear_refs", "w", encoding="ascii") as f:
            f.write("5")  # the peak starts from the present size
        self.before_kb = status_kb(self.pid, "VmRSS")
        self.mark = self.process.log_path.stat().st_size
        return self

    def log(self):
        """What the daemon logged since the beginning."""
        with open(self.process.log_path, "rb") as f:
            f.seek(self.mark)
            return f.read().decode(errors="replace")

    def grown_mb(self):
        return (status_kb(self.pid, "VmHWM") - self.before_kb) / 1024

    def __exit__(self, kind, *exc):
        if kind is None:
            assert self.process.running and self.process.pid == self.pid, self.process.log_tail()
            assert not SANITIZER.search(self.log()), self.process.log_tail(80)
            grown = self.grown_mb()
            assert grown * 1024 <= self.limit_kb, f"memory grew by {grown:.0f} MB"


def assert_clean(process):
    """Ends the process; no sanitizer report, no leak, exit code 0."""
    process.stop()
    text = process.log_path.read_text(errors="replace")
    assert not SANITIZER.search(text), process.log_tail(80)
    assert process.exit_code == 0, f"{process.name} ended with {process.exit_code}\n{process.log_tail()}"
