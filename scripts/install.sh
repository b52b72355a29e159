#!/usr/bin/env bash
# Installs what `make test`, `make demo-cluster` and `make bench` need and this machine lacks: PostgreSQL and RabbitMQ
# (Debian packages), the Rust components rustfmt and clippy, and with the argument `all` what lints and the tests of the dashboard
# need too: npm, Chromium and Maven. Does nothing, quickly, when nothing is missing.
set -euo pipefail

say() { printf 'install: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

have_postgres() {
    local candidate
    for candidate in /usr/lib/postgresql/*/bin/postgres; do
        [[ -x $candidate ]] && return 0
    done
    command -v postgres >/dev/null
}

have_rabbit() {
    [[ -x /usr/lib/rabbitmq/bin/rabbitmq-server || -x /opt/rabbitmq/sbin/rabbitmq-server ]] ||
        command -v rabbitmq-server >/dev/null
}

have_chromium() {
    [[ -n ${HEADWAY_CHROMIUM:-} ]] || command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null
}

# In the headless shell the tests need two thirds of the time. Not every distribution has it.
chromium_package() {
    if apt-cache show chromium-headless-shell >/dev/null 2>&1; then
        echo chromium-headless-shell
    else
        echo chromium
    fi
}

# --- Debian packages --------------------------------------------------------------------------------

policy=/usr/sbin/policy-rc.d
saved=$policy.before-headway
mark='# written by scripts/install.sh of headway for the time of an installation'

# Puts back what was there, also after an earlier installation that was killed.
restore_policy() {
    if "${root[@]}" test -e "$saved" -o -L "$saved"; then
        "${root[@]}" mv -f "$saved" "$policy"
    elif [[ -f $policy ]] && grep -qsxF "$mark" "$policy"; then
        "${root[@]}" rm -f "$policy"
    fi
}

# Debian starts the service of a package that it installs, unless this file says no. Private servers are all we want.
forbid_service_starts() {
    restore_policy
    trap restore_policy EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    if [[ -e $policy || -L $policy ]]; then
        "${root[@]}" mv "$policy" "$saved"
    fi
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" | "${root[@]}" tee "$policy" >/dev/null
    "${root[@]}" chmod 755 "$policy"
}

install_packages() {
    local wanted="$*"
    command -v apt-get >/dev/null ||
        die "missing: $wanted. Only apt can be used to install them here; install PostgreSQL 13+, RabbitMQ 3.10+, Node.js 20+ with npm," \
            "Chromium and Maven yourself, or set HEADWAY_TEST_DATABASE_URL and HEADWAY_TEST_AMQP_URL to servers of yours and HEADWAY_CHROMIUM to a browser"
    root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null ||
            die "missing: $wanted. You are not root and there is no sudo; as root, run: apt-get install --no-install-recommends $wanted"
        sudo -v || die "missing: $wanted. sudo was refused; as root, run: apt-get install --no-install-recommends $wanted"
        root=(sudo)
    fi
    say "installing $wanted"
    forbid_service_starts
    local apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
    "${apt[@]}" update || say "apt-get update has failed; trying with the lists that are there"
    local packages=("${@/#chromium/$(chromium_package)}")
    "${apt[@]}" install -y --no-install-recommends "${packages[@]}" || die "apt-get could not install: ${packages[*]}"
    restore_policy
    trap - EXIT INT TERM HUP
}

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
if [[ -z ${HEADWAY_TEST_DATABASE_URL:-} || -z ${HEADWAY_TEST_AMQP_URL:-} ]]; then
    have_postgres || missing+=(postgresql)
    have_rabbit || missing+=(rabbitmq-server)
fi
if [[ ${1:-} == all ]]; then
    command -v node >/dev/null || missing+=(nodejs)
    command -v npm >/dev/null || missing+=(npm)
    have_chromium || missing+=(chromium)
    command -v mvn >/dev/null || missing+=(maven)
fi
((${#missing[@]} == 0)) || install_packages "${missing[@]}"

# --- Rust -------------------------------------------------------------------------------------------

command -v cargo >/dev/null || die "cargo is not in PATH: install a Rust toolchain (https://rustup.rs) first"

components=()
cargo fmt --version >/dev/null 2>&1 || components+=(rustfmt)
cargo clippy --version >/dev/null 2>&1 || components+=(clippy)
if ((${#components[@]})); then
    command -v rustup >/dev/null || die "missing: ${components[*]}, and there is no rustup to add them; install them with your Rust packages"
    say "adding ${components[*]}"
    rustup component add "${components[@]}" || die "rustup could not add: ${components[*]}"
fi
