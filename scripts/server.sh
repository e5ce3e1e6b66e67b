#!/usr/bin/env bash
#
# Runs one private MySQL or MariaDB server in the foreground, for tests, the demo and benchmarks.
#
#   scripts/server.sh [--port=N] [--tls] [--remove] mysql|mariadb DATA_DIR [SERVER_OPTION...]
#   scripts/server.sh --where mysql|mariadb
#
# DATA_DIR is created and initialised if it is missing or empty; otherwise the server uses the data
# in it. As soon as the server accepts connections, one line goes to stdout:
#
#   ready kind=mysql version=9.7.4 port=23456 pid=4711 socket=DATA_DIR/socket
#
# The server runs until stdin ends, or TERM, INT or HUP arrives, and is then shut down. So a program
# that holds the other end of stdin never leaves a server behind, even if it is killed. Exit status:
# 0 if the server was asked to stop; 1 if it died or never started, with the end of its log on
# stderr; 2 for wrong usage.
#
#   --port=N    listen on this port, instead of a free one between 20000 and 32767
#   --tls       make a CA, a server and a client certificate in DATA_DIR/tls (ca.pem,
#               server-cert.pem, server-key.pem, client-cert.pem, client-key.pem; the server is
#               named localhost and 127.0.0.1), and offer TLS with them. Without it MySQL offers
#               certificates that it makes itself, and MariaDB offers no TLS.
#   --remove    delete DATA_DIR when asked to stop; the server is then killed, not shut down,
#               because its data is not needed. DATA_DIR stays if the server dies by itself, so
#               that it can be started on it again.
#   --where     print the server's executable and the root it belongs to (`/` for the system's own),
#               or exit 1
#
# The log is DATA_DIR/log, the data DATA_DIR/data, the pid file DATA_DIR/pid. Server-side files may
# be read and written in DATA_DIR/files. Temporary tables are in DATA_DIR/tmp, because at its start
# MariaDB removes whatever looks like one from its tmpdir, even another server's. root has no
# password over the socket and from 127.0.0.1, so do not run this on a machine with untrusted users.
# No configuration file is read; durability is the server's default.
#
# It needs no root. A server outside the system's own root (see scripts/setup.sh) is started by that
# root's dynamic loader with that root's libraries.

set -euo pipefail

readonly CACHE_DIR="${S3_TO_MYSQL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/s3-to-mysql}"
# Slow disks and crash recovery need longer than a second or two, but a server that hangs must not
# hang its caller.
readonly START_SECONDS=120
readonly STOP_SECONDS=60

say() { printf 'server.sh: %s\n' "$*" >&2; }
die() {
    say "$1"
    exit "${2:-1}"
}
usage() { die "$1; usage: server.sh [--port=N] [--tls] [--remove] mysql|mariadb DATA_DIR [SERVER_OPTION...]" 2; }

# ---- Where the servers are -----------------------------------------------------------------------

server_root=/
server_bin=
# The words that start the server's executable.
server_command=()

# Sets server_command for server_bin in server_root. Returns 1 if that root has no dynamic loader.
set_command() {
    local loader libraries
    if [[ $server_root == / ]]; then
        server_command=("$server_bin")
        # A distribution that confines mysqld to /var/lib/mysql ties the rule to the path that is
        # executed.
        if [[ -e /etc/apparmor.d/usr.sbin.mysqld ]] && loader=$(loader_of /); then
            server_command=("$loader" "$server_bin")
        fi
    else
        loader=$(loader_of "$server_root") || return
        libraries=$(printf '%s:' "$server_root"/usr/lib/*-linux-gnu*)
        server_command=("$loader" --library-path "${libraries%:}" "$server_bin")
    fi
}

# Prints the dynamic loader of a root.
loader_of() {
    local root=${1%/} candidate
    for candidate in "$root"/lib64/ld-linux-*.so.* "$root"/lib/ld-linux-*.so.*; do
        if [[ -e $candidate ]]; then
            printf '%s' "$candidate"
            return
        fi
    done
    return 1
}

# locate KIND: sets server_root, server_bin and server_command. Returns 1 if the server is not
# found. A root that is named in the environment wins over the system's server, which wins over a
# root in the cache.
locate() {
    local name named_root cached_root candidate
    case $1 in
        mysql) name=mysqld named_root=${S3_TO_MYSQL_MYSQL_ROOT:-} cached_root=$CACHE_DIR/mysql-root ;;
        mariadb) name=mariadbd named_root=${S3_TO_MYSQL_MARIADB_ROOT:-} cached_root=$CACHE_DIR/mariadb-root ;;
        *) usage "'$1' is neither mysql nor mariadb" ;;
    esac
    for candidate in "$named_root" / "$cached_root"; do
        [[ -n $candidate ]] || continue
        server_root=$candidate server_bin=${candidate%/}/usr/sbin/$name
        # MariaDB installs a link named mysqld.
        if [[ -x $server_bin && ($name != mysqld || $(readlink -f "$server_bin") != *mariadbd) ]] && set_command; then
            return 0
        fi
    done
    return 1
}

# ---- A data directory that is ready to be copied -------------------------------------------------

# Statements that give root access over TCP, where skip-name-resolve makes the client's host
# 127.0.0.1.
readonly MYSQL_ACCOUNTS="CREATE USER root@'127.0.0.1' IDENTIFIED BY '';
GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;"

# initialise_mysql DIR LOG
initialise_mysql() {
    printf '%s\n' "$MYSQL_ACCOUNTS" >"$1.sql"
    "${server_command[@]}" --no-defaults "${own_user[@]}" --basedir="${server_root%/}/usr" --datadir="$1" \
        --secure-file-priv=NULL --initialize-insecure --init-file="$1.sql" >"$2" 2>&1 || return
    # Every copy needs its own server UUID, which the server makes when this file is missing.
    rm -f "$1.sql" "$1/auto.cnf"
}

# initialise_mariadb DIR LOG: does what mariadb-install-db does. That program reads the system's
# configuration, cannot use a server outside the system's root, and changes the owner of files in
# /usr when root runs it.
initialise_mariadb() {
    local sql=${server_root%/}/usr/share/mysql
    mkdir -p "$1/mysql"
    {
        printf '%s\n' 'create database if not exists mysql;' 'use mysql;' 'set @auth_root_socket = NULL;'
        cat "$sql"/mysql_system_tables.sql "$sql"/mysql_performance_tables.sql "$sql"/mysql_system_tables_data.sql \
            "$sql"/maria_add_gis_sp_bootstrap.sql "$sql"/mysql_sys_schema.sql |
            # The directory may be used after the machine's name has changed.
            sed '/@current_hostname/d'
    } | "${server_command[@]}" --no-defaults "${own_user[@]}" --basedir="${server_root%/}/usr" --datadir="$1" \
        --lc-messages-dir="$sql" --bootstrap --log-warnings=0 --enforce-storage-engine= \
        --max-allowed-packet=8M >"$2" 2>&1
}

# Prints the path of a pristine data directory of this server version, and makes it first if needed.
# Initialising takes seconds; copying the result does not.
pristine_data() {
    local kind=$1 version key pristine partial lock
    version=$("${server_command[@]}" --no-defaults --version) || die "cannot run ${server_command[*]}"
    # Its content depends on the server's version and on how this script initialises it.
    key=$( (printf '%s\n' "$version" "$MYSQL_ACCOUNTS" && declare -f "initialise_$kind") | sha256sum)
    pristine=$CACHE_DIR/data-$kind-${key:0:16}
    if [[ ! -d $pristine ]]; then
        mkdir -p "$CACHE_DIR"
        exec {lock}>"$CACHE_DIR/data-$kind.lock"
        flock "$lock"
        if [[ ! -d $pristine ]]; then
            # The lock is exclusive, so a partial directory is left from an interrupted run.
            partial=$pristine.partial
            rm -rf "$partial"
            mkdir -m 700 "$partial"
            if ! "initialise_$kind" "$partial/data" "$partial/log"; then
                tail -n 20 "$partial/log" >&2
                die "could not initialise a data directory for $kind (log above)"
            fi
            mv "$partial" "$pristine"
        fi
        exec {lock}>&-
    fi
    printf '%s' "$pristine/data"
}

# ---- Certificates --------------------------------------------------------------------------------

make_certificates() {
    local dir=$1 who subject extensions
    [[ ! -d $dir ]] || return 0
    command -v openssl >/dev/null || die "--tls needs the openssl command; run scripts/setup.sh"
    rm -rf "$dir.partial"
    mkdir "$dir.partial"
    (
        cd "$dir.partial"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj '/CN=Test CA' \
            -keyout ca-key.pem -out ca.pem
        for who in server client; do
            subject="/CN=$who" extensions='basicConstraints=critical,CA:FALSE'
            [[ $who == client ]] || extensions+=$'\nsubjectAltName=DNS:localhost,IP:127.0.0.1'
            openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$subject" \
                -keyout "$who-key.pem" -out "$who.csr"
            openssl x509 -req -in "$who.csr" -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 3650 \
                -extfile <(printf '%s\n' "$extensions") -out "$who-cert.pem"
        done
    ) >"$data_dir/tls.log" 2>&1 || { cat "$data_dir/tls.log" >&2; die "openssl could not make the certificates"; }
    mv "$dir.partial" "$dir"
}

# ---- Ports ---------------------------------------------------------------------------------------

# Prints a port that nothing on this machine uses now. It is below 32768, where the ports of
# outgoing connections begin.
free_port() {
    local port used
    # The second field of each line is the local address in hexadecimal, with the port after the
    # last colon.
    used=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null || true)
    while :; do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12768))
        if ! grep -q "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$port") " <<<"$used"; then
            printf '%s' "$port"
            return
        fi
    done
}

# ---- The command line ----------------------------------------------------------------------------

fixed_port='' tls='' remove=''
while [[ ${1:-} == --* ]]; do
    case $1 in
        --port=*) fixed_port=${1#*=} ;;
        --tls) tls=yes ;;
        --remove) remove=yes ;;
        --where)
            [[ $# -eq 2 ]] || usage "--where needs a kind of server"
            locate "$2" || exit 1
            printf '%s %s\n' "$server_bin" "$server_root"
            exit 0
            ;;
        *) usage "unknown option $1" ;;
    esac
    shift
done
[[ $# -ge 2 ]] || usage "a kind of server and a data directory are needed"
kind=$1 data_dir=$2
shift 2
extra_options=("$@")
[[ -z $fixed_port || $fixed_port =~ ^[0-9]+$ ]] || usage "--port=$fixed_port is not a number"
locate "$kind" || die "there is no $kind server here; run scripts/setup.sh"
own_user=()
[[ $(id -u) -ne 0 ]] || own_user=(--user=root)

mkdir -p "$data_dir"
data_dir=$(cd "$data_dir" && pwd)
socket=$data_dir/socket log=$data_dir/log
# The kernel limits the path of a socket to 107 bytes.
(export LC_ALL=C; ((${#socket} <= 107))) || die "$socket is too long a path for a socket; choose a shorter DATA_DIR"

# ---- Life and death ------------------------------------------------------------------------------

server_pid='' watcher_pid='' asked_to_stop=''

alive() { [[ -n $1 ]] && kill -0 "$1" 2>/dev/null; }
# The end of the watcher wakes a `wait` that begins just after the signal arrived.
ask_to_stop() {
    asked_to_stop=yes
    if alive "$watcher_pid"; then
        kill -KILL "$watcher_pid" 2>/dev/null || true
        # Waited for here, so that bash does not announce its end.
        wait "$watcher_pid" 2>/dev/null || true
    fi
}
trap ask_to_stop TERM INT HUP
stop_wanted() { [[ -n $asked_to_stop ]] || ! alive "$watcher_pid"; }

# Bash gives a background command /dev/null as stdin unless it is redirected.
exec 3<&0
# Ends when stdin does. The watcher and the server die with this script, whatever kills it.
setpriv --pdeathsig KILL cat >/dev/null <&3 &
watcher_pid=$!

stop_server() {
    local tenths
    if alive "$server_pid"; then
        if [[ -n $remove ]]; then
            kill -KILL "$server_pid"
        else
            kill -TERM "$server_pid"
            for ((tenths = 0; tenths < STOP_SECONDS * 10; tenths++)); do
                alive "$server_pid" || break
                # A signal to the whole process group (Ctrl-C) ends this process too.
                sleep 0.1 || true
            done
            if alive "$server_pid"; then
                say "the server did not stop within $STOP_SECONDS s and is killed"
                kill -KILL "$server_pid" || true
            fi
        fi
    fi
    [[ -z $server_pid ]] || wait "$server_pid" 2>/dev/null || true
    server_pid=''
}

finish() {
    stop_server
    [[ -z $remove ]] || rm -rf "$data_dir"
    exit 0
}

# However this script ends (even by an error under `set -e`), nothing that it started is left
# running.
cleanup() {
    [[ -z $server_pid ]] || kill -KILL "$server_pid" 2>/dev/null || true
    [[ -z $watcher_pid ]] || kill -KILL "$watcher_pid" 2>/dev/null || true
}
trap cleanup EXIT

if [[ ! -d $data_dir/data ]]; then
    left=$(find "$data_dir" -mindepth 1 -maxdepth 1 ! -name data.partial ! -name files ! -name tmp ! -name kind -print -quit)
    [[ -z $left ]] || die "$data_dir is neither empty nor a data directory of this script (it contains $left)" 2
    source_dir=$(pristine_data "$kind")
    rm -rf "$data_dir/data.partial"
    cp -a --reflink=auto "$source_dir" "$data_dir/data.partial"
    mkdir -p -m 700 "$data_dir/files" "$data_dir/tmp"
    printf '%s\n' "$kind" >"$data_dir/kind"
    mv "$data_dir/data.partial" "$data_dir/data"
fi
# Two servers would corrupt each other's files.
[[ $(<"$data_dir/kind") == "$kind" ]] || die "$data_dir belongs to a $(<"$data_dir/kind") server" 2

options=(
    --no-defaults "${own_user[@]}"
    --basedir="${server_root%/}/usr" --datadir="$data_dir/data" --socket="$socket" --pid-file="$data_dir/pid"
    --tmpdir="$data_dir/tmp" --secure-file-priv="$data_dir/files"
    --bind-address=127.0.0.1 --skip-name-resolve --local-infile=ON
)
# The X protocol would listen on a fixed port.
[[ $kind != mysql ]] || options+=(--mysqlx=OFF)
if [[ -n $tls ]]; then
    make_certificates "$data_dir/tls"
    options+=(--ssl-ca="$data_dir/tls/ca.pem" --ssl-cert="$data_dir/tls/server-cert.pem")
    options+=(--ssl-key="$data_dir/tls/server-key.pem")
fi

# Starts the server. Returns 0 when it accepts connections, 1 if it died first, 2 if its port was
# taken.
start() {
    local log_start news tenths
    log_start=$(stat -c %s "$log" 2>/dev/null || echo 0)
    setpriv --pdeathsig KILL "${server_command[@]}" "${options[@]}" --port="$port" "${extra_options[@]}" \
        >>"$log" 2>&1 </dev/null 3<&- &
    server_pid=$!
    for ((tenths = 0; tenths < START_SECONDS * 20; tenths++)); do
        ! stop_wanted || finish
        if ! alive "$server_pid"; then
            wait "$server_pid" 2>/dev/null || true
            server_pid=''
            news=$(tail -c "+$((log_start + 1))" "$log")
            [[ $news != *"Address already in use"* ]] || return 2
            return 1
        fi
        news=$(tail -c "+$((log_start + 1))" "$log")
        # Both servers log this when their sockets are open.
        if [[ $news =~ "ready for connections".*Version:\ \'([0-9.]+) ]]; then
            version=${BASH_REMATCH[1]}
            return 0
        fi
        sleep 0.05 || true
    done
    say "the server was not ready within $START_SECONDS s"
    return 1
}

died() {
    say "the $kind server $1; the end of $log:"
    tail -n 20 "$log" >&2 || true
    exit 1
}

version=''
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    port=${fixed_port:-$(free_port)}
    status=0
    start || status=$?
    [[ $status -ne 0 ]] || break
    [[ $status -eq 2 ]] || died "did not start"
    # Otherwise another process took the port between the check and the server's bind.
    [[ -z $fixed_port ]] || die "port $port is taken; choose another, or none to get a free one"
    [[ $attempt -lt 10 ]] || died "found no free port in $attempt tries"
done

printf 'ready kind=%s version=%s port=%s pid=%s socket=%s\n' "$kind" "$version" "$port" "$server_pid" "$socket"

while :; do
    # The order matters. A signal may be meant for the server as well, so its end is then no
    # failure. But if the server died by itself, DATA_DIR is kept, even if stdin ends at that
    # moment.
    [[ -z $asked_to_stop ]] || break
    alive "$server_pid" || died "died"
    alive "$watcher_pid" || break
    # Returns when either process ends, or a trapped signal arrives.
    wait -n "$server_pid" "$watcher_pid" 2>/dev/null || true
done
finish
