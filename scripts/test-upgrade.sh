#!/usr/bin/env bash
# Runs this version and an earlier one over the same database and broker, or leaves data of an earlier one for `make test`.
#
#   scripts/test-upgrade.sh run [REV]    both versions during a job, each way, and a rollback; needs the private services
#   scripts/test-upgrade.sh leave [REV]  writes tests/upgrade/left from that revision; needs the private services and pg_dump
#
# REV is the revision before: by default where this branch left `main`, or the one before the newest commit.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
run_dir=${HEADWAY_RUN_DIR:-.run}
cargo=${CARGO:-cargo}
what=${1:-run}
rev=${2:-${REV:-}}

if [[ -z $rev ]]; then
  rev=$(git merge-base HEAD main 2>/dev/null || true)
  [[ -n $rev && $rev != "$(git rev-parse HEAD)" ]] || rev=HEAD~1
fi
rev=$(git rev-parse --verify "$rev^{commit}")
old=$run_dir/upgrade/$rev

if [[ ! -d $old ]]; then
  mkdir -p "$run_dir/upgrade"
  git worktree add --force --detach "$old" "$rev" >&2
fi
old=$(cd "$old" && pwd)

# The tree of the revision is its own workspace, with a target folder of its own.
build_old() { (cd "$old" && CARGO_TARGET_DIR="$old/target" $cargo build -p headway-tests --bins); }

case $what in
run)
  build_old
  $cargo build --workspace --bins
  # Since this file is there, a version starts on tables that a newer one made.
  if [[ -f $old/crates/store/src/db/compat.rs ]]; then
    export HEADWAY_TEST_OLD_READS_NEWER=1
  else
    echo "revision ${rev:0:12} cannot start on tables that a newer version made: the rollback is left out" >&2
  fi
  export HEADWAY_TEST_OLD_PROGRAM=$old/target/debug/headway-test-process
  exec $cargo test --workspace --test upgrade -- --ignored --test-threads 1
  ;;
leave)
  # A revision that has no such program gets this one, which speaks the contract of today.
  if [[ ! -f $old/tests/upgrade/leave.rs ]]; then
    mkdir -p "$old/tests/upgrade"
    cp tests/upgrade/fleet.rs tests/upgrade/leave.rs "$old/tests/upgrade/"
  fi
  if ! grep -q headway-test-leave "$old/tests/Cargo.toml"; then
    printf '\n[[bin]]\nname = "headway-test-leave"\npath = "upgrade/leave.rs"\ntest = false\n' >>"$old/tests/Cargo.toml"
  fi
  build_old
  out=$run_dir/upgrade/left
  "$old/target/debug/headway-test-leave" "$old/target/debug/headway-test-process" "$out"
  mkdir -p tests/upgrade/left
  for file in embedded.db cluster.sql messages.txt; do
    gzip -9nc "$out/$file" >"$root/tests/upgrade/left/$file.gz"
  done
  ls -l "$root/tests/upgrade/left"
  ;;
*)
  sed -n '2,8p' "$0" >&2
  exit 2
  ;;
esac
