#!/bin/bash
# Runs fuzz targets, each for FUZZ_SECONDS: fuzz.sh BUILD BINARY...
#
# Starts from tests/fuzz/corpus/NAME (kept in git, never written) and keeps what it finds in BUILD/fuzz/NAME.
# An input that breaks a target is left there as crash-*, and its path is printed.
set -uo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 BUILD BINARY...: there is no fuzz target" >&2
    exit 1
fi
build=$1
shift
seconds=${FUZZ_SECONDS:-20}
status=0
for binary in "$@"; do
    name=$(basename "$binary" _fuzz)
    found=$build/fuzz/$name
    log=$build/fuzz/$name.log
    mkdir -p "$found"
    corpus=()
    if [ -d "tests/fuzz/corpus/$name" ]; then
        corpus=("tests/fuzz/corpus/$name")
    fi
    if "$binary" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=16384 -print_final_stats=1 \
        -artifact_prefix="$found/" "$found" "${corpus[@]}" >"$log" 2>&1; then
        printf 'ok     %10s runs  %s\n' "$(awk '/number_of_executed_units/ { print $2 }' "$log")" "$name"
    else
        status=1
        printf 'FAILED %s\n' "$name"
        tail -n 60 "$log" | sed 's/^/    | /'
        grep -o "Test unit written to .*" "$log" || true
    fi
done
exit $status
