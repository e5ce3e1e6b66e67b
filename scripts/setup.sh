#!/usr/bin/env bash
#
# Installs everything that the tests, the demo and the benchmarks need, unless it is there.
#
#   scripts/setup.sh [servers]
#
#   servers     only the database servers: all that the demo needs
#
# It is safe to run at any time, even twice at once. It takes well under a second when nothing is
# missing, and prints where the servers are. It needs root, or sudo, only to install packages. It
# works on Debian and Ubuntu. On other systems install the servers yourself (`mariadbd` and `mysqld`
# under /usr/sbin), or name roots that hold them, see below.
#
#   Rust and a C compiler   must be there already
#   MariaDB                 the distribution's mariadb-server-core: the program alone; no service is
#                           set up or started
#   MySQL                   the distribution's mysql-server-core if it can be installed beside
#                           MariaDB. Ubuntu's two cannot, and Debian's stable releases have no
#                           MySQL: then debootstrap puts a minimal system with MySQL (Debian
#                           sid's, or this Ubuntu release's) into a folder outside this tree,
#                           without touching this system. About 250 MB to download, 600 MB on
#                           disk.
#   openssl                 the command, for the certificates of servers that are tested over TLS
#   moto                    an independent S3 store, in a Python environment of its own; python3 and
#                           its venv are installed if they are missing (see
#                           scripts/independent-store.sh)
#   schemas                 of Kubernetes and of AWS Batch, in a Python environment too (see
#                           scripts/check-manifests.sh)
#
# Environment:
#   S3_TO_MYSQL_CACHE           the folder for all this: $XDG_CACHE_HOME/s3-to-mysql or
#                               ~/.cache/s3-to-mysql by default
#   S3_TO_MYSQL_MYSQL_ROOT      the folder of the MySQL system: mysql-root in the cache by default
#   S3_TO_MYSQL_MARIADB_ROOT    the same for MariaDB, used if the installed MySQL excludes it:
#                               mariadb-root in the cache by default
#
# Fails with status 1, with the remedy on standard error.

set -euo pipefail

readonly CACHE_DIR="${S3_TO_MYSQL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/s3-to-mysql}"
SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly SCRIPTS

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
    printf 'setup: error: %s\n' "$1" >&2
    printf 'setup: hint: %s\n' "$2" >&2
    exit 1
}

case ${1:-} in
    '') only_servers='' ;;
    servers) only_servers=1 ;;
    *) die "unknown argument '$1'" "usage: scripts/setup.sh [servers]" ;;
esac

# ---- Packages ------------------------------------------------------------------------------------

as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        # Without a terminal, a prompt for a password would wait without end.
        if [[ -t 0 ]]; then sudo "$@"; else sudo -n "$@"; fi
    else
        die "packages must be installed, and this is neither root nor is there sudo" "run as root: $*"
    fi
}

apt_get() {
    # Wait for another package manager instead of failing.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" >&2
}

# Set once the package lists have been fetched in this run: once is enough.
lists_are_fresh=''
refresh_lists() {
    [[ -z $lists_are_fresh ]] || return 1
    say "fetching package lists"
    apt_get update || say "some package lists could not be fetched; going on with those that could"
    lists_are_fresh=yes
}

# simulate PACKAGE...: prints what an installation would do. Fails if a package is unknown.
simulate() { apt-get -s install --no-install-recommends "$@" 2>/dev/null; }

# can_install PACKAGE: succeeds if apt knows the package and can install it without removing
# anything.
can_install() {
    local plan
    plan=$(simulate "$1") || { refresh_lists && plan=$(simulate "$1"); } || return
    [[ $plan != *$'\nRemv '* ]]
}

install_packages() {
    # Lists that are too old name files that are gone, or a server without its latest fixes.
    refresh_lists || true
    say "installing $*"
    apt_get install --no-install-recommends "$@" || { refresh_lists && apt_get install --no-install-recommends "$@"; } ||
        die "could not install: $*" "see apt-get's message above; once it is solved, run scripts/setup.sh again"
}

need_apt() {
    command -v apt-get >/dev/null || die "$1 is missing, and this system has no apt-get to install it with" \
        "install $1 yourself, then run scripts/setup.sh again (see the head of that file)"
}

# ---- A server in a root of its own ---------------------------------------------------------------

# build_root DIR SUITE PACKAGES COMPONENTS: puts a minimal system of a Debian or Ubuntu release into
# DIR. DIR appears only when it is complete; an interrupted run leaves DIR.partial, which the next
# one removes.
build_root() {
    local dir=$1 suite=$2 packages=$3 components=$4 partial=$1.partial isolated=() variable
    [[ ! -e $dir ]] ||
        die "$dir is there, but holds no usable server" "remove it (or name another place), then run scripts/setup.sh again"
    command -v debootstrap >/dev/null || install_packages debootstrap
    [[ -e /usr/share/debootstrap/scripts/$suite ]] ||
        die "debootstrap does not know the release '$suite'" "update the debootstrap package, then run scripts/setup.sh again"
    # A mount namespace removes its mounts, however it ends. Containers may forbid it, and then
    # there are no mounts either.
    if as_root unshare --mount true 2>/dev/null; then
        isolated=(unshare --mount)
    fi
    # sudo drops these variables.
    for variable in http_proxy https_proxy no_proxy; do
        [[ -z ${!variable:-} ]] || isolated=(env "$variable=${!variable}" "${isolated[@]}")
    done
    as_root rm -rf --one-file-system "$partial"
    say "putting $packages of '$suite' into $dir (a minute or so)"
    if ! as_root "${isolated[@]}" debootstrap --variant=minbase --components="$components" --include="$packages" "$suite" "$partial" \
        >"$dir.log" 2>&1; then
        tail -n 15 "$dir.log" "$partial/debootstrap/debootstrap.log" >&2 2>/dev/null || true
        die "debootstrap could not build $dir (the end of its log is above, all of it in $dir.log)" \
            "check the network and the space on disk and run scripts/setup.sh again; a folder on a file system that is \
mounted nodev or noexec cannot be used: name another in S3_TO_MYSQL_CACHE. '$suite' changes daily: if a package is \
uninstallable today, it may be fine tomorrow"
    fi
    # A server does not need these.
    as_root rm -rf "$partial"/var/cache/apt/archives "$partial"/var/lib/apt/lists "$partial"/usr/share/{doc,man,locale}
    as_root mv "$partial" "$dir"
    rm -f "$dir.log"
}

# server_root KIND DIR PACKAGES_ON_DEBIAN PACKAGE_ON_UBUNTU: builds the root that fits this
# distribution.
server_root() {
    local kind=$1 dir=$2 on_debian=$3 on_ubuntu=$4 ID='' VERSION_CODENAME='' lock
    # shellcheck source=/dev/null
    . /etc/os-release
    mkdir -p "$(dirname "$dir")"
    exec {lock}>"$dir.lock"
    flock --nonblock "$lock" || { say "waiting for another setup that prepares $dir" && flock "$lock"; }
    if ! found "$kind"; then
        case $ID in
            debian) build_root "$dir" sid "$on_debian" main ;;
            ubuntu) build_root "$dir" "$VERSION_CODENAME" "$on_ubuntu" main,universe ;;
            *) die "this system ('$ID') is neither Debian nor Ubuntu" \
                "install $kind's server so that it is in /usr/sbin, then run scripts/setup.sh again" ;;
        esac
    fi
    exec {lock}>&-
}

# ---- What is needed ------------------------------------------------------------------------------

found() { "$SCRIPTS/server.sh" --where "$1" >/dev/null; }

# Sets `package` to the distribution's package with the server alone, or to an empty string. Some
# releases have the version in its name.
find_package() {
    package=$(packages_named "$1-server-core")
    [[ -n $package ]] || ! refresh_lists || package=$(packages_named "$1-server-core")
}
packages_named() { apt-cache search --names-only "^$1(-[0-9.]+)?\$" | cut -d' ' -f1 | sort -V | tail -n 1; }

for compiler in cc gcc clang ''; do
    [[ -n $compiler ]] || die "there is no C compiler (cc)" "install one: apt-get install gcc libc6-dev"
    ! command -v "$compiler" >/dev/null || break
done
command -v cargo >/dev/null || [[ -x ${CARGO_HOME:-$HOME/.cargo}/bin/cargo ]] ||
    die "there is no cargo" "install Rust with rustup, or put cargo's folder into PATH"

if [[ -z $only_servers ]]; then
    if ! command -v openssl >/dev/null; then
        need_apt openssl
        install_packages openssl
    fi
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        need_apt python3-venv
        install_packages python3-venv
    fi
    "$SCRIPTS/independent-store.sh" install ||
        die "the independent S3 store of the tests could not be installed" \
            "see the message above; it comes from PyPI by pip"
    "$SCRIPTS/check-manifests.sh" install ||
        die "the schemas that the files of deploy/ are checked against could not be installed" \
            "see the message above; they come from PyPI by pip"
fi

if ! found mariadb; then
    need_apt mariadb-server-core
    find_package mariadb
    [[ -n $package ]] || die "this system's package sources have no MariaDB server" \
        "on Ubuntu it is in 'universe': add-apt-repository universe, then run scripts/setup.sh again"
    if can_install "$package"; then
        install_packages "$package"
    else
        say "the system's MariaDB package cannot be installed beside the MySQL that is installed"
        server_root mariadb "${S3_TO_MYSQL_MARIADB_ROOT:-$CACHE_DIR/mariadb-root}" mariadb-server-core "$package"
    fi
    found mariadb || die "MariaDB's server was installed, but is not found" "run: bash -x scripts/server.sh --where mariadb"
fi

# mariadb_is_older VERSION: whether the MariaDB that is found is older than VERSION.
mariadb_is_older() {
    local executable root version
    read -r executable root < <("$SCRIPTS/server.sh" --where mariadb)
    [[ $root == / ]] || return 1
    version=$("$executable" --version | sed -n 's/.*Ver \([0-9.]*\).*/\1/p')
    [[ -n $version && $version != "$1" && $(printf '%s\n' "$version" "$1" | sort -V | head -n 1) == "$version" ]]
}

# The tests know what this version does; some older ones store an empty geometry, for example.
if [[ -z $only_servers ]] && mariadb_is_older 10.11.19 && command -v apt-get >/dev/null; then
    find_package mariadb
    install_packages "${package:-mariadb-server-core}"
    ! mariadb_is_older 10.11.19 ||
        say "this system's newest MariaDB is older than 10.11.19: some tests will find it behaving otherwise"
fi

# The plugins of ed25519 and PAM accounts are two files of a larger package, of which the tests need
# nothing else.
readonly PLUGINS=mariadb-plugins
if [[ -z $only_servers && ! -e /usr/lib/mysql/plugin/auth_ed25519.so && ! -e $CACHE_DIR/$PLUGINS ]]; then
    need_apt mariadb-server
    find_package mariadb
    partial=$CACHE_DIR/$PLUGINS.partial
    rm -rf "$partial"
    mkdir -p "$partial"
    (
        cd "$partial"
        apt-get -q download "${package%-core}" >&2 || { refresh_lists && apt-get -q download "${package%-core}" >&2; }
        dpkg-deb -x ./*.deb root
        mv root/usr/lib/mysql/plugin/auth_{ed25519,pam_v1}.so .
        rm -rf ./*.deb root
    ) || die "MariaDB's plugins could not be fetched" "see the message above, then run scripts/setup.sh again"
    mv "$partial" "$CACHE_DIR/$PLUGINS"
fi

if ! found mysql; then
    need_apt mysql-server-core
    find_package mysql
    if [[ -n $package ]] && can_install "$package"; then
        install_packages "$package"
    else
        server_root mysql "${S3_TO_MYSQL_MYSQL_ROOT:-$CACHE_DIR/mysql-root}" mysql-server-core,mysql-client-core "$package"
    fi
    found mysql || die "MySQL's server was installed, but is not found" "run: bash -x scripts/server.sh --where mysql"
fi

for kind in mysql mariadb; do
    read -r executable root < <("$SCRIPTS/server.sh" --where "$kind")
    printf '%s: %s%s\n' "$kind" "$executable" "$([[ $root == / ]] || printf ' (run with the libraries of %s)' "$root")"
done
