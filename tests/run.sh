#!/usr/bin/env bash
# Every check that CI runs, from a bare clone: formatting, lints, documentation, and all tests. What is left out for
# want of a tool is said at the end. The last line says how many tests passed.
set -uo pipefail
cd "$(dirname "$0")/.."
passed=0 failed=0
left_out=()

step() { printf '\n== %s\n' "$*"; }

# Runs a check that must succeed. Nothing after it would make sense if it does not.
must() {
    step "$@"
    "$@" && return
    printf '\nfailed: %s\n%d passed, %d failed\n' "$*" "$passed" "$((failed + 1))"
    exit 1
}

# Runs tests and adds up what their runner says of them: cargo test's or nextest's closing lines.
tests() {
    step "$@"
    local log ok=0
    log=$(mktemp)
    "$@" 2>&1 | tee "$log" || ok=1
    local counts
    counts=$(sed 's/\x1b\[[0-9;]*m//g' "$log" | awk '
        /^test result:/ { for (i = 1; i <= NF; i++) { if ($i ~ /^passed/) p += $(i-1); if ($i ~ /^failed/) f += $(i-1) } }
        /^ +Summary / { for (i = 1; i <= NF; i++) { if ($i ~ /^passed/) p += $(i-1); if ($i ~ /^failed|^timed/) f += $(i-1) } }
        /^[0-9]+ passed, [0-9]+ failed/ { p += $1; f += $3 }
        END { print p + 0, f + 0 }')
    rm -f "$log"
    read -r p f <<<"$counts"
    # A runner that failed without a failed test (a build that broke) counts as one.
    [ "$ok" -eq 0 ] || [ "$f" -gt 0 ] || f=1
    passed=$((passed + p)) failed=$((failed + f))
}

must make --no-print-directory guests
must cargo fmt --all --check
must cargo clippy --profile checked --workspace --all-targets --locked -- -D warnings
must env RUSTDOCFLAGS="-D warnings" cargo doc --profile checked --workspace --no-deps --locked --quiet

# The SDK and the examples are workspaces of their own; natively they are ordinary libraries.
export CARGO_TARGET_DIR=$PWD/target/guest-native
for workspace in policy-sdk/rust guest-examples; do
    must cargo fmt --all --check --manifest-path "$workspace/Cargo.toml"
    must cargo clippy --manifest-path "$workspace/Cargo.toml" --workspace --all-targets --locked -- -D warnings
    tests cargo test --manifest-path "$workspace/Cargo.toml" --workspace --locked --quiet
done
unset CARGO_TARGET_DIR

if cargo nextest --version >/dev/null 2>&1; then
    tests cargo nextest run --cargo-profile checked --workspace --locked --no-fail-fast
else
    tests cargo test --profile checked --workspace --locked --no-fail-fast
fi

if cargo deny --version >/dev/null 2>&1; then
    must cargo deny --all-features check licenses bans sources
else
    left_out+=("licences and bans of dependencies: cargo-deny is not installed")
fi

printf '\n'
for what in "${left_out[@]}"; do echo "left out: $what"; done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
