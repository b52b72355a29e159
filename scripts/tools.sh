#!/usr/bin/env bash
# Runs a tool of `make lint` in the version that this file pins. A tool that is missing is installed
# first, below $HEADWAY_RUN_DIR/tools (default: .run/tools); nothing outside the project changes.
#
#   scripts/tools.sh deny ARG...   cargo-deny
#   scripts/tools.sh buf ARG...    buf, one of the packages of clients/web
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

deny_version=0.20.2
tools=${HEADWAY_RUN_DIR:-.run}/tools

say() { printf 'tools: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

# Built without optimization: it runs for seconds and would compile for minutes.
install_deny() {
    [[ $("$tools/bin/cargo-deny" --version 2>/dev/null) == "cargo-deny $deny_version" ]] && return
    say "installing cargo-deny $deny_version below $tools, which takes some minutes"
    # A target folder of its own: the options of the workspace would build the tool's libraries twice.
    CARGO_TARGET_DIR=$tools/target CARGO_PROFILE_DEV_DEBUG=false cargo install --quiet --debug --locked --force --root "$tools" \
        "cargo-deny@$deny_version" || die "cargo could not install cargo-deny $deny_version"
    rm -rf "$tools/target"
}

run_deny() {
    install_deny
    exec "$tools/bin/cargo-deny" "$@"
}

run_buf() {
    scripts/web.sh packages
    exec clients/web/node_modules/.bin/buf "$@"
}

case ${1:-} in
deny | buf) "run_$1" "${@:2}" ;;
*) die "usage: scripts/tools.sh deny|buf ARG..." ;;
esac
