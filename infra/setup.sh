#!/usr/bin/env bash
# Sets up this computer for launchgate: Debian packages (as root), then a Python environment from hashed locks.
# Safe to repeat and to interrupt: what is done is not done again, and the stamp is written last.
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGES=(
    systemd-container mmdebstrap gpg arch-test libdpkg-perl mount apt-cacher-ng                # sandbox
    iproute2 openssh-client util-linux procps ca-certificates
    git                                                                                     # builds
    mariadb-server-core mariadb-client-core redis-server nftables openssl                   # tests
)
say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 5; }

main() {
    [ "$(uname -s)" = Linux ] && [ -e /etc/debian_version ] || fail "this needs Debian 12 or newer on Linux. Elsewhere, \
with Python 3.11: pip install --require-hashes -r requirements/service.txt -r requirements/toolkit.txt, then launchgate \
build, check, load, release and judge work against your own servers; only the sandbox does not."
    install_packages
    local python
    python=$(find_python)
    exec 9> .setup.lock
    flock -w 600 9 || fail "another setup has been running for 10 minutes: see who holds .setup.lock"
    make_environment "$python"
}

install_packages() {
    local missing=() package
    for package in "${PACKAGES[@]}"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    if ! find_python > /dev/null; then missing+=(python3 python3-venv); fi
    if find_python > /dev/null && ! "$(find_python)" -c 'import ensurepip' 2> /dev/null; then missing+=(python3-venv); fi
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || fail "these packages are missing and only root can install them: apt-get install \
--no-install-recommends ${missing[*]}. With them, everything but the sandbox works without root: make lint, launchgate \
build, check, load, release, judge against your own servers."
    say "installing ${missing[*]}"
    with_services_held_back apt_install "${missing[@]}"
}

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends "$@" > .setup.log 2>&1 || {
        apt-get update -qq > .setup.log 2>&1 || true
        apt-get install -y -qq --no-install-recommends "$@" > .setup.log 2>&1 || {
            tail -5 .setup.log >&2
            fail "apt-get could not install the packages: see .setup.log"
        }
    }
}

# The packages' programs are wanted, not their services: nothing may start on the operator's computer, now or at boot.
with_services_held_back() {
    local guard=/usr/sbin/policy-rc.d ours=no
    if [ ! -e $guard ]; then
        printf '#!/bin/sh\nexit 101\n' > $guard && chmod 755 $guard && ours=yes
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    "$@"
    if [ -d /run/systemd/system ]; then systemctl disable --quiet apt-cacher-ng redis-server 2> /dev/null || true; fi
    if [ $ours = yes ]; then rm -f $guard; trap - EXIT; fi
}

find_python() {
    local name
    for name in python3.11 python3.12 python3.13 python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

make_environment() {
    local python=$1 stamp want
    want=$(cat requirements/service.txt requirements/toolkit.txt pyproject.toml service/pyproject.toml "$0" | sha256sum)
    stamp=.venv/launchgate.stamp
    if [ -f $stamp ] && [ "$(cat $stamp)" = "$want" ]; then return 0; fi
    say "making the Python environment (.venv)"
    [ -x .venv/bin/python ] || { rm -rf .venv; "$python" -m venv .venv; }
    use_machines_package_index
    install_uv
    .venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes \
        -r requirements/service.txt -r requirements/toolkit.txt
    .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e . -e service
    printf '%s' "$want" > $stamp
    say "done"
}

# uv does not read pip's configuration, so we hand it over.
use_machines_package_index() {
    local value
    value=$(.venv/bin/python -m pip config get global.index-url 2> /dev/null || true)
    if [ -n "${PIP_INDEX_URL:-$value}" ]; then export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$value}}"; fi
    value=$(.venv/bin/python -m pip config get global.cert 2> /dev/null || true)
    if [ -n "${PIP_CERT:-$value}" ]; then export SSL_CERT_FILE="${SSL_CERT_FILE:-${PIP_CERT:-$value}}"; fi
}

install_uv() {
    [ ! -x .venv/bin/uv ] || return 0
    local wanted
    wanted=$(mktemp)
    # only uv's own entry of the lock, hashes included
    awk '/^uv==/ {on=1} /^[^ ]/ && !/^uv==/ {on=0} on' requirements/toolkit.txt > "$wanted"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$wanted"
    rm -f "$wanted"
}

main
