# The words that people and CI use. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help try build test lint deny bench fuzz figures release fmt check clean

help: ## list these words
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

try: ## examine a real throwaway node on this machine (as root; else a made-up one)
	@echo "building: some minutes the first time" >&2
	@cargo build --quiet --bin criscope --example lab
	@examples/try.sh

build: ## build the tool
	cargo build --bin criscope

test: ## run all tests, those against real runtimes too (as root)
	cargo test --quiet

lint: deny ## formatting, clippy and what is linked in, as CI wants them
	cargo fmt --check
	cargo clippy --quiet --all-targets -- -D warnings

deny: ## licences, bans and sources of what is linked in; known holes, where their database can be reached
	@packaging/deny.sh

bench: ## what lists cost, as ratios within one run
	cargo bench --bench lists

fuzz: ## ten minutes for every parser of what comes from outside; needs a nightly toolchain
	@fuzz/run.sh

figures: ## dependencies and size against their limits; with `packaging/figures.sh --build` times, too
	@packaging/figures.sh

release: ## tarball, .deb, bill of materials and checksums into target/release-files
	@packaging/release.sh

fmt: ## format everything
	cargo fmt

check: lint test figures ## what CI runs

clean: ## end labs that were left up, remove what was built
	-target/debug/examples/lab down --all
	cargo clean
