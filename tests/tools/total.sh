#!/bin/bash
# Adds up what the layers of one `make test` stored: total.sh FOLDER LAYER...
#
# Prints "N passed, N failed" as its last line. A layer without a result (its runner broke before it could
# count) is one failure. Exits 1 when anything failed.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 FOLDER LAYER..." >&2
    exit 2
fi
folder=$1
shift
passed=0
failed=0
for layer in "$@"; do
    p=0
    f=0
    if [ ! -r "$folder/$layer" ] || ! read -r p f <"$folder/$layer"; then
        echo "$layer: no result" >&2
        p=0
        f=1
    fi
    passed=$((passed + p))
    failed=$((failed + f))
done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
