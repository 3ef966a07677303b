"""What bench-console measures the console against, and with: nginx, bare SQLite, the load.

nginx has one worker and serves the bytes that the console answered, from files; it also takes what is pushed to metaservers.
"""
import json
import os
import shutil
import subprocess

from report import ROOT, TICKS, cpu_s
from harness.processes import HOST, Process, accepts, built, free_port

CONNECTIONS = 16


class Nginx(Process):
    """Serves the files of self.root, and takes whatever is pushed to /api/meta/."""

    def __init__(self, workspace):
        super().__init__(workspace, "nginx")
        self.port = free_port()
        self.root = self.dir / "root"
        self.root.mkdir()
        temps = "\n".join(f"    {kind}_temp_path {self.dir}/{kind};"
                          for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        self.config = self.dir / "nginx.conf"
        self.config.write_text(f"""
daemon off;
master_process off;
worker_processes 1;
pid {self.dir}/nginx.pid;
error_log stderr;
events {{ worker_connections 2048; }}
http {{
{temps}
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    open_file_cache max=100;
    types {{ }}
    default_type "application/json;charset=UTF-8";
    server {{
        listen {HOST}:{self.port};
        location / {{ root {self.root}; etag on; }}
        location /api/meta/ {{ return 200; }}
    }}
}}
""")

    def command(self):
        return [shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") or "nginx", "-c", self.config,
                "-e", "stderr", "-p", self.dir]

    def is_ready(self):
        return accepts(self.port)

    def put(self, name, data):
        (self.root / name).write_bytes(data)
        return f"/{name}"

    @property
    def url(self):
        return f"http://{HOST}:{self.port}"


class BareStore:
    """bench/bare_store over a copy of the console's database."""

    def __init__(self, workspace, database):
        self.path = workspace.dir / "bare.db"
        shutil.copy(database, self.path)
        self.popen = subprocess.Popen([built("bare_store"), self.path], cwd=ROOT, text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, first, count):
        self.popen.stdin.write(f"{first} {count}\n")
        self.popen.stdin.flush()
        line = self.popen.stdout.readline()
        if not line:
            raise RuntimeError("bare_store ended")
        return json.loads(line)

    def close(self):
        self.popen.stdin.close()
        self.popen.wait(30)


def load(port, path=None, requests_file=None, expect=200, connections=CONNECTIONS, headers=(), **options):
    """One run of http_load (bench/http_load.c has the options); its report. Any answer but 'expect' is an error."""
    command = [built("http_load"), "--port", port, "--connections", connections, "--expect", expect]
    command += ["--path", path] if path else ["--requests", requests_file]
    for header in headers:
        command += ["--header", header]
    for key, value in options.items():
        command += [f"--{key}", value]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"http_load: {done.stderr} {done.stdout}")
    return json.loads(done.stdout)


class Served:
    """CPU of one server for the same request over and over."""

    def __init__(self, server, seconds, **what):
        before = cpu_s(server.pid)
        self.report = load(server.port, seconds=seconds, **what)
        self.cpu = max(cpu_s(server.pid) - before, 1 / TICKS)
        self.us = 1e6 * self.cpu / max(1, self.report["answered"])
        self.per_cpu_s = self.report["answered"] / self.cpu
