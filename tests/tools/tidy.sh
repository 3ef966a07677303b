#!/bin/bash
# Runs clang-tidy over C files, two at a time: tidy.sh FILE... -- COMPILER FLAGS
#
# A file that was clean is not checked again until its preprocessed text, .clang-tidy or the flags change: the
# marks are in BUILD/tidy. Exits 1 when a file has a finding.
set -euo pipefail

build=${BUILD:?set BUILD to the build folder}
files=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    files+=("$1")
    shift
done
shift
mkdir -p "$build/tidy"

check_one() {
    local mark file=$1 build=$2
    shift 2
    # Preprocessing shows every change of a header too, and costs a hundredth of the check.
    mark=$build/tidy/$({ cat .clang-tidy && echo "$*" && clang-14 "$@" -E -P "$file"; } | sha256sum | cut -c1-40)
    if [ -e "$mark" ]; then
        return 0
    fi
    clang-tidy-14 --quiet "$file" -- "$@" 2> >(grep -vE '^[0-9]+ warnings? (generated|treated)|^Suppressed|^Use ' >&2) || return 1
    touch "$mark"
}
export -f check_one

begin=$SECONDS
status=0
printf '%s\0' "${files[@]}" |
    xargs -0 -P 2 -I{} bash -c 'check_one "$@"' check {} "$build" "$@" || status=1
echo "clang-tidy: ${#files[@]} files in $((SECONDS - begin)) s"
exit $status
