#!/usr/bin/env bash
# Ten minutes for every target, or what CRISCOPE_FUZZ_SECONDS says: `make fuzz`. What it finds stays in fuzz/artifacts;
# put it into the corpus of the target once it is mended, and the ordinary tests keep it.
set -euo pipefail
cd "$(dirname "$0")"

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "fuzzing needs a nightly toolchain: rustup toolchain install nightly" >&2
    exit 2
fi
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "fuzzing needs cargo-fuzz: cargo install cargo-fuzz" >&2
    exit 2
fi
for target in fuzz_targets/*.rs; do
    name=$(basename "$target" .rs)
    # What is found on the way stays out of the corpus that is replayed.
    mkdir -p "target/corpus/$name"
    cargo +nightly fuzz run --fuzz-dir . "$name" "target/corpus/$name" "corpus/$name" -- \
        -max_total_time="${CRISCOPE_FUZZ_SECONDS:-600}" -timeout=20
done
