#!/bin/bash
# Runs cppcheck over C files: cppcheck.sh FILE... -- COMPILER FLAGS (only -I, -D and -std are passed on)
#
# Results of unchanged files come from BUILD/cppcheck. Suppressions are in tests/tools/cppcheck.txt.
set -euo pipefail

build=${BUILD:?set BUILD to the build folder}
files=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    files+=("$1")
    shift
done
shift
flags=()
for flag in "$@"; do
    case $flag in
    -I/usr/*) ;; # cppcheck knows the libraries it knows; their headers only confuse it
    -I* | -D*) flags+=("$flag") ;;
    esac
done
mkdir -p "$build/cppcheck"
begin=$SECONDS
cppcheck --quiet --std=c11 --language=c -j 2 --cppcheck-build-dir="$build/cppcheck" \
    --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
    --suppressions-list=tests/tools/cppcheck.txt --template='{file}:{line}: {severity}: {message} [{id}]' \
    "${flags[@]}" "${files[@]}"
echo "cppcheck: ${#files[@]} files in $((SECONDS - begin)) s"
