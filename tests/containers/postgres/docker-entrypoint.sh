#!/bin/sh
# What the official image's entrypoint does, as far as our files use it: on its first boot it makes the cluster, runs a
# server that listens on its socket alone, creates the database, runs the init scripts, and starts again for the network.
set -eu

secret() {
    eval "file=\${$1_FILE:-} value=\${$1:-}"
    if [ -n "$file" ]; then cat "$file"; else printf %s "$value"; fi
}

[ "${1:-postgres}" = postgres ] || exec "$@"
if [ "$(id -u)" = 0 ]; then
    # A data directory of an earlier container keeps the mode that the server insists on.
    install -d -m 0700 -o postgres -g postgres "$PGDATA"
    install -d -m 0775 -o postgres -g postgres /var/run/postgresql
    exec setpriv --reuid postgres --regid postgres --init-groups -- "$0" "$@"
fi

user=${POSTGRES_USER:-postgres}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    secret POSTGRES_PASSWORD >/tmp/pwfile
    initdb --username="$user" --pwfile=/tmp/pwfile --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8
    rm /tmp/pwfile
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    echo "unix_socket_directories = '/var/run/postgresql'" >>"$PGDATA/postgresql.conf"
    pg_ctl --wait start -o "-c listen_addresses=''"
    database=${POSTGRES_DB:-$user}
    [ "$database" = postgres ] || psql -v ON_ERROR_STOP=1 -U "$user" -d postgres -c "CREATE DATABASE \"$database\""
    for script in /docker-entrypoint-initdb.d/*; do
        case $script in
        *.sql) psql -v ON_ERROR_STOP=1 -U "$user" -d "$database" -f "$script" ;;
        *.sh) . "$script" ;;
        esac
    done
    pg_ctl --wait --mode=fast stop
fi
exec "$@"
