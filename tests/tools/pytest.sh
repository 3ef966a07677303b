#!/bin/bash
# Runs the integration tests and stores "passed failed" for total.sh: pytest.sh BUILD PYTHON [pytest arguments]
#
# Errors count as failures, skipped tests count as neither. At the time limit pytest is interrupted as by
# Ctrl-C, so that its fixtures still end the servers they started.
set -uo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 BUILD PYTHON [pytest arguments]" >&2
    exit 2
fi
build=$1
python=$2
shift 2
limit_s=${INTEGRATION_TIMEOUT_S:-840}
mkdir -p "$build/results"
results=$(realpath "$build/results")
xml=$results/integration.xml
rm -f "$xml" "$results/integration"

XPIPE_BUILD=$(realpath "$build") PYTHONDONTWRITEBYTECODE=1 \
    timeout --foreground --signal=INT --kill-after=60 "$limit_s" \
    "$python" -m pytest -q -p no:cacheprovider --durations=10 --junitxml="$xml" "$@" tests/integration
status=$?
if [ $status -eq 124 ] || [ $status -eq 137 ]; then
    echo "integration: took longer than $limit_s s" >&2
fi
"$python" - "$xml" "$results/integration" "$status" <<'PY' || status=1
import sys
import xml.etree.ElementTree as tree

source, target, status = sys.argv[1], sys.argv[2], int(sys.argv[3])
passed = failed = 0
try:
    for suite in tree.parse(source).getroot().iter("testsuite"):
        bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        failed += bad
        passed += int(suite.get("tests", 0)) - bad - int(suite.get("skipped", 0))
except (OSError, tree.ParseError) as error:
    print(f"integration: no result: {error}", file=sys.stderr)
# What a crash or an interrupt hid counts as one failure.
if failed == 0 and (status != 0 or passed == 0):
    failed = 1
with open(target, "w", encoding="ascii") as out:
    out.write(f"{passed} {failed}\n")
print(f"integration: {passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
PY
exit $status
