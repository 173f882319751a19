#!/usr/bin/env bash
# The counts of the hot call: host allocations, system calls, guest fuel, compared with tests/bench/counts.json.
#
#   tests/bench/counts.sh setup           makes sure of strace
#   tests/bench/counts.sh update REASON   writes what is counted now, with REASON beside each count that changed
#
# They are compared by `make test`, in its ordinary tests. Exit code 3: there is no strace and it cannot be installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
say() { echo "counts.sh: $*" >&2; }

setup() {
    command -v strace >/dev/null && return
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || { say "no strace, and only root can install it"; exit 3; }
    local get=(timeout 600 env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120)
    { "${get[@]}" update && "${get[@]}" install -y --no-install-recommends strace; } >&2 || { say "strace cannot be installed"; exit 3; }
}

case ${1:-} in
setup) setup ;;
update)
    [ -n "${2:-}" ] || { say "what changed the counts? make counts BECAUSE='…'"; exit 2; }
    setup
    LICTOR_COUNTS_BECAUSE=$2 cargo test --profile checked --workspace --locked --test counts -- --test-threads 1
    git --no-pager diff --stat -- tests/bench/counts.json
    ;;
*) say "usage: tests/bench/counts.sh setup | update REASON"; exit 2 ;;
esac
