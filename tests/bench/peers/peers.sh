#!/usr/bin/env bash
# Peers that make the same decision, from package registries: what npm has at the versions of package-lock.json, and Debian's
# nginx with njs. Everything is put into target/bench-peers, and nothing is installed twice.
# usage: peers.sh install | list | serve NAME PORT
#   list   a line for each peer of peers.tsv: name, version, and why it is left out if it is
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
into=$root/target/bench-peers
modules=$into/node_modules
workerd=$modules/@cloudflare/workerd-linux-64/bin/workerd
deno=$modules/@deno/linux-x64-glibc/deno
nginx=$into/nginx/usr/sbin/nginx

apt() { apt-get update -q && apt-get install -y -q --no-install-recommends "$@"; }

install_npm() {
    cmp -s "$here/package-lock.json" "$into/npm-done" && return
    command -v npm >/dev/null || apt nodejs npm
    rm -rf "$modules"
    cp "$here/package.json" "$here/package-lock.json" "$into"
    # Not `npm ci`, which wants the lock file to have the packages of every platform.
    (cd "$into" && npm install --ignore-scripts --no-audit --no-fund) && cp "$here/package-lock.json" "$into/npm-done"
}

# The policy that Lictor runs, for Node.
install_jco() {
    local component=$root/target/guests/ip_allowlist.wasm
    cmp -s "$component" "$into/jco/component.wasm" && return
    rm -rf "$into/jco"
    (cd "$into" && node "$here/transpile.js" "$component" "$into/jco") && cp "$component" "$into/jco/component.wasm"
}

# Unpacked beside the rest instead of installed, so that no service of the machine is started.
install_nginx() {
    [ -x "$nginx" ] && return
    rm -rf "$into/nginx" "$into/deb" && mkdir -p "$into/deb" "$into/nginx"
    (cd "$into/deb" && apt-get update -q && apt-get download nginx libnginx-mod-http-js)
    for package in "$into"/deb/*.deb; do dpkg -x "$package" "$into/nginx"; done
}

install() {
    mkdir -p "$into"
    for part in npm jco nginx; do
        # What cannot be installed is left out, and `list` says so.
        (install_$part) >"$into/$part.log" 2>&1 || echo "peers: $part could not be installed: $(tail -1 "$into/$part.log")" >&2
    done
}

package() { node -p "require('$modules/$1/package.json').version"; }

# The version of a peer, or nothing if it is not there.
version() {
    case $1 in
        workerd) [ -x "$workerd" ] && package workerd ;;
        deno) [ -x "$deno" ] && package deno ;;
        njs) [ -x "$nginx" ] && dpkg-deb -f "$into"/deb/libnginx-mod-http-js*.deb Version ;;
        jco | wasm) [ -e "$into/jco/component.wasm" ] && package @bytecodealliance/jco-transpile && node --version ;;
        cedar) package @cedar-policy/cedar-wasm && node --version ;;
    esac 2>/dev/null | paste -sd' '
}

why_not() {
    case $1 in
        wasmtime) echo "there is only its source in a package registry, and it is not compiled for this" ;;
        opa) echo "no package of its server, or of its compiler to WebAssembly, was found" ;;
        kubewarden) echo "no package of it was found" ;;
        njs) echo "could not be installed: $(tail -n 1 "$into/nginx.log")" ;;
        jco | wasm) echo "could not be installed: $(tail -n 1 "$into/jco.log")" ;;
        *) echo "could not be installed: $(tail -n 1 "$into/npm.log")" ;;
    esac
}

list() {
    cut -f1 "$here/peers.tsv" | while read -r name; do
        version=$(version "$name" || true)
        [ -n "$version" ] && printf '%s\t%s\t\n' "$name" "$version" || printf '%s\t-\t%s\n' "$name" "$(why_not "$name")"
    done
}

serve() {
    local name=$1 port=$2
    case $name in
        workerd) exec "$workerd" serve "$here/workerd.capnp" --socket-addr "http=127.0.0.1:$port" ;;
        deno) exec "$deno" serve --parallel --host 127.0.0.1 --port "$port" "$here/deno.js" ;;
        jco | wasm) exec node "$here/$name.js" "$port" "$into/jco" ;;
        cedar) exec node "$here/cedar.js" "$port" "$into" ;;
        njs)
            mkdir -p "$into/run"
            sed -e "s#LOAD#$into/nginx/usr/lib/nginx/modules#; s#PEERS#$here#; s#PORT#$port#" "$here/njs.conf" >"$into/run/njs.conf"
            exec "$nginx" -p "$into/run" -c "$into/run/njs.conf"
            ;;
        *) echo "no peer is called $name" >&2 && exit 1 ;;
    esac
}

"$@"
