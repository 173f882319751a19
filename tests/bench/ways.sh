#!/usr/bin/env bash
# Measures the ways to run a policy against each other, in one run on this machine: stateless calls, functions with 1, 2
# and 8 replicas, jobs, graphs, and an upgrade under load.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release --locked -p lictor -p lictor-bench
LICTOR_BIN=$PWD/target/release/lictor target/release/ways
