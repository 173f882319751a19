#!/usr/bin/env bash
# Property tests: schemathesis reads the OpenAPI document of a real server with the example policies, sends what the
# document allows and what it does not, and looks whether every answer is one that the document describes.
#
#   tests/schemathesis/run.sh setup          makes sure of Python and its packages, in target/schemathesis/venv
#   tests/schemathesis/run.sh test LICTOR    runs them; flags of `schemathesis run` may follow, such as `--seed 7`
#
# The last line of `test` says how many operations passed. Exit code 3: there is no Python, or no packages, and they
# cannot be installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD/tests/schemathesis work=$PWD/target/schemathesis
say() { echo "schemathesis: $*" >&2; }

has_python() { command -v curl >/dev/null && command -v python3 >/dev/null && python3 -c 'import ensurepip, venv' 2>/dev/null; }
install_python() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return
    local get=(timeout 600 env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120)
    { "${get[@]}" update && "${get[@]}" install -y --no-install-recommends python3 python3-venv curl; } >&2
}

setup() {
    has_python || install_python || true
    has_python || { say "python3, its venv, or curl is missing, and only root can install it"; exit 3; }
    local wanted
    wanted="$(sha256sum <"$here/requirements.txt") $(python3 --version)"
    [ "$(cat "$work/installed" 2>/dev/null)" = "$wanted" ] && return
    rm -rf "$work/venv" "$work/installed"
    { python3 -m venv "$work/venv" &&
        timeout 600 "$work/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"; } >&2 ||
        { say "the packages cannot be installed"; exit 3; }
    echo "$wanted" >"$work/installed"
}

mkdir -p "$work"
case ${1:-} in
setup) setup && exit ;;
test) lictor=$(realpath "$2") ;;
*) say "usage: tests/schemathesis/run.sh setup | test LICTOR [FLAG…]"; exit 2 ;;
esac

rm -rf "$work/data" "$work/report"
: >"$work/ready"
"$lictor" serve --data-dir "$work/data" --allow-file "$PWD/target/guests" --listen 127.0.0.1:0 --admin 127.0.0.1:0 \
    >"$work/ready" 2>"$work/log" &
server=$!
trap 'kill -TERM "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT
for _ in $(seq 600); do
    [ "$(wc -l <"$work/ready")" -ge 2 ] && break
    kill -0 "$server" || { cat "$work/log" >&2; exit 1; }
    sleep 0.05
done
url=$(sed -n 's/^listening on //p' "$work/ready")

send() { curl -sS --fail -X POST -H 'Content-Type: application/json' "$url$1" -d @-; }
for record in target/guests/*.json; do
    name=$(basename "$record" .json)
    answer=$(sed "s#\"code\": *\"$name.zip\"#\"code\": \"file://$PWD/target/guests/$name.zip\"#" "$record" | send /policy)
    case $answer in *'"success":true'*) ;; *) say "$name: $answer"; exit 1 ;; esac
done
send /policy/query <<<'{}' >"$work/policies.json"

curl -sS --fail "$url/openapi.json" -o "$work/openapi.json"
"$work/venv/bin/openapi-spec-validator" --subschema-errors all "$work/openapi.json"
# The report has one test for each operation.
attribute() { sed -n "s/.*<testsuites[^>]* $2=\"\([0-9]*\)\".*/\1/p" "$work/report/$1.xml"; }
passed=0 failed=0

# What it does is in schemathesis.toml. It keeps notes of a run in the folder that it is called in.
run() {
    local name=$1 bad
    (cd "$work" && SCHEMATHESIS_HOOKS=$here/hooks.py venv/bin/schemathesis --config-file "$here/schemathesis.toml" run "$url/openapi.json" \
        --checks not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance \
        --report junit --report-junit-path "report/$name.xml" --no-color "${@:2}") || failures=1
    kill -0 "$server" || { say "the server is gone"; tail -n 50 "$work/log" >&2; exit 1; }
    [ -f "$work/report/$name.xml" ] || { say "it did not run"; exit 1; }
    bad=$(($(attribute "$name" failures) + $(attribute "$name" errors)))
    passed=$((passed + $(attribute "$name" tests) - $(attribute "$name" skipped) - bad)) failed=$((failed + bad))
}

# What changes and removes things comes last, so that the others find them.
failures=0
run other --phases examples,coverage,fuzzing --exclude-method PUT --exclude-operation-id-regex '^delete_' "${@:3}"
run change --phases examples,coverage,fuzzing --include-method PUT "${@:3}"
run sequences --phases stateful "${@:3}"
run remove --phases examples,coverage,fuzzing --include-operation-id-regex '^delete_' "${@:3}"
echo "$passed passed, $failed failed"
exit "$failures"
