# The one way to do each thing, on a fresh machine and in CI alike. `make help` lists the targets.
#
# Paths are relative to this file, so the project may be in a folder with spaces in its name.

SHELL := /bin/sh
export PATH := $(PATH):$(HOME)/.cargo/bin
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PORT ?= 4450
QUIC_PORT ?= 4433
LISTEN ?= 127.0.0.1
PYTEST_FLAGS ?=
# Four workers on two processors, as many tests wait.
TEST_WORKERS ?= 4
BENCH_FLAGS ?=
SOAK_FLAGS ?=
CARGO_TEST_FLAGS ?= --release
FUZZ_SECONDS ?= 30

PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
LOCK := $(BIN)/python -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-annotate --custom-compile-command 'make lock'

RUST_SOURCES := $(wildcard Cargo.toml Cargo.lock) \
	$(shell find crates -name '*.rs' -o -name Cargo.toml -o -name build.rs 2>/dev/null)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve build test test-quick test-python test-rust test-large test-quic check bench docs lock fuzz soak differential clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1@/p' Makefile | column -t -s @ -l 2 2>/dev/null || \
		sed -n 's/^\([a-z-]*\):.*## /  make \1: /p' Makefile

serve: $(STAMPS)/build demo/README.txt ## build, then share ./demo on 127.0.0.1:4450 and print how to connect
	@exec $(BIN)/frevo serve demo --name demo --user demo --new-password --port $(PORT) --quic=$(QUIC_PORT) \
		--listen $(LISTEN) --private-dir build/demo-private

build: $(STAMPS)/build ## a working .venv/bin/frevo, the Rust part in release mode

# Rust's tests run alongside Python's, which wait a lot; their output is shown at the end.
test: $(STAMPS)/build $(STAMPS)/peers $(STAMPS)/test ## install what the tests need and run all of them (15 minutes)
	@mkdir -p build; $(MAKE) --no-print-directory test-rust >build/test-rust.log 2>&1 & rust=$$!; \
	$(MAKE) --no-print-directory test-python; python=$$?; \
	wait $$rust; rust=$$?; cat build/test-rust.log; exit $$((python | rust))

test-quick: $(STAMPS)/build $(STAMPS)/test ## the tests that take a minute: unit tests, the server in memory, rules for the source
	$(BIN)/python -m pytest -n $(TEST_WORKERS) tests/unit tests/pair tests/test_tidy.py $(PYTEST_FLAGS)

# Optimised across crates, each test program would be built for minutes.
test-rust: $(STAMPS)/build
	CARGO_PROFILE_RELEASE_LTO=off cargo test --locked -p frevo-dataplane -p frevo-rdma -p frevo-verbs $(CARGO_TEST_FLAGS)

# Everything; then with the engine that machines without io_uring have, what another engine could answer differently;
# then without the fast path, what the server could. `once` and `fast_path` mark what is not repeated.
test-python: $(STAMPS)/build $(STAMPS)/test
	@status=0; for run in "" "--engine=epoll tests/integration tests/interop" "--fast-path=no tests/pair tests/interop"; do \
		echo "pytest $$run"; \
		$(BIN)/python -m pytest -n $(TEST_WORKERS) $$run $(PYTEST_FLAGS); \
		found=$$?; test $$found = 0 -o $$found = 5 || status=$$found; \
	done; exit $$status

DIFFERENTIAL_SECONDS ?= 600
DIFFERENTIAL_FLAGS ?=
SEEDS ?= 1000-
differential: $(STAMPS)/build $(STAMPS)/test ## random steps of several clients on servers with each data plane: SEEDS=FIRST-LAST
	PYTHONPATH=tests $(BIN)/python -m integration.differential.compare --seeds $(SEEDS) \
		--seconds $(DIFFERENTIAL_SECONDS) $(DIFFERENTIAL_FLAGS)

test-large: $(STAMPS)/build $(STAMPS)/peers $(STAMPS)/test ## memory of the client with transfers of 10 GiB (needs 12 GiB of /dev/shm)
	FREVO_TEST_LARGE_MIB=10240 $(BIN)/python -m pytest -s tests/interop/test_client_large.py -k memory $(PYTEST_FLAGS)

# `make test` has a part of this: smbtorture, protections, hostile clients, the client's commands, library and mounts.
test-quic: $(STAMPS)/build $(STAMPS)/peers $(STAMPS)/test ## integration and interop tests with every server reached over QUIC
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --transport=quic tests/integration tests/interop $(PYTEST_FLAGS)

check: $(STAMPS)/build $(STAMPS)/test ## linters and type checkers: ruff, mypy, rustfmt, clippy
	scripts/bootstrap.sh check
	$(BIN)/ruff check $(wildcard src tests benchmarks fuzz scripts)
	$(BIN)/mypy
	cargo fmt --all -- --check
	cargo clippy --locked --release --workspace --all-targets -- -D warnings

bench: $(STAMPS)/build $(STAMPS)/peers $(STAMPS)/test ## compare frevo with smbd under the same load, in build/bench/
	$(BIN)/python -m benchmarks --json build/bench/bench.json --html build/bench/bench.html $(BENCH_FLAGS)

docs: $(STAMPS)/build ## generate the reference pages
	$(BIN)/python -m frevo.config.reference > docs/reference/smb.conf.md.new
	mv docs/reference/smb.conf.md.new docs/reference/smb.conf.md

fuzz: $(STAMPS)/build $(STAMPS)/test ## run every Python fuzz target: parsers, server, client; FUZZ_SECONDS each
	$(BIN)/python fuzz/python/run.py --seconds $(FUZZ_SECONDS)
	$(BIN)/python fuzz/python/fuzz_server.py --seconds $(FUZZ_SECONDS)
	$(BIN)/python fuzz/python/fuzz_client.py --seconds $(FUZZ_SECONDS)

soak: $(STAMPS)/build $(STAMPS)/test ## half an hour under mixed load that looks for wrong bytes and leaks
	$(BIN)/python -m benchmarks.soak --json build/soak.json $(SOAK_FLAGS)

clean: ## remove everything that was built (not the demo folder)
	rm -rf target build $(VENV)

lock: $(STAMPS)/venv ## pin the newest versions that pyproject.toml allows, with hashes for every Python and machine
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.5,<1'
	$(LOCK) pyproject.toml requirements/build.in -o requirements/build.txt
	$(LOCK) -c requirements/build.txt --all-extras pyproject.toml -o requirements/test.txt

# -- stamps: steps that are repeated when their inputs change ---------------------------------------------------

$(STAMPS)/venv: requirements/build.txt
	scripts/bootstrap.sh build
	test -x $(BIN)/python || "$$(scripts/bootstrap.sh python)" -m venv $(VENV)
	$(PIP_INSTALL) -r requirements/build.txt
	mkdir -p $(STAMPS)
	touch $@

$(STAMPS)/build: $(STAMPS)/venv pyproject.toml $(RUST_SOURCES)
	scripts/bootstrap.sh build
	VIRTUAL_ENV="$$PWD/$(VENV)" PATH="$$PWD/$(BIN):$$PATH" $(BIN)/maturin develop --release --locked --quiet
	$(BIN)/frevo --version
	touch $@

# What the tests import, and the linters. gssapi is compiled here, so the system's packages come first; sources are
# built with the setuptools and Cython of build.txt, not with the newest ones.
$(STAMPS)/test: $(STAMPS)/venv $(STAMPS)/peers requirements/test.txt
	$(PIP_INSTALL) --no-build-isolation -r requirements/test.txt
	touch $@

# The programs that the tests talk to (smbclient, smbd, tshark, a KDC, qemu ...).
$(STAMPS)/peers: scripts/bootstrap.sh $(wildcard tests/peers/linux-client/smbdirect/kernel.config) | $(STAMPS)/venv
	scripts/bootstrap.sh test
	touch $@

demo/README.txt:
	scripts/demo.sh demo
