#!/bin/bash
# Runs the test binaries of one layer: run.sh LAYER BINARY...
#
# One line per binary: verdict, seconds, tests passed and failed, name. The output of a binary is shown only
# when it failed. A binary that crashes, runs no test or takes longer than TEST_TIMEOUT_S (default 240) has
# failed. With RESULTS set, "passed failed" of the layer goes to $RESULTS/LAYER for total.sh.
set -uo pipefail

if [ $# -lt 1 ]; then
    echo "usage: $0 LAYER BINARY..." >&2
    exit 2
fi
layer=$1
shift
limit_s=${TEST_TIMEOUT_S:-240}
log=$(mktemp "${TMPDIR:-/tmp}/xpipe-run.XXXXXX")
trap 'rm -f "$log"' EXIT
export CMOCKA_MESSAGE_OUTPUT=TAP
export ASAN_OPTIONS="detect_leaks=1:abort_on_error=0:${ASAN_OPTIONS:-}"
export LSAN_OPTIONS="suppressions=$(dirname "$0")/lsan.supp:print_suppressions=0:${LSAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
export TSAN_OPTIONS="halt_on_error=0:exitcode=66:suppressions=$(dirname "$0")/tsan.supp:${TSAN_OPTIONS:-}"

total_passed=0
total_failed=0
status=0
for binary in "$@"; do
    begin=$(date +%s%N)
    timeout --kill-after=5 "$limit_s" "$binary" >"$log" 2>&1 </dev/null
    rc=$?
    # The children of a test binary may end its last line late or not at all: counts are read by line start.
    passed=$(grep -cE '^ok [0-9]+' "$log")
    failed=$(grep -cE '^not ok [0-9]+' "$log")
    skipped=$(grep -ciE '^ok [0-9]+.*# *skip' "$log")
    passed=$((passed - skipped))
    why=
    if [ $rc -eq 124 ] || [ $rc -eq 137 ]; then
        why="took longer than $limit_s s"
    elif [ $rc -ge 128 ]; then
        why="ended by signal $((rc - 128))"
    elif [ $rc -ne 0 ]; then
        why="exit status $rc"
    elif [ "$failed" -gt 0 ]; then
        why="$failed failed"
    elif [ "$passed" -eq 0 ]; then
        why="ran no test"
    fi
    # What a crash hid counts as one failure, so that the total never looks complete.
    if [ -n "$why" ] && [ "$failed" -eq 0 ]; then
        failed=1
    fi
    total_passed=$((total_passed + passed))
    total_failed=$((total_failed + failed))
    seconds=$(awk -v ns=$(($(date +%s%N) - begin)) 'BEGIN { printf "%.1f", ns / 1e9 }')
    note=
    if [ "$skipped" -gt 0 ]; then
        note="  ($skipped skipped)"
    fi
    if [ -z "$why" ]; then
        printf 'ok     %6ss %4d passed  %s%s\n' "$seconds" "$passed" "$(basename "$binary")" "$note"
    else
        status=1
        printf 'FAILED %6ss %4d passed %d failed  %s: %s\n' "$seconds" "$passed" "$failed" "$binary" "$why"
        sed 's/^/    | /' "$log"
    fi
done

if [ $# -eq 0 ]; then
    echo "FAILED $layer: there is no test binary"
    total_failed=1
    status=1
fi
printf '%s: %d passed, %d failed\n' "$layer" "$total_passed" "$total_failed"
if [ -n "${RESULTS:-}" ]; then
    mkdir -p "$RESULTS"
    printf '%d %d\n' "$total_passed" "$total_failed" >"$RESULTS/$layer"
fi
exit $status
