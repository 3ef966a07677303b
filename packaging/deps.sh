#!/bin/bash
# Installs the Debian packages of packaging/deps.txt that are missing: `make deps`.
#
# Prints nothing to install when all is there, and then needs neither root nor the network. Some of the packages
# bring a service (redis-server, zookeeper, prometheus, nginx). The tests start their own servers on free ports, so a
# service must not come up on its default port: while apt-get runs, policy-rc.d forbids every start, and a
# service that this script installed is disabled afterwards. Services that were installed before are left alone.
set -euo pipefail

list=${1:-$(dirname "$0")/deps.txt}
policy=${POLICY_RC_D:-/usr/sbin/policy-rc.d}
policy_is_ours=no
services=(redis-server:redis-server zookeeper:zookeeper prometheus:prometheus nginx:nginx)
as_root=()

fail() {
    echo "make deps: $*" >&2
    exit 1
}

remove_policy() {
    if [ "$policy_is_ours" = yes ]; then
        "${as_root[@]}" rm -f "$policy"
        policy_is_ours=no
    fi
}

# An existing policy is somebody's decision and stays; disable_services covers what it lets through.
forbid_starts() {
    if [ -e "$policy" ]; then
        return
    fi
    policy_is_ours=yes
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
}

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# The services of the packages named as arguments, which were just installed.
disable_services() {
    if [ ! -d /run/systemd/system ]; then
        return
    fi
    local entry package unit
    for entry in "${services[@]}"; do
        package=${entry%%:*}
        unit=${entry##*:}.service
        if [[ " $* " == *" $package "* ]]; then
            "${as_root[@]}" systemctl disable --now "$unit" >/dev/null 2>&1 ||
                echo "make deps: could not disable $unit; check it with: systemctl status $unit" >&2
        fi
    done
}

[ -r "$list" ] || fail "cannot read $list"
mapfile -t wanted < <(sed 's/#.*//' "$list" | tr -s ' \t' '\n\n' | grep -v '^$')
command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
    fail "this is not a Debian system; install the counterparts of: ${wanted[*]}"

missing=()
for package in "${wanted[@]}"; do
    is_installed "$package" || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
    echo "deps: all ${#wanted[@]} packages are installed"
    exit 0
fi

if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null ||
        fail "these packages are missing, and this is neither root nor is there sudo. Run as root:
    apt-get install --no-install-recommends ${missing[*]}"
    as_root=(sudo)
fi
echo "deps: installing ${missing[*]}"
trap remove_policy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
forbid_starts
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
"${apt[@]}" update
"${apt[@]}" install --no-install-recommends "${missing[@]}"
disable_services "${missing[@]}"
for package in "${missing[@]}"; do
    is_installed "$package" || fail "$package is still missing"
done
echo "deps: installed ${#missing[@]} packages"
