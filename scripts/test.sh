#!/usr/bin/env bash
#
# Checks everything that must hold before a change is merged: format, lints, documentation, the demo
# at a small size, and all tests, against real MySQL and MariaDB servers.
#
#   scripts/test.sh

set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }

scripts/setup.sh
say "Format"
cargo fmt --all --check
say "Line widths and doc summaries"
scripts/prose.sh
say "Lints"
cargo clippy --locked --workspace --all-targets -- -D warnings
say "Documentation"
# There are no examples, but --examples enables the dev-dependencies, as the lints and the tests do.
# Without them shared dependencies would have fewer features, and would be checked a second time.
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items --lib --examples
say "Dependencies"
if cargo deny --version > /dev/null 2>&1; then
    # Advisories need a download. Run `cargo deny check` where a network is available.
    cargo deny --locked check bans licenses sources
else
    echo "not checked: cargo-deny is not installed (cargo install cargo-deny)"
fi
say "Demo"
# The demo's own build has fewer features in shared dependencies than that of the tests. A check
# shows that they suffice, and saves the second build.
cargo check --locked --package s3-to-mysql --package test-tools --bins --no-default-features
cargo build --locked --workspace --bins --examples
export S3_TO_MYSQL_DEMO_PROGRAMS=${CARGO_TARGET_DIR:-target}/debug
scripts/demo.sh --small mysql
scripts/demo.sh --small mariadb
unset S3_TO_MYSQL_DEMO_PROGRAMS
say "Tests"
# Last, so that the result is what one sees. With --workspace, dependencies have the same features
# as in the build before, and are not built again.
cargo test --locked --workspace --lib --bins --test layers --test documents --test it
