#!/usr/bin/env bash
# Makes the components that the server carries: of the examples that it asks itself, built to be small. They are kept in
# the repository, so that the server is built without the guests' toolchain; `sources.sha256` beside them says which
# sources they were made from.
# usage: builtin.sh LICTOR
set -euo pipefail
lictor=$(realpath "$1")
cd "$(dirname "$0")/.."
guest-examples/toolchain.sh
into=executor/server/src/placement/builtin
mkdir -p "$into" target/guest-small
export CARGO=$PWD/target/guest-toolchain/cargo CARGO_TARGET_DIR=$PWD/target/guest-small/build
export CARGO_PROFILE_RELEASE_OPT_LEVEL=z
for name in allocator estimator; do
    "$lictor" pack "guest-examples/$name" --out "target/guest-small/$name" >/dev/null
    cp "target/guest-small/$name.wasm" "$into/$name.wasm"
done
find guest-examples/{allocator,estimator} -name '*.rs' -o -name Cargo.toml -o -name policy.json | LC_ALL=C sort | 
    xargs sha256sum >"$into/sources.sha256"
ls -l "$into"
