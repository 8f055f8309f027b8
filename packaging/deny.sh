#!/usr/bin/env bash
# Licences, bans and sources of everything that is linked in, by cargo-deny and deny.toml: `make deny`, a part of `make lint`.
# Known holes too, where the database of RustSec can be reached. What was not checked is said.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo deny --version >/dev/null 2>&1; then
    echo "NOT CHECKED: licences, bans, sources and known holes: there is no cargo-deny (cargo install --locked cargo-deny)" >&2
    exit 0
fi
cargo deny --log-level warn check licenses bans sources
if timeout 60 cargo deny --log-level off fetch db >/dev/null 2>&1; then
    cargo deny --log-level warn check advisories
else
    echo "NOT CHECKED: known holes: the database of RustSec cannot be reached" >&2
fi
