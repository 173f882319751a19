#!/usr/bin/env bash
# Builds the wheel, installs it into an environment of its own, and runs the package's tests against this server.
# usage: test.sh LICTOR
#
# The last line says how many passed. Set-up included; needs what build.sh needs, and the example policies.
set -euo pipefail
lictor=$(realpath "$1")
cd "$(dirname "$0")/../.."
venv=$PWD/target/python-client-tests packages=(pytest==9.0.2)
wheel=$(clients/python/build.sh checked)
wanted="${packages[*]} $(python3 --version)"
if [ "$(cat "$venv/installed" 2>/dev/null)" != "$wanted" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv" >&2
    "$venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}" >&2
    echo "$wanted" >"$venv/installed"
fi
"$venv/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps "$wheel" >&2

# Compiling the interpreter takes seconds; the Rust tests have done it.
report=$(mktemp)
trap 'rm -f "$report"' EXIT
done=0
(cd clients/python && LICTOR_BIN=$lictor LICTOR_GUESTS=$OLDPWD/target/guests LICTOR_SEED_POLICY=$OLDPWD/tests/python/seed \
    "$venv/bin/python" -B -m pytest -q -p no:cacheprovider --color=no) 2>&1 | tee "$report" || done=1
count() { sed -n "s/.*\b\([0-9][0-9]*\) $1.*/\1/p" "$report" | tail -n 1; }
passed=$(count passed) failed=$(count failed) errors=$(count error) skipped=$(count skipped)
# Nothing is left out where everything is there.
lost=$((${failed:-0} + ${errors:-0} + ${skipped:-0}))
[ "$done" -eq 0 ] || [ "$lost" -gt 0 ] || lost=1
echo "${passed:-0} passed, $lost failed"
[ "$lost" -eq 0 ]
