#!/usr/bin/env bash
# Builds the wheel of aios_policy_sandbox into target/wheels, and prints its path.
# usage: build.sh [PROFILE]
#
# The Python host component is packed if it is built. Needs python3 with venv, and cargo.
set -euo pipefail
profile=${1:-release}
cd "$(dirname "$0")/../.."
package=$PWD/clients/python venv=$PWD/target/python-client wheels=$PWD/target/wheels
maturin=maturin==1.16.0
say() { echo "python client: $*" >&2; }

wanted="$maturin $(python3 --version)"
if [ "$(cat "$venv/installed" 2>/dev/null)" != "$wanted" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv" >&2 || { say "python3 has no venv"; exit 1; }
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$maturin" >&2
    echo "$wanted" >"$venv/installed"
fi

host=target/guests/python_host.wasm packed=$package/python/aios_policy_sandbox/python_host.wasm
if [ -f "$host" ]; then
    cmp -s "$host" "$packed" || cp "$host" "$packed"
else
    rm -f "$packed"
    say "there is no $host: Python classes will need python_host=…"
fi

mkdir -p "$wheels"
rm -f "$wheels"/aios_policy_sandbox-*.whl
"$venv/bin/maturin" build --locked --quiet --profile "$profile" --manifest-path "$package/Cargo.toml" \
    --interpreter "$venv/bin/python" --out "$wheels" >&2
wheel=$(echo "$wheels"/aios_policy_sandbox-*.whl)
if [ -f "$packed" ] && ! "$venv/bin/python" -m zipfile --list "$wheel" | grep -q '/python_host.wasm '; then
    say "the wheel is without the Python host component"
    exit 1
fi
echo "$wheel"
