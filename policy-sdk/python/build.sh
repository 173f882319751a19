#!/usr/bin/env bash
# Builds the component that runs policies in Python into target/guests/python_host.wasm.
#
# It holds CPython, its standard library and `host/`. Nothing is done while what it is made of stays as it was. Exit code
# 3: there is no Python here, or no componentize-py, and they cannot be installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD/policy-sdk/python work=$PWD/target/python-host made=$PWD/target/guests/python_host.wasm
tool=componentize-py==0.25.1
say() { echo "python host: $*" >&2; }

has_python() { command -v python3 >/dev/null && python3 -c 'import ensurepip, venv' 2>/dev/null; }
install_python() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return
    local get=(timeout 600 env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120)
    { "${get[@]}" update && "${get[@]}" install -y --no-install-recommends python3 python3-venv; } >&2
}

mkdir -p "$work" "$(dirname "$made")"
# Two makes at once would write the same files; the second waits, and then finds nothing to do.
exec 9>"$work/lock"
flock 9
sources=$({ echo "$tool"; find "$here/host" wit -type f -not -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum; } | sha256sum)
[ -f "$made" ] && [ "$(cat "$work/made-from" 2>/dev/null)" = "$sources" ] && exit

has_python || install_python || true
has_python || { say "python3 or its venv is missing, and only root can install it"; exit 3; }
wanted="$tool $(python3 --version)"
if [ "$(cat "$work/installed" 2>/dev/null)" != "$wanted" ]; then
    rm -rf "$work/venv" "$work/installed"
    { python3 -m venv "$work/venv" &&
        timeout 600 "$work/venv/bin/pip" install --quiet --disable-pip-version-check "$tool"; } >&2 ||
        { say "$tool cannot be installed"; exit 3; }
    echo "$wanted" >"$work/installed"
fi

# A folder of its own, so that nothing which lies about here, or in an environment that is active, gets into it.
rm -rf "$work/app"
cp -r "$here/host" "$work/app"
find "$work/app" -name __pycache__ -type d -prune -exec rm -rf {} +
rm -f "$work/made-from"
env -u VIRTUAL_ENV -u PYTHONPATH "$work/venv/bin/componentize-py" --quiet --wit-path wit --world interpreter \
    componentize --python-path "$work/app" app --output "$work/python_host.wasm" >"$work/log" 2>&1 ||
    { tail -n 20 "$work/log" >&2; say "it could not be built; the log is $work/log"; exit 1; }
mv "$work/python_host.wasm" "$made"
echo "$sources" >"$work/made-from"
say "built ($(wc -c <"$made") bytes)"
