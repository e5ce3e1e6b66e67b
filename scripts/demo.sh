#!/usr/bin/env bash
#
# Runs a complete load on real parts: a private MySQL server, a private S3 endpoint, 144 Hive-style
# files and an optimized binary, and an independent check of the result. At the end it stops and
# removes everything.
#
#   scripts/demo.sh [--small] [mysql|mariadb]
#
#   --small     12 files of 500 rows instead of 144 of 9,000 (1,296,000 rows, 106 MB)
#
# If S3_TO_MYSQL_DEMO_PROGRAMS names a folder, the programs in it run, and nothing is built.

set -euo pipefail
cd "$(dirname "$0")/.."

files=144 rows_per_file=9000 kind=mysql
for argument in "$@"; do
    case $argument in
        --small) files=12 rows_per_file=500 ;;
        mysql | mariadb) kind=$argument ;;
        *) echo "usage: scripts/demo.sh [--small] [mysql|mariadb]" >&2; exit 2 ;;
    esac
done

say() { printf '\n== %s\n' "$*"; }

scripts/setup.sh servers
target=${S3_TO_MYSQL_DEMO_PROGRAMS:-}
if [[ -z $target ]]; then
    say "Building the program"
    # Without Parquet, which would take most of the time.
    cargo build --profile demo --locked --package s3-to-mysql --package test-tools --bins \
        --no-default-features
    target=${CARGO_TARGET_DIR:-target}/demo
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/s3-to-mysql-demo.XXXXXX")
stop() {
    # Both servers end when their standard input does.
    exec 8>&- 9>&-
    wait
    rm -rf "$work"
}
trap stop EXIT

say "Starting a private $kind server and a private S3 endpoint"
mkfifo "$work/server.in" "$work/endpoint.in"
scripts/server.sh --remove "$kind" "$work/server" < "$work/server.in" > "$work/server.out" 2> "$work/server.err" 9>&- &
exec 9> "$work/server.in"

"$target/hive_files" "$work/files/seed144" "$files" "$rows_per_file" > "$work/expected"
{ read -r sums; read -r create_table; read -r checksum_query; } < "$work/expected"
echo "$files files: $sums"

"$target/s3_endpoint" --bucket etl --folder "$work/files" < "$work/endpoint.in" \
    > "$work/endpoint.out" 2> "$work/endpoint.err" 9>&- &
exec 8> "$work/endpoint.in"

# Waits for the line that a server prints when it is ready.
ready() {
    local name=$1 pid=$2 line
    for ((tenths = 0; tenths < 1200; tenths++)); do
        if line=$(grep -m 1 '^ready ' "$work/$name.out"); then
            printf '%s\n' "$line"
            return
        fi
        kill -0 "$pid" 2> /dev/null || break
        sleep 0.1
    done
    echo "demo.sh: the $name did not start:" >&2
    cat "$work/$name.err" >&2
    exit 1
}
server=$(ready server "$(jobs -p %1)")
endpoint=$(ready endpoint "$(jobs -p %2)")
port=$(sed -n 's/.* port=\([0-9]*\) .*/\1/p' <<< "$server")
echo "$server"
echo "$endpoint"

sql() { "$target/sql" "mysql://root@127.0.0.1:$port" "$@"; }
sql "CREATE DATABASE bench" "USE bench" "$create_table" "CREATE USER loader" "GRANT CREATE, SELECT, INSERT, UPDATE, DELETE ON bench.* TO loader"

say "Loading"
# The keys of the private endpoint, which checks signatures as S3 does.
export AWS_ACCESS_KEY_ID=$(sed -n 's/.* access_key=\([^ ]*\).*/\1/p' <<< "$endpoint")
export AWS_SECRET_ACCESS_KEY=$(sed -n 's/.* secret_key=\([^ ]*\).*/\1/p' <<< "$endpoint")
export AWS_ENDPOINT_URL=$(sed -n 's/^ready \([^ ]*\).*/\1/p' <<< "$endpoint")
load() (
    set -x
    "$target/s3-to-mysql" load s3://etl/seed144/ --database-url "mysql://loader@127.0.0.1:$port/bench" \
        --table bi_supplier_spu_month_detail --preset hive
)
load

say "The same command again finds nothing left to load"
load

say "Checking the table against the generator"
counted=$(sql "USE bench" "$checksum_query")
expected=$(sed -n 's/rows=\([0-9]*\) bytes=[0-9]* checksum=\([0-9]*\)/\1\t\2/p' <<< "$sums")
printf 'in the table:  rows and checksum %s\nin the files:  rows and checksum %s\n' "$counted" "$expected"
if [[ $counted != "$expected" ]]; then
    echo "demo.sh: they differ" >&2
    exit 1
fi
say "Done: every row is there, once"
