"""HTTP servers whose answers a test decides: a console, and the metaserver of another DC.

Each runs on threads of the test process. What came is in `requests` as (method, path, parsed body), oldest first.
"""
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from .processes import HOST


class ScriptedServer:
    """Calls answer(method, path, body) for each request: (status, value) or (status, bytes); a value goes out as JSON."""

    def __init__(self, host=HOST):
        self.requests = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # an answer is two writes: the second would wait 40 ms for the acknowledgement of the first

            def serve(self):
                length = int(self.headers.get("Content-Length") or 0)
                text = self.rfile.read(length)
                body = json.loads(text) if text else None
                owner.requests.append((self.command, self.path, body))
                status, value = owner.answer(self.command, urlsplit(self.path).path, body)
                data = value if isinstance(value, bytes) else b"" if value is None else json.dumps(value).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the caller gave up: its business

            do_GET = do_PUT = do_POST = do_DELETE = serve

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server((host, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.host, self.port = self._server.server_address
        self.url = f"http://{self.host}:{self.port}"

    def answer(self, method, path, body):
        raise NotImplementedError

    def seen(self, method, prefix):
        """The requests with this method whose path starts so."""
        return [r for r in list(self.requests) if r[0] == method and r[1].startswith(prefix)]

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class ScriptedConsole(ScriptedServer):
    """Answers GET /api/dc/{dc} with `document` (a dict, or bytes as they are).

    hold(): answers wait, with the document of the moment of the request, until release().
    """

    def __init__(self, dc):
        self.dc = dc
        self.document = self.empty()
        self._open = threading.Event()
        self._open.set()
        self.held = threading.Semaphore(0)  # one release per request that waits
        super().__init__()

    def empty(self, **fields):
        return {"id": self.dc, "clusters": {}, "routes": [], "keeperContainers": [], "sentinels": {}, **fields}

    def cluster(self, db_id, name=None, port=1):
        """A BI_DIRECTION cluster of one shard with one Redis."""
        return {"id": name or f"c{db_id}", "dbId": db_id, "type": "BI_DIRECTION", "dcs": self.dc, "orgId": 8,
                "shards": {"s1": {"id": "s1", "dbId": db_id * 10, "keepers": [],
                                  "redises": [{"ip": HOST, "port": port, "master": ""}]}}}

    def serve_clusters(self, ids, **fields):
        self.document = self.empty(clusters={f"c{i}": self.cluster(i) for i in ids}, **fields)

    def hold(self):
        self._open.clear()

    def release(self):
        self._open.set()

    def answer(self, method, path, body):
        if not path.lower().startswith("/api/dc/"):
            return 200, None
        document = self.document
        if not self._open.is_set():
            self.held.release()
            self._open.wait(30)
        return 200, document

    def close(self):
        self.release()
        super().close()


class ScriptedMetaserver(ScriptedServer):
    """The metaserver of another DC. masters: (cluster, shard) -> (gid, host, port); java=True knows no batches."""

    def __init__(self, java=False):
        self.java = java
        self.masters = {}
        super().__init__()

    def answer(self, method, path, body):
        words = [unquote(w) for w in path.strip("/").split("/")]
        if path.startswith("/api/meta/v2/"):
            return self._batch(words[-1], body)
        if words[2:3] == ["getpeermaster"]:
            master = self.masters.get(tuple(words[3:5]))
            return 200, master and dict(zip(("gid", "ip", "port"), master), id=None, master="", offset=0)
        return 200, None

    def _batch(self, word, body):
        if self.java:
            return 404, {"message": "no such path"}
        if word != "peermasters":
            return 200, {}
        rows = [[*name, *self.masters[tuple(name)]] for name in body["shards"] if tuple(name) in self.masters]
        return 200, {"masters": rows}
