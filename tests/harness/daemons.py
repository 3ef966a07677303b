"""xpipe-meta and xpipe-console as processes, each with a generated ini file.

Further keys are given with their names of the file: Console(..., settings={"console.notify.retry.min.ms": 100}).
"""
import json
import os
import signal

import requests
from urllib3.exceptions import ProtocolError

from .processes import HOST, Process, built, free_port

HTTP_TIMEOUT_S = 10.0
COMMON = ("log.", "drain.", "open.files.", "http.idle.", "http.body.", "http.bodies.")  # keys of the section [common]


class ApiError(AssertionError):
    """An HTTP answer that is not what the caller wanted; the text holds request and answer."""


def _was_closed(error):
    """By the other side, before it answered anything: RemoteDisconnected is a ConnectionResetError."""
    why = error.args[0] if error.args else None
    return isinstance(why, ProtocolError) and len(why.args) > 1 and isinstance(why.args[1], ConnectionResetError)


class Daemon(Process):
    """Common part: the ini file, HTTP calls, /metrics."""

    program = None
    section = None
    stop_timeout_s = 15.0  # drain.limit.ms is 10 s by default
    must_live = True

    def __init__(self, workspace, name, settings=None):
        super().__init__(workspace, name)
        self.port = free_port()
        self.settings = {}
        self.more_settings = dict(settings or {})
        self.ini_path = self.dir / "xpipe.ini"
        self._session = requests.Session()
        self._session.trust_env = False  # no HTTP proxy of the environment

    @property
    def url(self):
        return f"http://{HOST}:{self.port}"

    def command(self):
        return [built(self.program), "--config", self.ini_path]

    def write_ini(self):
        def lines(values):
            return "".join(f"{k} = {_ini_value(v)}\n" for k, v in values.items())
        common = {"log.level": "debug"}
        values = {**self.settings, **self.more_settings}
        common.update({k: values.pop(k) for k in list(values) if k.startswith(COMMON)})
        self.ini_path.write_text(f"[common]\n{lines(common)}\n[{self.section}]\n{lines(values)}")

    def start(self, wait=True):
        self.write_ini()
        return super().start(wait)

    def is_ready(self):
        return self.request("GET", "/health", timeout=2.0).status_code == 200

    def request(self, method, path, body=None, timeout=HTTP_TIMEOUT_S, **options):
        """The requests.Response as it is; 'body' is sent as JSON. A GET on a kept connection that the daemon closed meanwhile, as it does with
        idle ones, goes once more on a new one: a daemon that has died refuses that."""
        if body is not None:
            options["json"] = body
        try:
            return self._session.request(method, self.url + path, timeout=timeout, **options)
        except requests.ConnectionError as error:
            if method != "GET" or not _was_closed(error):
                raise
            return self._session.request(method, self.url + path, timeout=timeout, **options)

    def get(self, path, **options):
        """The JSON of a 200 answer; None for an empty one."""
        return self._json("GET", path, None, options)

    def _json(self, method, path, body, options):
        answer = self.request(method, path, body, **options)
        if answer.status_code != 200:
            raise ApiError(f"{method} {self.url}{path} {json.dumps(body)} -> {answer.status_code} {answer.text[:2000]}")
        return answer.json() if answer.content else None

    def reload(self):
        """Writes the ini file again (after a change of more_settings) and sends SIGHUP."""
        self.write_ini()
        os.kill(self.pid, signal.SIGHUP)

    def readiness(self):
        """(True or False, reasons) of GET /ready."""
        answer = self.request("GET", "/ready").json()
        return answer["ready"], answer.get("reasons", [])

    def metrics(self):
        """name{labels} -> value of /metrics."""
        text = self.request("GET", "/metrics").text
        pairs = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}


def _ini_value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, (dict, list)) else value


class Console(Daemon):
    program = "xpipe-console"
    section = "console"

    def __init__(self, workspace, name="console", settings=None):
        super().__init__(workspace, name, settings)
        self.db_path = self.dir / "console.db"
        self.settings = {"console.port": self.port, "console.bind.ip": HOST, "console.db.path": self.db_path,
                         "metaservers": {}}

    def set_metaservers(self, addresses):
        """{dc: url of one of its metaservers}; before the start."""
        self.settings["metaservers"] = addresses

    def write(self, method, path, body=None):
        """A call of the compatible API that changes something: state must be 0. Returns the whole answer."""
        answer = self._json(method, path, body, {})
        if not isinstance(answer, dict) or answer.get("state") != 0:
            raise ApiError(f"{method} {self.url}{path} {json.dumps(body)} -> {answer}")
        return answer

    def post(self, path, body=None):
        return self.write("POST", path, body)

    def put(self, path, body=None):
        return self.write("PUT", path, body)

    def delete(self, path, body=None):
        return self.write("DELETE", path, body)


class Meta(Daemon):
    program = "xpipe-meta"
    section = "meta"

    def __init__(self, workspace, name, dc, server_id, zookeeper, settings=None, namespace="xpipe"):
        super().__init__(workspace, name, settings)
        self.dc = dc
        self.server_id = server_id
        self.zookeeper = zookeeper
        self.settings = {"metaserver.id": server_id, "dc": dc, "server.ip": HOST, "server.port": self.port,
                         "server.bind.ip": HOST, "zk.address": zookeeper.address, "zk.namespace": namespace,
                         "data.dir": self.dir, "meta.cluster.types": "ONE_WAY,BI_DIRECTION"}

    def set_addresses(self, console_url, metaservers):
        """console_url and {dc: url}; before the start."""
        self.settings["console.address"] = console_url
        self.settings["dcinfos"] = {dc: {"metaServerAddress": url} for dc, url in metaservers.items()}
