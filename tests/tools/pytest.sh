#!/bin/bash
# Runs the integration tests and stores "passed failed" in RESULTS (BUILD/results) for total.sh:
#   [RESULTS=folder] [JOBS=n | WORKERS=n] [TESTS="a.py b.py"] pytest.sh LAYER BUILD PYTHON [pytest arguments]
#
# With JOBS, whole files run at the same time (pytest-xdist), and the tests marked serial, which have bars on time, after
# them one by one. With WORKERS, single tests run at the same time, in one pytest. Errors count as failures, skipped tests
# count as neither. At the time limit pytest is interrupted as by Ctrl-C, so that its fixtures still end the servers they
# started.
set -uo pipefail

if [ $# -lt 3 ]; then
    echo "usage: $0 LAYER BUILD PYTHON [pytest arguments]" >&2
    exit 2
fi
layer=$1
build=$2
python=$3
shift 3
limit_s=${INTEGRATION_TIMEOUT_S:-840}
read -ra tests <<<"${TESTS:-tests/integration}"
results=${RESULTS:-$build/results}
mkdir -p "$results"
results=$(realpath "$results")
rm -f "$results/$layer".*xml "$results/$layer"
status=0

# run_tests PART [pytest arguments]: the exit status is pytest's, 5 when the part has no test.
run_tests() {
    local rc part=$1
    shift
    XPIPE_BUILD=$(realpath "$build") PYTHONDONTWRITEBYTECODE=1 \
        timeout --foreground --signal=INT --kill-after=60 "$limit_s" \
        "$python" -m pytest -q -p no:cacheprovider --durations=10 --junitxml="$results/$layer.$part.xml" "$@" "${tests[@]}"
    rc=$?
    if [ $rc -eq 124 ] || [ $rc -eq 137 ]; then
        echo "$layer: took longer than $limit_s s" >&2
    fi
    return $rc
}

if [ "${JOBS:-1}" -gt 1 ]; then
    run_tests together -n "$JOBS" --dist loadfile -m "not serial" "$@" || status=$?
    run_tests serial -m serial "$@" || [ $? -eq 5 ] || status=1
elif [ "${WORKERS:-1}" -gt 1 ]; then
    run_tests all -n "$WORKERS" --dist load "$@" || status=$?
else
    run_tests all "$@" || status=$?
fi
"$python" - "$layer" "$results" "$status" <<'PY' || status=1
import glob
import sys
import xml.etree.ElementTree as tree

layer, results, status = sys.argv[1], sys.argv[2], int(sys.argv[3])
passed = failed = 0
for source in glob.glob(f"{results}/{layer}.*.xml"):
    try:
        for suite in tree.parse(source).getroot().iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            failed += bad
            passed += int(suite.get("tests", 0)) - bad - int(suite.get("skipped", 0))
    except (OSError, tree.ParseError) as error:
        print(f"{layer}: no result: {error}", file=sys.stderr)
        failed += 1
# What a crash or an interrupt hid counts as one failure.
if failed == 0 and (status != 0 or passed == 0):
    failed = 1
with open(f"{results}/{layer}", "w", encoding="ascii") as out:
    out.write(f"{passed} {failed}\n")
print(f"{layer}: {passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
PY
exit $status
