#!/usr/bin/env bash
# Checks the contract, proto/: its lint, that it only grows, that code for other languages can be made
# of it, and that the programs of docs/API.md in such languages compile with it. Tools are installed
# below $HEADWAY_RUN_DIR/tools (default: .run/tools). The files of scripts/contract pin their
# versions, and those of all that they depend on, with hashes.
#
#   scripts/contract.sh check      all of it
#   scripts/contract.sh accept     makes the present contract the one that changes are compared with
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

pins=$PWD/scripts/contract
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

# Whether folder $1 has what the lock file $2 names.
is_installed() { cmp -s "$2" "$1/lock-of-headway"; }

# Makes folder $1 a Python of its own, with the packages of $2.
install_python() {
    is_installed "$1" "$2" && return
    command -v python3 >/dev/null || die "python3 is missing: install it, with its module venv"
    say "installing the packages of $2"
    rm -rf "$1"
    python3 -m venv "$1" || die "python3 has no module venv: install it"
    "$1/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$2" ||
        die "pip could not install the packages of $2"
    cp "$2" "$1/lock-of-headway"
}

# protoc, with the generators that it brings for Python, Java, Kotlin, C#, PHP, Ruby and Objective-C.
install_protoc() {
    protoc_venv=$tools/contract-protoc
    python=$protoc_venv/bin/python
    protoc=$protoc_venv/bin/protoc
    install_python "$protoc_venv" "$pins/protoc.txt"
}

install_go_tools() {
    go_bin=$tools/contract-go
    is_installed "$go_bin" "$pins/go.sum" && return
    command -v go >/dev/null || die "go is missing: install Go"
    say "building api-linter and the plugins of protoc for Go"
    rm -rf "$go_bin"
    mkdir -p "$go_bin"
    (cd "$pins" && go build -mod=readonly -o "$go_bin/" \
        github.com/googleapis/api-linter/cmd/api-linter \
        google.golang.org/protobuf/cmd/protoc-gen-go \
        google.golang.org/grpc/cmd/protoc-gen-go-grpc) ||
        die "go could not build the tools of $pins/go.mod"
    cp "$pins/go.sum" "$go_bin/lock-of-headway"
}

# The generator of Swift code, and all jars that it needs.
install_swift_generator() {
    swift_jars=$tools/contract-swift
    is_installed "$swift_jars" "$pins/swift.sha256" && return
    command -v mvn >/dev/null || die "mvn is missing: install Maven"
    say "installing the packages of $pins/pom.xml"
    rm -rf "$swift_jars"
    mkdir -p "$swift_jars"
    mvn --quiet --batch-mode --file "$pins/pom.xml" \
        org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies \
        -DoutputDirectory="$swift_jars" >&2 || die "mvn could not install the packages of $pins/pom.xml"
    (cd "$swift_jars" && sha256sum --quiet --check "$pins/swift.sha256") ||
        die "a package has another content than $pins/swift.sha256 says"
    cp "$pins/swift.sha256" "$swift_jars/lock-of-headway"
}

lint_api() {
    local found
    found=$(cd proto && "$go_bin/api-linter" --config api-linter.yaml --set-exit-status headway/v1/*.proto) || {
        printf '%s\n' "$found" >&2
        die "mend what api-linter says, or except it in proto/api-linter.yaml with a reason"
    }
}

# Makes code for each language, and fails where a generator refuses or warns. The usual generator for
# Swift needs a Swift tool chain: Wire's takes its place, which does not know swift_prefix.
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
    mkdir "$out/swift"
    (
        cd proto
        java -cp "$swift_jars/*" com.squareup.wire.WireCompiler --proto_path=. \
            --proto_path="$protoc_venv/include" --swift_out="$out/swift" "${files[@]}"
    ) >"$out/messages" 2>&1 || die "no code for Swift: $(<"$out/messages")"
    [[ -e $out/swift/JobSpec.swift ]] || die "no code for Swift"
    "$python" - "$out/python" <<'PY'
import pathlib, sys
folder = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(folder))
for file in sorted(folder.glob("headway/**/*_pb2*.py")):
    __import__(".".join(file.relative_to(folder).with_suffix("").parts))
PY
    say "code can be made for Python, Java, Kotlin, C#, PHP, Ruby, Objective-C, Go, TypeScript and Swift"
}

# Writes the program of docs/API.md in language $1 to file $2.
program() {
    sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/p" docs/API.md | sed '1d;$d' >"$2"
    [[ -s $2 ]] || die "docs/API.md has no program in $1"
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
    local venv=$tools/contract-grpc
    install_python "$venv" "$pins/grpc.txt"
    mkdir -p "$1"
    "$venv/bin/python" -m grpc_tools.protoc -Iproto --python_out="$1" --pyi_out="$1" \
        --grpc_python_out="$1" proto/headway/v1/*.proto
    program python "$1/guide.py"
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
    local packages=$tools/contract-node
    if ! is_installed "$packages" "$pins/package-lock.json"; then
        say "installing the packages of $pins/package-lock.json"
        rm -rf "$packages"
        mkdir -p "$packages"
        cp "$pins/package.json" "$pins/package-lock.json" "$packages"
        npm --prefix "$packages" ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2 ||
            die "npm could not install the packages of $pins"
        cp "$pins/package-lock.json" "$packages/lock-of-headway"
    fi
    mkdir -p "$1/gen"
    "$protoc" -Iproto --plugin="$packages/node_modules/.bin/protoc-gen-ts_proto" \
        --ts_proto_out="$1/gen" \
        --ts_proto_opt=outputServices=grpc-js,forceLong=bigint,esModuleInterop=true,importSuffix=.js \
        proto/headway/v1/*.proto proto/google/rpc/*.proto
    ln -s "$packages/node_modules" "$1/node_modules"
    printf '{"type": "module"}\n' >"$1/package.json"
    program typescript "$1/guide.ts"
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
    program go "$1/guide.go"
    cp "$pins/go.mod" "$pins/go.sum" "$1"
    (
        cd "$1"
        [[ -z $(gofmt -l guide.go) ]] || die "the program in Go is not formatted: run gofmt"
        go vet -mod=readonly .
    ) >"$1.log" 2>&1 || die "the program in Go does not compile: $(<"$1.log")"
}

check() {
    "${buf[@]}" lint proto
    local missing
    missing=$(grep -L '^option swift_prefix' $(find proto/headway -name '*.proto') || true)
    [[ -z $missing ]] || die "no swift_prefix in $missing"
    [[ -e $accepted ]] || die "$accepted is missing, so a change that breaks clients would pass." \
        "Take it from git; 'scripts/contract.sh accept' makes it of the contract as it is now"
    "${buf[@]}" breaking proto --against "$accepted"
    install_protoc
    install_go_tools
    install_swift_generator
    lint_api
    generate
    guide
}

case ${1:-} in
check) check ;;
# Without comments: they may change.
accept) "${buf[@]}" build proto --exclude-source-info -o "$accepted" ;;
*) die "usage: scripts/contract.sh check|accept" ;;
esac
