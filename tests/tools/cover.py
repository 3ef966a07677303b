#!/usr/bin/env python3
"""Line coverage of the product by what ran since the counters were cleared: cover.py BUILD [BAR_PERCENT]

BUILD is a folder of MODE=cover. Prints every file under the bar (80 %) with the lines that never ran, and a total; writes all
files to BUILD/cover.txt. It reports, it does not judge: `make cover` fails only when a test does.
"""

import collections
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile

PRODUCT = ("shared/", "meta/", "console/", "ctl/")


def counts_of(build):
    """file -> line -> how often it ran, over every object (headers are in many)."""
    notes = [str(p.resolve()) for top in PRODUCT for p in sorted((build / top).rglob("*.gcno"))]
    lines = collections.defaultdict(lambda: collections.defaultdict(int))
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(["gcov", "--json-format", "--hash-filenames", *notes], cwd=scratch, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for path in pathlib.Path(scratch).glob("*.gcov.json.gz"):
            for part in json.loads(gzip.decompress(path.read_bytes()))["files"]:
                if part["file"].startswith(PRODUCT):
                    for line in part["lines"]:
                        lines[part["file"]][line["line_number"]] += line["count"]
    return lines


def ranges(numbers):
    """[1, 2, 3, 7] -> "1-3 7"."""
    found = []
    for n in sorted(numbers):
        if found and n == found[-1][1] + 1:
            found[-1][1] = n
        else:
            found.append([n, n])
    return " ".join(f"{a}-{b}" if a != b else str(a) for a, b in found)


def main():
    build = pathlib.Path(sys.argv[1])
    bar = float(sys.argv[2]) if len(sys.argv) > 2 else 80.0
    rows = []
    for name, lines in sorted(counts_of(build).items()):
        missed = [n for n, count in lines.items() if count == 0]
        rows.append((100.0 * (len(lines) - len(missed)) / len(lines), len(lines), name, missed))
    if not rows:
        print(f"cover: nothing ran in {build}", file=sys.stderr)
        return 1
    with open(build / "cover.txt", "w", encoding="utf-8") as out:
        for percent, count, name, missed in rows:
            out.write(f"{percent:5.1f} % of {count:4d}  {name}  {ranges(missed)}\n")
    for percent, count, name, missed in sorted(rows):
        if percent < bar:
            print(f"{percent:5.1f} % of {count:4d}  {name}  not run: {ranges(missed)}")
    total = sum(count for _, count, _, _ in rows)
    ran = sum(count - len(missed) for _, count, _, missed in rows)
    print(f"cover: {100.0 * ran / total:.1f} % of {total} lines in {len(rows)} files; {sum(r[0] < bar for r in rows)} under {bar:g} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
