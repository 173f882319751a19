#!/usr/bin/env bash
# What the repository depends on, and whether it may.
#
#   tests/dependencies.sh setup        makes sure of cargo-deny, in target/tools
#   tests/dependencies.sh check        licences, bans and sources, of every workspace, by deny.toml
#   tests/dependencies.sh advisories   what is known against any of it, by a database that was fetched just now
#   tests/dependencies.sh sbom         writes target/sbom/lictor.cdx.json: all that `lictor` is linked from, as CycloneDX
#
# The tools are pinned and built from source, which takes minutes the first time. Exit code 3: what it takes (a tool, the
# database, python3) is not there and cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."
deny=0.20.2 cyclonedx=0.5.9
tools=$PWD/target/tools
say() { echo "dependencies.sh: $*" >&2; }

# Builds this version of a tool, unless it is there.
install() {
    cargo install --list --root "$tools" 2>/dev/null | grep -qx "$1 v$2:" && return
    local done=0
    CARGO_TARGET_DIR=target/tools-build cargo install "$1" --version "=$2" --locked --quiet --root "$tools" >&2 || done=3
    rm -rf target/tools-build
    [ "$done" -eq 0 ] || { say "$1 $2 cannot be installed"; exit 3; }
}

setup() { install cargo-deny "$deny"; }

# Asks cargo-deny about every workspace; `tests/fuzz` has one where it is there.
of_each() {
    local workspace
    for workspace in . policy-sdk/rust guest-examples tests/fuzz; do
        grep -qs '^\[workspace\]' "$workspace/Cargo.toml" || continue
        "$tools/bin/cargo-deny" --manifest-path "$workspace/Cargo.toml" --config "$PWD/deny.toml" --all-features --locked check "$@"
    done
}

advisories() {
    timeout 60 "$tools/bin/cargo-deny" fetch db >&2 || { say "the database of advisories cannot be fetched"; exit 3; }
    of_each advisories
}

sbom() {
    command -v python3 >/dev/null || { say "there is no python3"; exit 3; }
    install cargo-cyclonedx "$cyclonedx"
    mkdir -p target/sbom
    local made="lictor.made" target
    target=$(rustc -vV | sed -n 's/^host: //p')
    # It writes one for each package of the workspace, beside its manifest.
    trap 'find executor policy-sdk tests -name "'"$made"'.json" -delete' EXIT
    SOURCE_DATE_EPOCH=0 "$tools/bin/cargo-cyclonedx" cyclonedx --manifest-path executor/server/Cargo.toml --format json \
        --spec-version 1.5 --no-build-deps --target "$target" --override-filename "$made" --quiet
    cargo tree --locked --package lictor --edges normal --target "$target" --prefix none --format '{p}' >target/sbom/linked
    python3 tests/sbom.py executor/server/$made.json target/sbom/linked "$PWD" >target/sbom/lictor.cdx.json.new
    mv target/sbom/lictor.cdx.json.new target/sbom/lictor.cdx.json
    rm target/sbom/linked
}

case ${1:-} in
setup) setup ;;
check) of_each licenses bans sources ;;
advisories) advisories ;;
sbom) sbom ;;
*) say "usage: tests/dependencies.sh setup | check | advisories | sbom"; exit 2 ;;
esac
