#!/usr/bin/env bash
# What building costs and what comes out, against what is allowed: `make figures`. Reads what has been built; with
# --build it builds anew and takes the time.
set -euo pipefail
cd "$(dirname "$0")/.."

over=0
figure() { # name, value, limit, unit
    local verdict=ok
    if [ "$2" -gt "$3" ]; then verdict=OVER; over=1; fi
    printf '%-36s %8s  of %8s %-8s %s\n' "$1" "$2" "$3" "$4" "$verdict"
}

count=$(cargo tree --locked --edges normal --prefix none --format '{p}' | sort -u | wc -l)
figure "normal dependencies" "$((count - 1))" 190 crates
if [ "${1:-}" = --build ]; then
    for profile in dev release; do
        limit=150
        [ $profile = release ] && limit=300
        directory=$(mktemp -d)
        began=$(date +%s)
        CARGO_TARGET_DIR=$directory cargo build --quiet --locked --profile $profile --bin criscope
        figure "clean $profile build" "$(($(date +%s) - began))" $limit seconds
        [ $profile = release ] && figure "size of the binary" "$(($(stat -c %s "$directory/release/criscope") / 1000))" 8000 kB
        rm -rf "$directory"
    done
elif [ -e target/release/criscope ]; then
    figure "size of the binary" "$(($(stat -c %s target/release/criscope) / 1000))" 8000 kB
fi
exit $over
