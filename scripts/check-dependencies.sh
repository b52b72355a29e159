#!/usr/bin/env bash
# The dependency rule of docs/ARCHITECTURE.md, checked on the crate graph: which crates of this workspace may name a
# library directly, and which libraries the pure domain may never reach.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=0
fail() {
    echo "dependency rule: $*" >&2
    failed=1
}

# Direct dependencies of crate $1, by name.
dependencies() {
    cargo tree --locked -p "$1" -e "$2" --depth "$3" --prefix none --format '{p}' |
        tail -n +2 | cut -d' ' -f1 | sort -u
}

crates=$(cargo tree --locked --workspace --depth 0 --prefix none --format '{p}' | cut -d' ' -f1 | sort -u)

# library: crates that may depend on it. The bench and the end-to-end tests look at the raw services too.
declare -A owners=(
    [lapin]="headway-broker headway-bench headway-tests"
    [sea-orm]="headway-store headway-tests"
    [sea-orm-migration]="headway-store"
    [sqlx]="headway-store headway-bench headway-tests"
)
for crate in $crates; do
    direct=$(dependencies "$crate" all 1)
    for library in "${!owners[@]}"; do
        grep -qxF "$library" <<<"$direct" || continue
        [[ " ${owners[$library]} " == *" $crate "* ]] || fail "$crate depends on $library; only these may: ${owners[$library]}"
    done
done

everything=$(dependencies headway-domain normal 100)
for library in headway tokio tonic prost lapin sea-orm; do
    ! grep -qxF "$library" <<<"$everything" || fail "headway-domain is pure, but reaches $library"
done

# Whoever writes a splitter, and the server that checks definitions, gets no database, broker or wire with it.
everything=$(dependencies headway-splitters normal 100)
for library in headway headway-domain headway-store headway-broker tonic prost lapin sea-orm; do
    ! grep -qxF "$library" <<<"$everything" || fail "headway-splitters reads definitions, but reaches $library"
done

exit "$failed"
