#!/usr/bin/env bash
# A soak of MINUTES (10) with the seed SEED (drawn from the time): tests/bench/soak/main.rs says what that is. Where it may,
# it runs in a mount namespace of its own, so that the disk that it fills is gone with it.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --profile checked --workspace --bins --locked
export LICTOR_BIN=${LICTOR_BIN:-$PWD/target/checked/lictor}
apart=()
unshare --mount true 2>/dev/null && apart=(unshare --mount)
exec "${apart[@]}" nice -n 10 target/checked/soak --minutes "${MINUTES:-10}" ${SEED:+--seed "$SEED"}
