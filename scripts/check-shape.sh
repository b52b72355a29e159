#!/usr/bin/env bash
# The shape of the code: no file is long, no folder is crowded, and most files are short. Fails, and
# names each file or folder that breaks a bound. Looks at files that git tracks, so `git add` first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Lines of a file, tests included.
max_lines=400
# Files of code in one folder. Tests that stand beside their code do not count.
max_files=15
# Median lines of Rust files, without tests.
max_median=130

# Longer files, each with its reason.
long_files=(
    # One service is one file: its methods, requests and responses. The accepted contract keeps its
    # messages where they are.
    proto/headway/v1/job_service.proto
)
# Fuller folders, each with its reason.
full_folders=(
    # A list of migrations in the order in which they run; a published one never moves.
    crates/store/src/db/migration
)

failed=0
fail() {
    echo "shape: $*" >&2
    failed=1
}
unreadable() {
    echo "shape: the files cannot be counted; is one missing that git tracks? Then \`git rm\` it" >&2
    exit 1
}
is_in() {
    local wanted=$1 one
    shift
    for one in "$@"; do
        [[ $one == "$wanted" ]] && return
    done
    return 1
}

code=$(git ls-files '*.rs' '*.ts' '*.svelte' '*.proto' '*.sh')

# Each list is made first: a failure inside of `< <(...)` would pass for an empty list.
long=$(xargs awk -v most="$max_lines" '
    { lines[FILENAME]++ }
    END { for (file in lines) if (lines[file] > most) print lines[file], file }
' <<<"$code" | sort -k 2) || unreadable
full=$(grep -vE '(^|/)tests\.rs$|_tests\.rs$|\.test\.ts$' <<<"$code" | xargs -n 1 dirname | sort | uniq -c |
    awk -v most="$max_files" '$1 > most { print $1, $2 }') || unreadable

while read -r lines file; do
    [[ -z $file ]] || is_in "$file" "${long_files[@]}" ||
        fail "$file has $lines lines, at most $max_lines: part it by subject"
done <<<"$long"

while read -r files folder; do
    [[ -z $folder ]] || is_in "$folder" "${full_folders[@]}" ||
        fail "$folder has $files files of code side by side, at most $max_files: group them by subject"
done <<<"$full"

# A module of tests at the end of a file does not count, nor do files that hold only tests.
median=$(grep '\.rs$' <<<"$code" | grep -vE '(^|/)tests(/|\.rs$)|_tests\.rs$' | xargs awk '
    FNR == 1 { in_tests = 0; held = 0 }
    in_tests { next }
    held && /^(pub(\([a-z]+\))? )?mod [a-z_]+ \{/ { in_tests = 1; lines[FILENAME]--; next }
    { held = /^#\[cfg\(test\)\]/; lines[FILENAME]++ }
    END { for (file in lines) print lines[file] }
' | sort -n | awk '{ lines[NR] = $1 } END { print lines[int((NR + 1) / 2)] }') || unreadable
((median <= max_median)) ||
    fail "the median Rust file has $median lines without its tests, at most $max_median: part the longest"

exit "$failed"
