#!/usr/bin/env bash
# The dashboard, clients/web: what the Makefile does with npm. Packages are installed when the lock file has changed, and the
# dashboard is built when something that it is made of has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

web=clients/web
tests=$web/tests
oldest_node=20

say() { printf 'web: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

usage() {
    cat <<'TEXT'
usage: scripts/web.sh COMMAND

  build         build clients/web/dist, which the server embeds; without npm, say so and do nothing
  packages      install the packages of the dashboard, buf among them
  format        format the dashboard and its tests; without npm, say so and do nothing
  check         formats, types and lints of the dashboard and of its tests
  test          unit tests, the size of the bundle, and the tests in a browser against the debug build's programs
  screenshots   the same programs, for the pictures of docs/img

environment
  HEADWAY_WEB=skip     build nothing: the server serves what is there, or a page that says that the dashboard is missing
  HEADWAY_CHROMIUM     the browser of the tests (default: chromium-headless-shell or chromium, as in PATH)
TEXT
}

# Says why there is no use in asking npm for anything; silent if there is.
lacking() {
    local node
    command -v npm >/dev/null || {
        echo "npm is not installed"
        return
    }
    node=$(node --version 2>/dev/null || echo v0)
    node=${node#v}
    ((${node%%.*} >= oldest_node)) || echo "Node.js $node is older than $oldest_node"
}

# Installs the packages of folder $1, unless they are those of its lock file already.
packages() {
    local stamp=$1/node_modules/.lock-of-headway lock=$1/package-lock.json
    cmp -s "$lock" "$stamp" && return
    say "installing the packages of $1"
    npm --prefix "$1" ci --no-audit --no-fund --loglevel=error ||
        die "npm could not install the packages of $1; HEADWAY_WEB=skip leaves the dashboard out"
    cp "$lock" "$stamp"
}

# One sum over all that the dashboard is made of.
sum_of_sources() {
    find "$web" proto -name node_modules -prune -o -path "$web/dist" -prune -o -path "$tests" -prune -o -type f -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
}

build() {
    local why sum stamp=$web/dist/.sources
    [[ ${HEADWAY_WEB:-} != skip ]] || return 0
    why=$(lacking)
    if [[ -n $why ]]; then
        say "$why: the server is built without its dashboard. It needs npm with Node.js $oldest_node or later"
        return
    fi
    packages "$web"
    sum=$(sum_of_sources)
    [[ -f $stamp && $(<"$stamp") == "$sum" ]] && return
    say "building $web/dist"
    npm --prefix "$web" run --silent build
    # Last, so that a build that was cut short is done again. What it generates is part of the sum.
    sum_of_sources >"$stamp"
}

format() {
    local why
    why=$(lacking)
    if [[ -n $why ]]; then
        say "$why: the dashboard is not formatted"
        return
    fi
    packages "$web"
    npm --prefix "$web" run --silent format
}

# The checks and tests must not pass because there was nothing to check.
need_npm() {
    local why
    why=$(lacking)
    [[ -z $why ]] || die "$why: the dashboard's checks and tests need npm with Node.js $oldest_node or later"
}

insist() {
    need_npm
    packages "$web"
    packages "$tests"
}

case ${1:-} in
build) build ;;
packages)
    need_npm
    packages "$web"
    ;;
format) format ;;
check)
    insist
    npm --prefix "$web" run --silent format:check
    npm --prefix "$web" run --silent check
    npm --prefix "$tests" run --silent check
    ;;
test)
    insist
    npm --prefix "$web" test
    npm --prefix "$web" run size
    npm --prefix "$tests" test
    ;;
screenshots)
    insist
    npm --prefix "$tests" run screenshots
    ;;
*)
    usage >&2
    exit 2
    ;;
esac
