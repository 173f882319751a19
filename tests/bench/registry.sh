#!/usr/bin/env bash
# Measures the registries with 100,000 policies, in one run on this machine: on SQLite, and on a PostgreSQL that it
# starts where there is one.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release --locked -p lictor -p lictor-bench
trap 'tests/postgres.sh stop target/postgres-bench >/dev/null 2>&1 || true' EXIT
LICTOR_TEST_POSTGRES=${LICTOR_TEST_POSTGRES:-$(tests/postgres.sh start target/postgres-bench)} || unset LICTOR_TEST_POSTGRES
[ -z "${LICTOR_TEST_POSTGRES:-}" ] || export LICTOR_TEST_POSTGRES
LICTOR_BIN=$PWD/target/release/lictor target/release/registry
