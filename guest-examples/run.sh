#!/usr/bin/env bash
# Serves the example policies in the foreground, with data in target/run, and prints a request and its answer.
# usage: run.sh LICTOR
set -euo pipefail
lictor=$(realpath "$1")
cd "$(dirname "$0")/.."
command -v curl >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends curl; } >/dev/null
mkdir -p target/run
ready=target/run/ready

# Port 10000, or a free one if that is taken. The admin port follows suit.
serve() {
    "$lictor" serve --data-dir target/run/data --allow-file "$PWD/target/guests" --listen "$1" --admin "$2" \
        >"$ready" 2>target/run/log &
    server=$!
    while [ "$(wc -l <"$ready")" -lt 2 ]; do
        kill -0 "$server" 2>/dev/null || return 1
        sleep 0.05
    done
}
: >"$ready"
serve 127.0.0.1:10000 127.0.0.1:10001 || serve 127.0.0.1:0 127.0.0.1:0 || { cat target/run/log >&2; exit 1; }
trap 'kill -TERM "$server" 2>/dev/null; wait "$server"; exit' INT TERM
url=$(sed -n 's/^listening on //p' "$ready")

send() { curl -sS -H 'Content-Type: application/json' "$@"; }
for record in target/guests/*.json; do
    name=$(basename "$record" .json)
    sed "s#\"code\": *\"$name.zip\"#\"code\": \"file://$PWD/target/guests/$name.zip\"#" "$record" >target/run/record.json
    answer=$(send -X POST "$url/policy" -d @target/run/record.json)
    case $answer in
        *'"conflict"'*)
            uri=$(printf %s "$answer" | sed -n 's/.*already another policy `\([^`]*\)`.*/\1/p')
            answer=$(send -X PUT "$url/policy/$uri" -d @target/run/record.json)
            ;;
    esac
    case $answer in
        *'"success":true'*) ;;
        *) echo "$name: $answer" >&2 ;;
    esac
done

body='{"policy_rule_uri":"ip_allowlist:1.0-beta","input_data":{"ip":"10.0.0.1"},"parameters":{"local_allowlist":["10.0.0.1"]}}'
request="$url/executor/executor-001/execute_policy"
cat <<MESSAGE

Lictor serves $(ls target/guests/*.zip | wc -l) example policies on $url (logs in target/run/log). Ask one:

  curl -X POST $request -H 'Content-Type: application/json' -d '$body'

and it answers:

  $(send -X POST "$request" -d "$body")

Ctrl-C stops it.
MESSAGE
wait "$server"
