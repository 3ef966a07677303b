"""What every measurement ends with: a table, and build/bench/NAME.json with {"figures": [...], "machine": {...}}.

A figure is {"name", "value", "unit", "bar", "ok"}: bar is the most that is allowed (with "at_least": the least), None where
nothing is promised. The exit code of a bench is 1 when a figure is not ok.
"""
import json
import os
import platform
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # for every bench: it imports this module first
from harness.processes import build_dir  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")


class Report:
    def __init__(self, name, out=None):
        self.path = out or ROOT / "build/bench" / f"{name}.json"
        self.figures = []
        self.facts = {}  # about this run, told with the machine

    def figure(self, name, value, unit, bar=None, ok=None, at_least=False):
        """ok overrides the comparison with the bar."""
        if ok is None:
            ok = bar is None or (value >= bar if at_least else value <= bar)
        figure = {"name": name, "value": round(value, 3), "unit": unit, "bar": bar, "ok": bool(ok)}
        self.figures.append({**figure, "at_least": True} if at_least and bar is not None else figure)

    @property
    def ok(self):
        return bool(self.figures) and all(f["ok"] for f in self.figures)

    def finish(self):
        """Prints and writes it; returns the exit code."""
        self.show()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"figures": self.figures, "machine": {**machine(), **self.facts}}, indent=1)
        self.path.write_text(text + "\n")
        print(f"written to {self.path}")
        return 0 if self.ok else 1

    def show(self):
        width = max((len(f["name"]) for f in self.figures), default=0)
        print(f"{'figure':<{width}} {'value':>12} {'bar':>9}")
        for f in self.figures:
            bar = "" if f["bar"] is None else f"{'>=' if f.get('at_least') else '<='} {f['bar']:g}"
            verdict = "" if f["bar"] is None and f["ok"] else "ok" if f["ok"] else "MISSED"
            print(f"{f['name']:<{width}} {f['value']:>12,.2f} {bar:>9} {f['unit']:<6} {verdict}")


def machine():
    cpu = next((x.split(":", 1)[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines()
                if x.startswith("model name")), platform.machine())
    return {"cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release(), "load": list(os.getloadavg()),
            "build": str(build_dir())}


# ---- processes ----

def cpu_s(pid):
    """utime + stime."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mb(pid, what="VmRSS"):
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith(what))
    return int(line.split()[1]) / 1024
