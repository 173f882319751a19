#!/usr/bin/env bash
# Every check that CI runs, from a bare clone: formatting, lints, documentation, and all tests, those of the servers twice:
# on SQLite and on PostgreSQL. What is left out for want of a tool is said at the end, and how long each step took. The
# last line says how many tests passed.
set -uo pipefail
cd "$(dirname "$0")/.."
passed=0 failed=0
left_out=() took=()
trap 'tests/postgres.sh stop target/postgres-run >/dev/null 2>&1 || true' EXIT

step() {
    printf '\n== %s\n' "$*"
    started=$SECONDS what=$*
}

# Notes how long the step took, for the end.
done_with_step() { took+=("$(printf '%5d s  %s' $((SECONDS - started)) "${what:0:100}")"); }

# Runs a check that must succeed. Nothing after it would make sense if it does not.
must() {
    step "$@"
    "$@" && done_with_step && return
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
    done_with_step
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

# System calls of the hot call are counted by strace.
uncounted=
if tests/bench/counts.sh setup; then
    :
elif [ $? -eq 3 ]; then
    left_out+=("system calls of the hot call: strace is not installed, and cannot be")
    uncounted=system_calls_of_a_request
else
    failed=$((failed + 1))
fi

# What keeps its records in a database runs again on PostgreSQL; what is about several servers on one, only there.
twice=(access assets batch context durability edge execute executors functions graphs jobs loading openapi peers placement query
    refusals registry schemas seed shadows soundness stop store)
only_there=shared
also_there=on_one_postgresql
# Policies in Python need the component that runs them, and the plain Python that they are compared with.
unpythonic=
if [ ! -f target/guests/python_host.wasm ]; then
    left_out+=("policies in Python, and the Python client: python3 or componentize-py is not installed, and cannot be")
    unpythonic=python::
fi
skipped=$(IFS='|' && echo "^$only_there::|::$also_there${uncounted:+|^$uncounted}${unpythonic:+|^$unpythonic}")

if cargo nextest --version >/dev/null 2>&1; then
    on_sqlite=(cargo nextest run --cargo-profile checked --workspace --locked --no-fail-fast -E "not test(/$skipped/)")
    on_postgres=(cargo nextest run --cargo-profile checked --workspace --locked --no-fail-fast
        -E "(binary(it) or package(lictor)) and test(/^($(IFS='|' && echo "${twice[*]}")|$only_there)::/)")
else
    on_sqlite=(cargo test --profile checked --workspace --locked --no-fail-fast -- --skip "$only_there::" --skip "$also_there" ${uncounted:+--skip "$uncounted"}
        ${unpythonic:+--skip "$unpythonic"})
    on_postgres=(cargo test --profile checked --workspace --lib --test it --locked --no-fail-fast -- "${twice[@]/%/::}" "$only_there::")
fi
tests "${on_sqlite[@]}"
if postgres=${LICTOR_TEST_POSTGRES:-$(tests/postgres.sh start target/postgres-run)}; then
    printf '\n==== on PostgreSQL\n'
    tests env LICTOR_TEST_STORE=postgres LICTOR_TEST_POSTGRES="$postgres" "${on_postgres[@]}"
    tests/postgres.sh stop target/postgres-run
elif [ $? -eq 3 ]; then
    left_out+=("everything on PostgreSQL: it is not installed, and installing it takes root and apt-get")
else
    failed=$((failed + 1))
fi

if [ -z "$unpythonic" ]; then
    tests clients/python/test.sh target/checked/lictor
fi

if tests/schemathesis/run.sh setup; then
    tests timeout 300 env -u LICTOR_TEST_POSTGRES tests/schemathesis/run.sh test target/checked/lictor
elif [ $? -eq 3 ]; then
    left_out+=("property tests of the API: python3 or its packages are not installed, and cannot be")
else
    failed=$((failed + 1))
fi

step tests/dependencies.sh setup
if tests/dependencies.sh setup; then
    done_with_step
    must tests/dependencies.sh check
    if tests/dependencies.sh advisories; then
        :
    elif [ $? -eq 3 ]; then
        left_out+=("advisories: their database cannot be fetched")
    else
        failed=$((failed + 1))
    fi
elif [ $? -eq 3 ]; then
    left_out+=("licences, bans and sources of dependencies, and advisories: cargo-deny cannot be installed")
else
    failed=$((failed + 1))
fi

printf '\n'
printf '%s\n' "${took[@]}"
for what in "${left_out[@]}"; do echo "left out: $what"; done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
