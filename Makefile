# The words that people and CI use. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help try build test lint bench fmt check clean

help: ## list these words
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

try: ## examine a real throwaway node on this machine (as root; else a made-up one)
	@cargo build --quiet --bin criscope --example lab
	@examples/try.sh

build: ## build the tool
	cargo build --bin criscope

test: ## run all tests, those against real runtimes too (as root)
	cargo test --quiet

lint: ## formatting and clippy, as CI wants them
	cargo fmt --check
	cargo clippy --quiet --all-targets -- -D warnings

bench: ## how long lists take, as ratios within one run
	cargo bench --bench lists

fmt: ## format everything
	cargo fmt

check: lint test ## what CI runs

clean: ## end labs that were left up, remove what was built
	-target/debug/examples/lab down --all
	cargo clean
