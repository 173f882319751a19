#!/usr/bin/env bash
# Fuzzes every target, or those that are named, FUZZ_SECONDS each and two at a time, and prints what came of it. What is
# found stays in target/fuzz; an input that something is wrong with is named. `keep` instead of seconds of fuzzing puts
# what was found into tests/fuzz/corpus, as few files as run the same code.
set -uo pipefail
cd "$(dirname "$0")/../.."
seconds=${FUZZ_SECONDS:-60} found=target/fuzz kept=tests/fuzz/corpus
all=(json filter update query schema record name address archive package artifact component module guest answer config log
    registry job wire body batch envelope)
keep=
[ "${1:-}" = keep ] && keep=1 && shift
[ $# -gt 0 ] && all=("$@")

# The crates of this workspace are compiled anew, for libFuzzer and with every check; most others are there from
# `make test`.
RUSTC_WORKSPACE_WRAPPER=$PWD/tests/fuzz/instrument.sh CARGO_INCREMENTAL=0 CARGO_PROFILE_CHECKED_OVERFLOW_CHECKS=true \
    ${CARGO:-cargo} build --profile checked --workspace --bin fuzz --features lictor-fuzz/libfuzzer --locked || exit 1

# libFuzzer on one target. Databases and files of a run are in memory where that can be.
fuzz() {
    local target=$1
    shift
    local temporary
    temporary=$(mktemp -d "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")/lictor-fuzz.XXXXXX")
    FUZZ_TARGET=$target TMPDIR=$temporary nice -n 15 target/checked/fuzz -artifact_prefix="$found/$target/" \
        -dict=tests/fuzz/words -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 "$@"
    local res=$?
    rm -rf "$temporary"
    return $res
}

one() {
    mkdir -p "$found/$1/corpus"
    fuzz "$1" -max_total_time="$seconds" "$found/$1/corpus" "$kept/$1" >"$found/$1/log" 2>&1
    echo $? >"$found/$1/code"
}

if [ -n "$keep" ]; then
    for target in "${all[@]}"; do
        rm -rf "$found/$target/kept" && mkdir -p "$found/$target/kept"
        # Which code is run, not how often: that takes far fewer files.
        fuzz "$target" -merge=1 -set_cover_merge=1 -use_counters=0 "$found/$target/kept" "$kept/$target" \
            "$found/$target/corpus" >"$found/$target/log" 2>&1 || { tail -5 "$found/$target/log"; exit 1; }
        # Names that say something are of seeds and of what once went wrong.
        find "$kept/$target" -type f -regextype posix-extended -regex '.*/[0-9a-f]{40}' -delete
        find "$kept/$target" -type f -exec sha1sum {} + | while read -r sum _; do rm -f "$found/$target/kept/$sum"; done
        find "$found/$target/kept" -type f -exec cp -t "$kept/$target" {} +
    done
    exit
fi

for target in "${all[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
    one "$target" &
done
wait

failed=0
printf '%-10s %12s %9s %8s %9s %s\n' target executions 'per s' corpus 'peak MB' result
for target in "${all[@]}"; do
    log=$found/$target/log
    stat() { sed -n "s/^stat::$1: *//p" "$log" | tail -1; }
    result=ok
    if [ "$(cat "$found/$target/code")" != 0 ]; then
        failed=1
        result=$(grep -o "Test unit written to .*" "$log" | tail -1)
        result="FAILED: ${result:-see $log}"
    fi
    printf '%-10s %12s %9s %8s %9s %s\n' "$target" "$(stat number_of_executed_units)" \
        "$(stat average_exec_per_sec)" "$(find "$found/$target/corpus" "$kept/$target" -type f | wc -l)" \
        "$(stat peak_rss_mb)" "$result"
done
exit $failed
