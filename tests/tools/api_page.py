#!/usr/bin/env python3
"""Prints the API page of a daemon from its own route table: api_page.py BINARY > docs/api-NAME.md

A route line is: METHOD path where scope max_body help. Routes of test builds (/debug/) are left out.
"""

import pathlib
import subprocess
import sys

SCOPES = {
    "public": "anybody: liveness, numbers, refusals",
    "read": "reading",
    "write": "a change of metadata",
    "meta": "calls between daemons",
    "admin": "an operator's switch",
}


def routes_of(binary):
    text = subprocess.run([binary, "--print-routes"], check=True, capture_output=True, text=True, timeout=10).stdout
    rows = [line.split(" ", 5) for line in text.splitlines()]
    for row in rows:
        if len(row) != 6 or row[3] not in SCOPES:
            raise SystemExit(f"api_page: {binary}: unexpected route line: {' '.join(row)}")
    return [row for row in rows if not row[1].startswith("/debug/")]


def size_text(size):
    size = int(size)
    if size >= 1 << 20:
        return f"{size >> 20} MiB"
    return f"{size >> 10} KiB" if size else ""


def print_table(title, rows):
    print(f"\n## {title}\n\n| method | path | scope | body up to | what |\n| --- | --- | --- | --- | --- |")
    for method, path, _, scope, size, text in rows:
        print(f"| {'any' if method == '*' else method} | `{path}` | {scope} | {size_text(size)} | {text} |")


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__.splitlines()[0])
    name = pathlib.Path(sys.argv[1]).name
    rows = routes_of(sys.argv[1])
    refused = [row for row in rows if row[5].startswith("not offered")]
    print(f"# HTTP API of {name}\n")
    print(f"Written by `make docs` from `{name} --print-routes`. A `{{name}}` is one percent-encoded path segment.")
    print("Scopes: " + "; ".join(f"*{scope}* {text}" for scope, text in SCOPES.items() if any(r[3] == scope for r in rows)) + ".")
    print("Scopes are not enforced yet: whoever reaches the port may call everything (`operations.md`, Network).")
    print_table("Routes", [row for row in rows if row not in refused])
    if refused:
        print_table("Known and not offered: 501", refused)


if __name__ == "__main__":
    main()
