#!/usr/bin/env python3
"""Members that say XP_GUARDED_BY_MEMBER(lock) are used with that lock held: check_locks.py [ROOT], part of `make check-tree`.

Clang's analysis cannot see members of a C struct, so this reads the text. A function may use a guarded member when it
- has more mutex_lock(...lock) than mutex_unlock(...lock) before that line,
- says XP_REQUIRES(...lock): then Clang checks that its callers hold it, or
- says XP_ALONE: no other thread knows the object yet, or any more.
Also: a struct with a mutex guards something, and nobody takes a pthread mutex past struct mutex. Members of a file are looked for in
that file, those of a private header in the files that include it. Prints FILE:LINE: why; exits 1 when there is a breach.
"""

import pathlib
import re
import sys

FOLDERS = ("shared", "meta", "console", "ctl")
GUARDED = re.compile(r"(\w+)\s*(?:\[[^\]]*\])?\s*XP_GUARDED_BY_MEMBER\((\w+)\)")
STRUCT = re.compile(r"^(?:static )?struct\s+(?:XP_CAPABILITY\s+)?(\w+)?\s*\{(.*?)^\}", re.M | re.S)
MUTEX = re.compile(r"\bstruct mutex (\w+);")
BARE = re.compile(r"\bpthread_(?:mutex|rwlock|spin)_\w+\(")
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
HOME_OF_MUTEX = "shared/base/thread.c"


def without_comments(text):
    """The same lines, comments blanked."""
    return COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def functions(text):
    """(head, first line of the body, lines of the body) of each function definition in house format."""
    lines = text.split("\n")
    at = 0
    for number, line in enumerate(lines):
        if line == "{":
            head, i = [], number - 1
            while i >= at and lines[i] and not lines[i].startswith("}"):
                head.insert(0, lines[i])
                i -= 1
            end = next(n for n in range(number, len(lines)) if lines[n].startswith("}"))
            yield "\n".join(head), number + 1, lines[number:end]
            at = end + 1


def is_held(head, before, lock):
    taken = len(re.findall(rf"mutex_lock\([^;]*\b{lock}\)", before))
    given = len(re.findall(rf"mutex_unlock\([^;]*\b{lock}\)", before))
    return "XP_ALONE" in head or taken > given or re.search(rf"XP_REQUIRES\([^)]*\b{lock}\)", head)


def check_uses(name, text, guards):
    for head, first, body in functions(text):
        for offset, line in enumerate(body):
            for member, lock in guards.items():
                if re.search(rf"(?:->|\.){member}\b", line) and not is_held(head, "\n".join(body[: offset + 1]), lock):
                    yield f"{name}:{first + offset}: '{member}' is used without {lock}"


def check_structs(name, text):
    for found in STRUCT.finditer(text):
        for lock in MUTEX.findall(found.group(2)):
            if f"XP_GUARDED_BY_MEMBER({lock})" not in found.group(2):
                line = text[: found.start()].count("\n") + 1
                yield f"{name}:{line}: struct {found.group(1)}: no member says XP_GUARDED_BY_MEMBER({lock})"


def check_bare(name, text):
    for found in BARE.finditer(text):
        if name != HOME_OF_MUTEX:
            yield f"{name}:{text[: found.start()].count(chr(10)) + 1}: {found.group()[:-1]}: use struct mutex"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    files = {
        str(path.relative_to(root)): without_comments(path.read_text(encoding="utf-8"))
        for folder in FOLDERS
        for path in sorted((root / folder).rglob("*.[ch]"))
    }
    guards = {name: dict(GUARDED.findall(text)) for name, text in files.items() if name != "shared/base/thread.h"}
    breaches = []
    for name, text in files.items():
        of_headers = re.findall(r'#include "([^"]+_(?:impl|internal)\.h)"', text)
        mine = {**guards.get(name, {}), **{m: lock for h in of_headers for m, lock in guards.get(h, {}).items()}}
        breaches += [*check_uses(name, text, mine), *check_structs(name, text), *check_bare(name, text)]
    for breach in breaches:
        print(breach)
    print(f"locks: {sum(map(len, guards.values()))} guarded members, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
