#!/bin/sh
# A tour on a real throwaway node: containerd in namespaces of its own, real pods, real registries. Then the same node
# with a broken mirror. Everything is gone afterwards. Without root: the made-up node of `criscope demo`.
set -eu
cd "$(dirname "$0")/.."
criscope=$PWD/target/debug/criscope
lab=$PWD/target/debug/examples/lab

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

if [ "$(id -u)" != 0 ]; then
    say "A real node needs root (try: sudo make try). Here is the made-up one:"
    exec "$criscope" demo
fi

name=
trap '[ -z "$name" ] || "$lab" down "$name" >/dev/null 2>&1 || true' EXIT INT TERM

# Starts a node and remembers its name: the first words of what the lab prints.
up() {
    name=
    name=$("$lab" up --generation "${GENERATION:-2}" --detach "$@" | sed -n '1s/:.*//p')
}

# Runs criscope on the node, where everything has its usual place. A diagnosis is an answer, not a failure of the tour.
on_node() {
    printf '\n$ criscope %s\n' "$*"
    "$lab" exec "$name" -- "$criscope" "$@" || true
}

say "Starting a real containerd with pods and registries (the first time fetches Debian's packages)"
up --pods 3
on_node
on_node endpoints
on_node pods
on_node ps -a
on_node images
say "Does the registry configuration work? Pull through it, and leave the node as it was:"
on_node test-pull registry.lab.test/lab/app:1

say "The same node with a mirror that is down:"
"$lab" down "$name" >/dev/null
up --pods 1 --mirror down
on_node test-pull registry.lab.test/lab/app:1
say "The node is gone again. On a node of your own, start with: criscope"
