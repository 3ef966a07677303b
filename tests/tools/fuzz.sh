#!/bin/bash
# Runs fuzz targets, each for FUZZ_SECONDS (20), FUZZ_JOBS (1) at a time: fuzz.sh BUILD BINARY...
#
# Starts from tests/fuzz/corpus/NAME (kept in git, never written) with the words of tests/fuzz/NAME.dict, and keeps what it
# finds in BUILD/fuzz/NAME. An input that breaks a target is left there as crash-*, and its path is printed. With RESULTS
# set, "passed failed" goes to $RESULTS/fuzz for total.sh. A target gives way to whatever else runs: tests beside it have bars
# on time, it has none.
set -uo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 BUILD BINARY...: there is no fuzz target" >&2
    exit 1
fi
build=$1
shift
export build seconds=${FUZZ_SECONDS:-20}
# Targets with files of their own (a database) put them into memory, where a sync costs nothing.
scratch=$(mktemp -d "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")/xpipe-fuzz.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
export TMPDIR=$scratch
verdicts=$scratch/verdicts

run_one() {
    local name found log
    name=$(basename "$1" _fuzz)
    found=$build/fuzz/$name
    log=$build/fuzz/$name.log
    mkdir -p "$found"
    local more=()
    if [ -d "tests/fuzz/corpus/$name" ]; then
        more+=("tests/fuzz/corpus/$name")
    fi
    if [ -f "tests/fuzz/$name.dict" ]; then
        more+=("-dict=tests/fuzz/$name.dict")
    fi
    if nice -n 19 "$1" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -max_len=16384 -print_final_stats=1 \
        -artifact_prefix="$found/" "$found" "${more[@]}" >"$log" 2>&1 </dev/null; then
        printf 'ok     %10s runs  %s\n' "$(awk '/number_of_executed_units/ { print $2 }' "$log")" "$name"
    else
        printf 'FAILED %s\n' "$name"
        tail -n 60 "$log" | sed 's/^/    | /'
        grep -o "Test unit written to .*" "$log" || true
    fi
}
export -f run_one

# Each prints its verdict at once, when it is done.
printf '%s\0' "$@" | xargs -0 -P "${FUZZ_JOBS:-1}" -I{} bash -c 'text=$(run_one "$1"); printf "%s\n" "$text"' run {} |
    tee "$verdicts"
passed=$(grep -c '^ok ' "$verdicts")
failed=$(($# - passed))
printf 'fuzz: %d passed, %d failed\n' "$passed" "$failed"
if [ -n "${RESULTS:-}" ]; then
    mkdir -p "$RESULTS"
    printf '%d %d\n' "$passed" "$failed" >"$RESULTS/fuzz"
fi
[ "$failed" -eq 0 ]
