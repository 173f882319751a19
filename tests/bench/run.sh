#!/usr/bin/env bash
# Measures everything that has a goal, in one run on this machine, and puts the figures beside the goals: on standard output
# and in tests/bench/RESULTS.md. The server is built for release before; LICTOR_BENCH_PROFILE=checked takes the build that
# `make test` uses. LICTOR_BENCH_QUICK=1 has short rounds, to see that everything runs, and leaves RESULTS.md alone.
set -euo pipefail
cd "$(dirname "$0")/../.."
profile=${LICTOR_BENCH_PROFILE:-release}
bin=target/$profile
figures=target/bench/figures.tsv log=target/bench/log
mkdir -p target/bench
: >"$figures" >"$log"
failed=()

fact() { printf '%s\t%s\tfact\n' "$1" "$2" >>"$figures"; }

# Runs a program that prints figures. One that fails costs its own figures and no others.
measure() {
    local began=$SECONDS name=$1 && shift
    printf '%s … ' "$name" >&2
    if LICTOR_BIN=$PWD/$bin/lictor timeout 300 "$@" 2>>"$log" >target/bench/some; then
        printf '%d s\n' $((SECONDS - began)) >&2
    else
        failed+=("$name")
        printf 'failed, see %s: %s\n' "$log" "$(tail -n 1 "$log")" >&2
    fi
    # What it found until then holds.
    cat target/bench/some >>"$figures"
}

build() {
    if [ "$profile" = release ]; then
        cargo build --release --locked -p lictor -p lictor-bench --bin lictor --bin echo --bin load --bin in-process --bin measure --bin report
    else
        cargo build --profile "$profile" --workspace --bins --locked
    fi
    command -v wrk >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends wrk; } >/dev/null
    tests/bench/peers/peers.sh install
}

# What ratios are taken against must not change, or they mean nothing.
baseline() {
    sha256sum --check --quiet - <<'SUMS'
478d8e41f9d864688371034d435044606de053f35011abad7316b4e3d7d879a0  tests/bench/baseline/echo.rs
2809957dcc581fda7617eaea3fa805b861fc416c3493bb2de88d7a50a8726b55  tests/bench/post.lua
SUMS
    local count
    for server in echo lictor; do
        count=$(grep -c mimalloc "$bin/$server" || true)
        [ "$count" -gt 0 ] || { echo "$server does not have the allocator of the other" >&2 && exit 1; }
    done
    fact baseline "tests/bench/baseline/echo.rs, unchanged; both servers with mimalloc and built with profile $profile; their workers are the threads of the table"
}

machine() {
    local changes
    changes=$(git status --porcelain -- ':!tests/bench/RESULTS.md' 2>/dev/null | wc -l)
    fact date "$(date -u +%F)"
    fact commit "$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)$([ "$changes" -eq 0 ] || echo ', with changes')"
    fact processor "$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores"
    fact memory "$(awk '/^MemTotal/ { printf "%.1f GB", $2 / 1e6 }' /proc/meminfo)"
    fact kernel "$(uname -sr)"
    fact compiler "$(rustc --version)"
    fact load_generator "wrk $(wrk -v 2>/dev/null | sed -n 's/^wrk \([^ ]*\).*/\1/p' || true), 1 thread, 32 connections kept, tests/bench/post.lua"
}

build
built=$SECONDS
baseline
machine
measure "over HTTP, in turns" "$bin/load"
measure "in process" "$bin/in-process" target/guests/ip_allowlist.wasm tests/bench/spin.wat
for what in first fair rotation memory overrun registry counting graphs; do
    # Storing 100,000 policies is not what is measured, and takes minutes where each waits for a disk.
    case $what in registry) place=/dev/shm ;; *) place=${TMPDIR:-/tmp} ;; esac
    TMPDIR=$place measure "$what" "$bin/measure" "$what"
done
[ "${#failed[@]}" -eq 0 ] || fact failed "${failed[*]}"
fact took "$((SECONDS - built)) s to measure, $built s to build and install before"

if [ -n "${LICTOR_BENCH_QUICK:-}" ]; then
    "$bin/report" "$figures"
else
    "$bin/report" "$figures" --write tests/bench/RESULTS.md
fi
[ "${#failed[@]}" -eq 0 ] || { echo "failed: ${failed[*]}" >&2 && exit 1; }
