#!/usr/bin/env python3
"""Prints the ten longest functions and the size of the tree: sizes.py FILE...

Counts what clang-format has laid out: a function body opens with "{" and closes with "}" in column one.
Exits 1 when a function has over 100 lines or a file over 1,500; warns over 60 and over 800.
A function over 100 lines that is one table or switch says so with a comment "sizes: table" inside it.
"""

import re
import statistics
import sys

FUNCTION_MAX, FUNCTION_WARN = 100, 60
FILE_MAX, FILE_WARN = 1500, 800
NAME = re.compile(r"(\w+)\s*\(")


def functions(path, lines):
    """(lines, name, path, first line, is a table) of each function."""
    head, start = "", 0
    for number, line in enumerate(lines, 1):
        if line.startswith("{") and line.rstrip() == "{":
            start = number
        elif line.startswith("}") and start:
            if line.rstrip() == "}":
                name = NAME.search(head)
                table = any("sizes: table" in text for text in lines[start:number])
                yield number - start - 1, name.group(1) if name else "?", path, start, table
            start = 0
        elif line and not start and (line[0].isalpha() or line[0] == "_"):
            head = line


def main():
    found, failed, total = [], False, 0
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        total += len(lines)
        found += functions(path, lines)
        if len(lines) > FILE_WARN:
            failed = failed or len(lines) > FILE_MAX
            print(f"{path}:1: {len(lines)} lines; split it by concern")
    found.sort(reverse=True)
    for length, name, path, line, table in found[:10]:
        print(f"{length:4d} lines  {name}  {path}:{line}")
    for length, name, path, line, table in found:
        if length > FUNCTION_MAX and not table:
            failed = True
            print(f"{path}:{line}: {name} has {length} lines, the limit is {FUNCTION_MAX}")
        elif length > FUNCTION_WARN and not table:
            print(f"{path}:{line}: {name} has {length} lines; over {FUNCTION_WARN} wants a reason")
    median = statistics.median([f[0] for f in found]) if found else 0
    print(f"sizes: {len(sys.argv) - 1} files, {total} lines, {len(found)} functions, median {median:g} lines")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
