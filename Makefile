# The words that people and CI use. `make` alone lists them.
.PHONY: help build try test check fmt lint lab clean

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

build: ## build the tool (debug)
	cargo build --all-targets

fmt: ## format everything
	cargo fmt

lint: ## formatting and clippy, as CI wants them
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
