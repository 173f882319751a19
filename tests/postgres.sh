#!/usr/bin/env bash
# A PostgreSQL server for the tests, on loopback, with a password made for it and nothing in it.
#
#   tests/postgres.sh start [FOLDER]   starts one, or finds the one that runs, and prints its URL
#   tests/postgres.sh url [FOLDER]     prints the URL of the one that runs
#   tests/postgres.sh stop [FOLDER]    stops it and removes everything of it
#
# FOLDER (default target/postgres) remembers where the server's files are. These are in a folder of their own under
# /tmp, since PostgreSQL refuses to run as root and its user may not look into a folder of root's.
# Exit code 3: there is no PostgreSQL on this machine and it cannot be installed.
set -euo pipefail
cd "$(dirname "$0")/.."
action=${1:-} folder=${2:-target/postgres}
say() { echo "postgres.sh: $*" >&2; }

find_programs() {
    local candidate
    for candidate in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin "$(dirname "$(command -v pg_ctl || echo /none/pg_ctl)")"; do
        [ -x "$candidate/initdb" ] && [ -x "$candidate/pg_ctl" ] && [ -x "$candidate/psql" ] && programs=$candidate
    done
    [ -n "${programs:-}" ]
}

install() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || { say "not installed, and only root can install it"; exit 3; }
    # Debian's package would make a cluster of its own and start it.
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        mkdir -p /etc/postgresql-common
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    fi
    export DEBIAN_FRONTEND=noninteractive
    local get=(timeout 600 apt-get -q -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=120)
    { "${get[@]}" update && "${get[@]}" install -y --no-install-recommends postgresql; } >&2 ||
        { say "it cannot be installed"; exit 3; }
}

# As the user that owns the files: PostgreSQL refuses root.
as_owner() {
    if [ "$(id -u)" -ne 0 ]; then "$@"; else setpriv --reuid="$owner" --regid="$(id -g "$owner")" --clear-groups "$@"; fi
}

running() {
    [ -f "$folder/where" ] && home=$(cat "$folder/where") && [ -f "$home/data/postmaster.pid" ] &&
        owner=$(stat -c %U "$home") && as_owner "$programs/pg_ctl" -D "$home/data" status >/dev/null
}

start() {
    mkdir -p "$folder"
    if running; then cat "$folder/url"; return; fi
    clean
    home=$(mktemp -d /tmp/lictor-postgres-XXXXXX)
    echo "$home" >"$folder/where"
    owner=$(id -un)
    if [ "$owner" = root ]; then owner=$(getent passwd postgres >/dev/null && echo postgres || echo nobody); fi
    local password
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    echo "$password" >"$home/password"
    chown -R "$owner" "$home"
    # Text that sorts as people sort, so that an order that should be that of bytes shows if it is not.
    local order=(--locale=C.UTF-8)
    "$programs/initdb" --help | grep -q icu-locale && order+=(--locale-provider=icu --icu-locale=en-US)
    (cd "$home" && as_owner "$programs/initdb" -D "$home/data" -U lictor -E UTF8 "${order[@]}" \
        --auth=scram-sha-256 --pwfile="$home/password" >"$home/initdb.log") || { cat "$home/initdb.log" >&2; exit 1; }
    cat >>"$home/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = '$home'
max_connections = 1000
shared_buffers = 128MB
max_wal_size = 4GB
CONF
    local port
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        # Below the ports that the system hands out itself.
        port=$((20000 + RANDOM % 12000))
        if (cd "$home" && as_owner "$programs/pg_ctl" -D "$home/data" -o "-p $port" -l "$home/log" -w -t 60 start >/dev/null); then
            (umask 077 && echo "postgres://lictor:$password@127.0.0.1:$port/postgres" >"$folder/url")
            cat "$folder/url"
            return
        fi
        grep -q 'could not bind\|Address already in use' "$home/log" || break
    done
    say "it does not start:"
    cat "$home/log" >&2
    exit 1
}

clean() {
    [ -f "$folder/where" ] || return 0
    home=$(cat "$folder/where")
    case $home in /tmp/lictor-postgres-*) rm -rf "$home" ;; esac
    rm -f "$folder/where" "$folder/url"
}

stop() {
    if running; then
        (cd "$home" && as_owner "$programs/pg_ctl" -D "$home/data" -m immediate -w -t 60 stop >/dev/null)
    fi
    clean
}

case $action in
start) find_programs || { install && find_programs; } || { say "not found after its installation"; exit 3; } ;;
stop | url) find_programs || { say "not installed"; exit 3; } ;;
*) say "usage: tests/postgres.sh start|stop|url [FOLDER]"; exit 2 ;;
esac
case $action in
start) start ;;
stop) stop ;;
url) running && cat "$folder/url" ;;
esac
