# Thin targets over CMake and the tools. `make help` lists them. Each does its own set-up.

BUILD := build/release
BINARY := $(BUILD)/coterie
JOBS ?= $(shell nproc)
CTEST := ctest --test-dir $(BUILD) --output-on-failure --no-tests=error
SOURCES = git ls-files -z --cached --others --exclude-standard -- 'src/*.cc' 'src/*.h' \
          'bench/*.cc' 'fuzz/*.cc' 'test/*.cc'

.DEFAULT_GOAL := help
.PHONY: help packages configure build demo test test-only sim judge bench fuzz tidy format docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

packages:
	@tools/install-packages.sh

configure: packages
	@cmake --preset release -Wno-dev --log-level=WARNING >/dev/null

build: configure ## the binary, at build/release/coterie
	@ninja -C $(BUILD) -j $(JOBS) --quiet coterie
	@ls -l $(BINARY)

demo: configure ## a three-node cluster on this machine; Ctrl-C stops it
	@echo "Building $(BINARY); the first time takes minutes."
	@ninja -C $(BUILD) -j $(JOBS) coterie
	@exec $(BINARY) demo $(ARGS)

test: configure ## build everything and run every test
	ninja -C $(BUILD) -j $(JOBS)
	$(CTEST) -j 2

test-only: configure ## the tests whose names match T=
	ninja -C $(BUILD) -j $(JOBS)
	$(CTEST) -R '$(T)'

sim: configure ## simulate whole clusters: SEED=42 replays one run, SEEDS=1000 runs as many
	@ninja -C $(BUILD) -j $(JOBS) --quiet coterie
	$(BINARY) sim $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),200)) $(ARGS)

judge: configure ## clients, faults and independent checkers over real sockets: SECONDS=7200 NODES=3 SEED=1
	@ninja -C $(BUILD) -j $(JOBS) --quiet coterie
	/usr/bin/python3 test/judge/judge.py $(BINARY) --seconds $(or $(SECONDS),7200) --nodes $(or $(NODES),3) \
	  --seed $(or $(SEED),1) --churn $(ARGS)

bench: configure ## measure side by side with etcd (minutes; prints a table, never fails on speed)
	@ninja -C $(BUILD) -j $(JOBS) --quiet coterie
	bench/bench.sh $(ARGS)

fuzz: packages ## fuzz every parser for FUZZ_SECONDS= each (default 30), or only TARGET=
	cmake --preset fuzz -Wno-dev --log-level=WARNING >/dev/null
	ninja -C build/fuzz -j $(JOBS) $(or $(TARGET),fuzzers)
	tools/fuzz.sh build/fuzz/bin $(or $(FUZZ_SECONDS),30) $(TARGET)

tidy: configure ## the project's own rules, then clang-tidy on FILES= (default: what differs from main)
	tools/tidy
	tools/clang-tidy.sh $(BUILD) $(FILES)

format: packages ## rewrite sources in the project's layout
	@$(SOURCES) | xargs -0 -r clang-format-19 -i

docs: configure ## run every command that the documents show
	@ninja -C $(BUILD) -j $(JOBS) --quiet coterie
	tools/doctest.py --binary $(BINARY) README.md
	tools/doctest.py --binary $(BINARY) docs/operating.md

clean: ## remove every build
	rm -rf build
