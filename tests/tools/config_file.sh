#!/bin/bash
# Prints xpipe.ini as the two daemons in BUILD describe it: config_file.sh BUILD
#
# Each daemon prints [common] and its own section. [common] is printed once, and must be the same in both.
set -euo pipefail

build=${1:?usage: $0 BUILD}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/xpipe-config.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

for daemon in meta console; do
    "$build/xpipe-$daemon" --print-config >"$scratch/$daemon"
    # The part of [common], and everything else.
    awk -v common="$scratch/$daemon.common" -v rest="$scratch/$daemon.rest" '
        /^\[/ { in_common = $0 == "[common]" }
        { print > (in_common ? common : rest) }
        END { printf "" >> common; printf "" >> rest }' "$scratch/$daemon"
    # Blank lines at the end belong to nothing.
    for part in common rest; do
        awk 'NF { for (; blank; blank--) print ""; print; next } { blank += NR > 1 }' \
            "$scratch/$daemon.$part" >"$scratch/$daemon.$part.trimmed"
    done
done
if ! cmp -s "$scratch/meta.common.trimmed" "$scratch/console.common.trimmed"; then
    echo "config_file: the daemons disagree about [common]:" >&2
    diff "$scratch/meta.common.trimmed" "$scratch/console.common.trimmed" >&2 || true
    exit 1
fi

cat <<'HEAD'
; xpipe.ini - configuration of xpipe-meta and xpipe-console; written by `make config-file`.
;
; Both daemons read this file; each checks [common] and its own section. Every key is shown with its default.
; A line that starts with ';' or '#' is a comment. The command line (--set key=value) wins over this file.
HEAD
for part in meta.common meta.rest console.rest; do
    if [ -s "$scratch/$part.trimmed" ]; then
        echo
        cat "$scratch/$part.trimmed"
    fi
done
