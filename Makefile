# The everyday commands. `make` alone lists them.

DIR ?= $(if $(wildcard /usr/share/doc/*),/usr/share/doc,$(CURDIR))
RUN_DIR := $(or $(HEADWAY_RUN_DIR),.run)
SERVICES := scripts/services.sh
WEB := scripts/web.sh
CARGO ?= cargo
PROGRAMS := $(or $(CARGO_TARGET_DIR),target)/debug

# With the command line client: built apart, cargo would make much of what they share twice.
BUILD_DEMO := $(CARGO) build --locked -p headway-documents -p headway-cli

export CARGO_TERM_PROGRESS_WHEN ?= auto

# A first build takes a third longer with cargo's incremental cache. Cargo called by hand uses the cache, and
# keeps its own files of this repository's packages.
export CARGO_INCREMENTAL ?= 0

# Most tests wait for timers and services and not for the processor: on few cores, each test program
# runs two at once per core.
export RUST_TEST_THREADS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n < 4 ? 2 * n : n)))

.DEFAULT_GOAL := help
# Cargo uses all cores by itself, and the order of what a target needs matters.
.NOTPARALLEL:
.PHONY: help demo demo-cluster serve web screenshots test chaos test-upgrade bench bench-short lint audit fmt docs clean install install-all format-check clippy contract deny dependency-rule shape web-check build-tests web-tests demo-plan

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: demo-plan web ## export every file under DIR as one job, in one process, and check the archives (DIR=/usr/share/doc)
	$(BUILD_DEMO)
	"$(PROGRAMS)/headway-demo" embedded --dir "$(DIR)"

demo-cluster: install web ## the same on private PostgreSQL and RabbitMQ, with several processes of each role
	$(CARGO) build --locked --workspace --bins
	$(SERVICES) run "$(PROGRAMS)/headway-demo" cluster --dir "$(DIR)"

serve: web ## run the server with all its roles, its dashboard and the document workers, data in .run/serve
	$(BUILD_DEMO)
	@mkdir -p "$(RUN_DIR)/archives"
	HEADWAY_JOB_TYPE_EXPORT_ARCHIVE="$$(cd "$(RUN_DIR)/archives" && pwd -P)" \
	"$(PROGRAMS)/headway-demo" serve --data-dir "$(RUN_DIR)/serve" --file-roots "$(DIR)" --job-types-dir examples/job-types

web: ## build the dashboard, clients/web/dist, which the server embeds (needs npm; without it this does nothing)
	@$(WEB) build

test: install-all web lint build-tests web-tests ## lints and all tests, embedded and on private PostgreSQL and RabbitMQ, the dashboard in a browser
	$(SERVICES) run $(CARGO) test --workspace --locked

chaos: install ## the tests that kill processes and services, in their long form; HEADWAY_CHAOS_SEED=N repeats the moments of one that failed
	$(CARGO) build --workspace --bins --locked
	HEADWAY_CHAOS=long $(SERVICES) run $(CARGO) test --workspace --locked --test chaos

test-upgrade: install ## this version and an earlier one (REV=...) over one database and broker, each way
	CARGO="$(CARGO)" $(SERVICES) run scripts/test-upgrade.sh run $(REV)

screenshots: install-all web build-tests ## make the pictures of docs/img, in a browser on a real server
	$(WEB) screenshots

bench: install ## measure on private PostgreSQL and RabbitMQ, write .run/bench.json
	$(CARGO) build --locked --release -p headway-bench
	$(SERVICES) run $(CARGO) run --locked --release -p headway-bench -- --out "$(RUN_DIR)/bench.json"

bench-short: install ## a hundredth of every size, without targets: is the bench right, not how fast is it
	$(CARGO) build --workspace --bins --locked
	$(SERVICES) run "$(PROGRAMS)/headway-bench" --short --out "$(RUN_DIR)/bench-short.json"

lint: format-check clippy docs contract deny dependency-rule shape web-check ## formatting, clippy, documentation, dependency rule, the shape of files and folders, the contract and the code that other languages make of it, what dependencies may be (cargo-deny), the dashboard's format and types

audit: ## ask the database of security advisories about all dependencies (needs the internet)
	scripts/tools.sh deny --workspace check advisories

fmt: ## format all code, of Rust and of the dashboard
	$(CARGO) fmt --all
	$(WEB) format

docs: ## build the API documentation; a warning is an error
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

clean: ## stop private services, delete what was built and all data of .run
	$(SERVICES) stop --all
	$(CARGO) clean
	rm -rf "$(RUN_DIR)" clients/web/dist clients/web/node_modules clients/web/tests/node_modules

demo-plan:
	@echo "demo: 1. builds the dashboard and the programs: about 6 minutes on two cores the first time, seconds later"
	@echo "demo: 2. exports every file under $(DIR) as one job, in one process: less than a minute"
	@echo "demo: 3. compares each archive with its file"

install:
	@scripts/install.sh

install-all:
	@scripts/install.sh all

format-check:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

contract:
	scripts/contract.sh check

# Without the advisories: their database is on a server that not every machine reaches. `make audit` asks it.
deny:
	scripts/tools.sh deny --workspace check bans licenses sources

dependency-rule:
	scripts/check-dependencies.sh

shape:
	scripts/check-shape.sh

web-check:
	$(WEB) check

web-tests:
	$(SERVICES) run $(WEB) test

# Everything is built before services start, binaries too: end-to-end tests run them.
build-tests:
	$(CARGO) build --workspace --bins --locked
	$(CARGO) test --workspace --locked --no-run
