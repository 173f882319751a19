#!/usr/bin/env bash
# Measures, in one run on this machine: requests a second of a bare hyper server and of ours with a fresh sandbox for
# each, taking turns, and what calls cost in process. Medians of five; ratios are what to compare between machines.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v wrk >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends wrk; } >/dev/null
command -v curl >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends curl; } >/dev/null
cargo build --release --locked -p lictor -p lictor-bench

dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
target/release/lictor serve --data-dir "$dir/data" --listen 127.0.0.1:0 --admin 127.0.0.1:0 --allow-file "$PWD/target/guests" \
    >"$dir/ready" 2>"$dir/log" &
while [ "$(wc -l <"$dir/ready")" -lt 2 ]; do sleep 0.05; done
ours=$(sed -n 's/^listening on //p' "$dir/ready")
# A port that nobody listens on: the baseline does not pick one itself.
bare=127.0.0.1:$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' 2>/dev/null || echo 9191)
target/release/echo "$bare" &

# The seed's policy, with settings that have no `allowlist_api`: it makes no host call.
sed -e "s#\"code\": *\"ip_allowlist.zip\"#\"code\": \"file://$PWD/target/guests/ip_allowlist.zip\"#" \
    -e '/"policy_settings": *{/,/}/ s#"allowlist_api".*##' target/guests/ip_allowlist.json >"$dir/record.json"
curl -sS -X POST "$ours/policy" -H 'Content-Type: application/json' -d @"$dir/record.json" | grep -q '"success":true'
post=$ours/executor/executor-001/execute_policy
body=$(sed -n "s/^wrk.body='\(.*\)'$/\1/p" tests/bench/post.lua)
curl -sS -X POST "$post" -H 'Content-Type: application/json' -d "$body" | grep -q '"allowed":true'

load() { wrk -t1 -c32 -d"${2:-4}s" -s tests/bench/post.lua "$1" | sed -n 's/^Requests.sec: *//p; s/.*Non-2xx.*/NOT ALL ANSWERED/p'; }
median() { sort -n | sed -n 3p; }
load "http://$bare/" 1 >/dev/null; load "$post" 1 >/dev/null
for _ in 1 2 3 4 5; do
    load "http://$bare/" >>"$dir/bare"
    load "$post" >>"$dir/ours"
done
bare_median=$(median <"$dir/bare") ours_median=$(median <"$dir/ours")
echo
echo "requests a second, 32 connections, medians of five:"
printf '  %-56s %9.0f\n' "bare hyper, parse and echo" "$bare_median" "fresh sandbox a request, ip_allowlist" "$ours_median"
awk -v o="$ours_median" -v b="$bare_median" 'BEGIN { printf "  %-56s %9.2f\n", "ratio", o / b }'
kill $(jobs -p) 2>/dev/null || true
wait 2>/dev/null || true
echo
echo "in process:"
target/release/in-process target/guests/ip_allowlist.wasm tests/bench/spin.wat | sed 's/^/  /'
