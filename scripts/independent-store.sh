#!/bin/sh
# Installs and serves an independent S3 store for the contract suite: moto's server, in a private
# Python environment.
#
#   scripts/independent-store.sh install
#       installs it into the cache folder, unless it is there
#   scripts/independent-store.sh
#       installs it, then serves on a free port of 127.0.0.1 in the foreground: prints one line
#       `ready URL`, and stops when its standard input ends
#
# Needs python3 with venv (Debian: python3-venv). Exits 69 if it is missing, with the remedy on
# standard error.
set -eu

# The version that the table of differences in tests/it/contract.rs was written against.
moto_version=5.2.5
home=${S3_TO_MYSQL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/s3-to-mysql}/moto

install() {
    if [ -x "$home/bin/python" ] && [ "$(cat "$home/installed" 2>/dev/null)" = "$moto_version" ]; then
        return
    fi
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        echo "error: python3 with venv is missing; install it: apt-get install python3-venv" >&2
        exit 69
    fi
    rm -rf "$home"
    mkdir -p "$(dirname "$home")"
    python3 -m venv "$home"
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check "moto[server]==$moto_version" >&2
    # Written last, so that an interrupted installation starts again.
    echo "$moto_version" >"$home/installed"
}

case ${1:-serve} in
install) install ;;
serve)
    install
    exec "$home/bin/python" -c '
import logging, sys
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("ready http://127.0.0.1:%d" % server.get_host_and_port()[1], flush=True)
sys.stdin.buffer.read()
server.stop()
'
    ;;
*)
    echo "usage: $0 [install]" >&2
    exit 64
    ;;
esac
