#!/usr/bin/env python3
"""Cheap checks of the source tree, part of `make check`: check_tree.py [ROOT]

1. Includes point one way: base <- net, model, db <- proxy <- crdt <- meta, console, ctl; never sideways.
2. Every .c file includes shared/base/banned.h, as its last include.
3. A file name says which file is meant: it is unique in the whole tree.
4. Every fault point of shared/base/fault.h is hit by the product, and set by a test other than that of fault.c itself.
Prints FILE:LINE: why for each breach; exits 1 when there is one.
"""

import pathlib
import re
import subprocess
import sys

# Folder -> folders it may include from; its own is always allowed.
ALLOWED = {
    "shared/base": [],
    "shared/net": ["shared/base"],
    "shared/model": ["shared/base"],
    "shared/db": ["shared/base"],
    "shared/crdt": ["shared/base", "shared/net", "shared/model", "shared/proxy"],  # PEEROF carries a route
    "shared/proxy": ["shared/base", "shared/net", "shared/model"],
    "shared/switch": ["shared/base", "shared/net", "shared/model"],
    "meta": ["shared"],
    "console": ["shared"],
    "ctl": ["shared"],
}
GENERATED = {"schema_sql.h"}  # made by the Makefile, in the build folder
ENTRY_POINTS = {"main.c", "app.c", "app.h"}  # each daemon has its own
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
ANY_INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]')
BANNED = "shared/base/banned.h"


def sources(root):
    """Every .c and .h file that git tracks or would track."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.c", "*.h"],
        check=True,
        capture_output=True,
    ).stdout.decode()
    return sorted(name for name in set(listed.split("\0")) if name and (root / name).is_file())


def folder_of(name):
    """The rule that a file falls under, or None (tests and benches may include anything)."""
    for folder in ALLOWED:
        if name.startswith(folder + "/"):
            return folder
    return None


def inside(name, folder):
    return name.startswith(folder + "/")


def check_includes(root, name, lines):
    folder = folder_of(name)
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match or not folder or match.group(1) in GENERATED:
            continue
        target = match.group(1)
        if not (root / target).is_file():
            yield f'{name}:{number}: "{target}" is not a path from the top of the tree'
        elif not any(inside(target, allowed) for allowed in [folder, *ALLOWED[folder]]):
            yield f"{name}:{number}: {folder} must not include {target}"


def check_banned(name, lines):
    found = [(number, m.group(1)) for number, line in enumerate(lines, 1) if (m := ANY_INCLUDE.match(line))]
    if not found or found[-1][1] != BANNED:
        yield f"{name}:{found[-1][0] if found else 1}: the last include must be {BANNED}"


def check_names(names):
    first = {}
    for name in names:
        base = pathlib.PurePath(name).name
        if base in ENTRY_POINTS:
            continue
        if base in first:
            yield f"{name}:1: has the same file name as {first[base]}"
        first.setdefault(base, name)


def check_faults(root, names):
    header = "shared/base/fault.h"
    if not (root / header).is_file():
        return
    points = re.findall(r"^\s*F\((\w+)\)", (root / header).read_text(encoding="utf-8"), re.M)
    product = "".join((root / n).read_text(encoding="utf-8") for n in names if folder_of(n) and n.endswith(".c"))
    tests = "".join(
        path.read_text(encoding="utf-8")
        for path in sorted((root / "tests").rglob("*"))
        if path.suffix in (".c", ".py") and path.name not in ("fault_test.c", "fault_fuzz.c")
    )
    for point in points:
        if not re.search(rf"\bFAULT_{point}\b", product):
            yield f"{header}:1: fault point {point} is hit nowhere"
        if not re.search(rf"\b{point}\b", tests):
            yield f"{header}:1: fault point {point} is set by no test"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    names = sources(root)
    breaches = list(check_names(names))
    unruled = {n.split("/")[1] for n in names if n.startswith("shared/") and folder_of(n) is None}
    breaches += [f"shared/{folder}:1: has no rule in check_tree.py" for folder in sorted(unruled)]
    breaches += check_faults(root, names)
    for name in names:
        lines = (root / name).read_text(encoding="utf-8").splitlines()
        breaches += check_includes(root, name, lines)
        if name.endswith(".c"):
            breaches += check_banned(name, lines)
    for breach in breaches:
        print(breach)
    print(f"tree: {len(names)} files, {len(breaches)} breaches")
    return 1 if breaches or not names else 0


if __name__ == "__main__":
    sys.exit(main())
